"""L6: how wide the screens of a state are at their worst, in one language at one gateway.

The engine cuts every state's screen into pages, however long; here it is said how many it may have.
One, unless the state has `pages=True`; three in a wide language, one that GSM-7 cannot write. Last
words that are no state's screen are never cut: they fit into one message in every language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.gateways.wire import UssdGateway
from app.markets import Market
from app.text import Catalogues
from app.text.width import is_gsm7, septets, ucs2_units
from app.ussd.paging import PAGES_MOST, Footer, Limits, paginate
from app.ussd.screens import footer
from app.ussd.states import Ask, End, Menu, Pick, Resume, Secret, State, Step, Wait
from app.ussd.worst import Context, samples

WIDE_PAGES_MOST = 3
FOOTER_KEYS = ("engine.back", "engine.home", "engine.more")
OWN_REFUSALS = ("engine.choose", "engine.changed", "engine.no_match")


class Measure:
    """Says what does not fit. All keys and facts are known by now."""

    def __init__(
        self, market: Market, catalogues: Catalogues, language: str, gateway: UssdGateway
    ) -> None:
        self._catalogues = catalogues
        self._context = Context(market, catalogues, language)
        self._language = language
        self._limits = Limits(gateway.septets, gateway.ucs2_units)
        self._most = WIDE_PAGES_MOST if catalogues.wide(language) else 1

    def state(self, state: State[Any], *, first: bool) -> Iterator[str]:
        """One sentence for each screen of the state that is too wide. `first`: no footer yet."""
        for code in getattr(state, "ends", ()):
            yield from self._last_words(f"refusals.{code}", self._say(f"refusals.{code}"))
        if isinstance(state, Step | Wait):
            return
        pages = isinstance(state, Pick) or state.pages
        most = PAGES_MOST if pages else self._most
        rows = self._rows(state)
        line = self._footer(end=isinstance(state, End), first=first)
        yield from self._screen(state.text, self._say(state.text), rows, line, most)
        own = []
        if isinstance(state, Secret):
            own = ["engine.code_form" if state.digits else "engine.pin_form"]
        for key in [*own, *(f"refusals.{code}" for code in getattr(state, "refusals", ()))]:
            if isinstance(state, Ask | Secret):
                asked = f"{self._say(key)}\n{self._say(state.again or state.text)}"
                line = self._footer()
                yield from self._screen(f"{key} and question", asked, rows, line, most)
            yield from self._too_many(key)

    def engine(self, keys: Iterable[str]) -> Iterator[str]:
        """The same for the engine's own last words."""
        for key in keys:
            if key not in FOOTER_KEYS:
                yield from self._last_words(key, self._say(key))
            if key in OWN_REFUSALS:
                yield from self._too_many(key)

    def _too_many(self, refusal: str) -> Iterator[str]:
        """The third refusal on a screen ends the session."""
        last = f"{self._say(refusal)}\n{self._say('engine.too_many')}"
        yield from self._last_words(f"{refusal} and engine.too_many", last)

    def _footer(self, *, end: bool = False, first: bool = False) -> Footer:
        return footer(self._catalogues, self._language, end=end, back=not first, home=not first)

    def _rows(self, state: State[Any]) -> list[str]:
        if isinstance(state, Menu):
            return [
                f"{number} {self._say(option.label)}"
                for number, option in enumerate(state.options, 1)
            ]
        if isinstance(state, Resume):
            return [f"1 {self._say(state.go_on)}", f"2 {self._say(state.start_again)}"]
        return [f"50 {self._say(state.item)}"] if isinstance(state, Pick) else []

    def _last_words(self, what: str, text: str) -> Iterator[str]:
        return self._screen(what, text, [], lambda _page, _more: "", 1)

    def _screen(
        self, what: str, head: str, rows: list[str], line: Footer, most: int
    ) -> Iterator[str]:
        try:
            made = paginate(head, rows, line, self._limits)
        except ValueError as error:
            yield f"{what}: {error}"
            return
        if len(made) > most == 1:
            whole = "\n".join([head, *rows, *([line(0, False)] if line(0, False) else [])])
            if is_gsm7(whole):
                yield f"{what}: {septets(whole)} septets of {self._limits.septets}"
            else:
                yield f"{what}: {ucs2_units(whole)} UCS-2 units of {self._limits.ucs2_units}"
        elif len(made) > most:
            yield f"{what}: {len(made)} pages of {most}"

    def _say(self, key: str) -> str:
        names = self._catalogues.placeholders(self._language, key)
        return self._catalogues.say(self._language, key, samples(self._context, names))
