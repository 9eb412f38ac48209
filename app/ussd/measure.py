"""L6: how wide the screens of a state are at their worst, in one language at one gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.gateways.wire import UssdGateway
from app.markets import Market
from app.text import Catalogues
from app.text.width import is_gsm7, septets, ucs2_units
from app.ussd.paging import Limits, paginate
from app.ussd.screens import footer
from app.ussd.states import Ask, End, Menu, Pick, Resume, Secret, State, Step, Wait
from app.ussd.worst import Context, samples

FOOTER_KEYS = ("engine.back", "engine.home", "engine.more")


class Measure:
    """Says what does not fit. All keys and facts are known by now."""

    def __init__(
        self, market: Market, catalogues: Catalogues, language: str, gateway: UssdGateway
    ) -> None:
        self._catalogues = catalogues
        self._context = Context(market, catalogues, language)
        self._language = language
        self._limits = Limits(gateway.septets, gateway.ucs2_units)

    def state(self, state: State[Any], *, first: bool) -> Iterator[str]:
        """One sentence for each screen of the state that is too wide. `first`: no footer yet."""
        for code in getattr(state, "ends", ()):
            yield from self._one(f"refusals.{code}", self._say(f"refusals.{code}"), [], end=True)
        if isinstance(state, Step | Wait):
            return
        pages = isinstance(state, Pick) or state.pages
        rows = self._rows(state)
        bare = first or isinstance(state, End)
        yield from self._one(state.text, self._say(state.text), rows, end=bare, pages=pages)
        if isinstance(state, Ask | Secret):
            again = self._say(state.again or state.text)
            own = ["engine.pin_form"] if isinstance(state, Secret) else []
            for key in [*own, *(f"refusals.{code}" for code in state.refusals)]:
                refusal = self._say(key)
                yield from self._one(f"{key} and question", f"{refusal}\n{again}", rows, end=False)
                last = f"{refusal}\n{self._say('engine.too_many')}"
                yield from self._one(f"{key} and engine.too_many", last, [], end=True)

    def engine(self, keys: Iterable[str]) -> Iterator[str]:
        """The same for the engine's own last words."""
        for key in keys:
            if key not in FOOTER_KEYS:
                yield from self._one(key, self._say(key), [], end=True)

    def _rows(self, state: State[Any]) -> list[str]:
        if isinstance(state, Menu):
            return [
                f"{number} {self._say(option.label)}"
                for number, option in enumerate(state.options, 1)
            ]
        if isinstance(state, Resume):
            return [f"1 {self._say(state.go_on)}", f"2 {self._say(state.start_again)}"]
        return [f"50 {self._say(state.item)}"] if isinstance(state, Pick) else []

    def _one(
        self, what: str, head: str, rows: list[str], *, end: bool, pages: bool = False
    ) -> Iterator[str]:
        line = footer(self._catalogues, self._language, end=end, back=True, home=True)
        try:
            made = paginate(head, rows, line, self._limits)
        except ValueError as error:
            yield f"{what}: {error}"
            return
        if len(made) > 1 and not pages:
            whole = "\n".join([head, *rows, *([line(0, False)] if line(0, False) else [])])
            if is_gsm7(whole):
                yield f"{what}: {septets(whole)} septets of {self._limits.septets}"
            else:
                yield f"{what}: {ucs2_units(whole)} UCS-2 units of {self._limits.ucs2_units}"

    def _say(self, key: str) -> str:
        names = self._catalogues.placeholders(self._language, key)
        return self._catalogues.say(self._language, key, samples(self._context, names))
