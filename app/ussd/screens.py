"""L6: a state's texts and facts, made into the pages that a phone shows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from app.gateways.wire import UssdGateway
from app.markets import Market
from app.text import Catalogues
from app.ussd.hop import Hop, MenuError, S
from app.ussd.paging import Footer, Limits, Page, paginate
from app.ussd.states import Ask, End, Item, Menu, Pick, Resume, Secret, State, Step, Wait

BACK, HOME, MORE = "0", "00", "98"
SECONDS_PER_MINUTE = 60

Shown = Menu[S] | Ask[S, Any] | Secret[S] | Pick[S] | Resume[S] | End[S]


@dataclass(frozen=True, slots=True)
class Answer:
    """A screen to be."""

    text: str
    open: bool


def with_screen(state: State[S]) -> Shown[S]:
    """The state as one that can be shown. Raises MenuError."""
    if isinstance(state, Step | Wait):
        raise MenuError(f"{state.name} has no screen")
    return state


def offered(market: Market, facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as sentences take them: `x_minor` also as money `x`, `x_seconds` as `x_minutes`."""
    given: dict[str, object] = {"care": market.care_number}
    for name, value in facts.items():
        given[name] = value
        if name.endswith("_minor") and isinstance(value, int):
            given[name.removesuffix("_minor")] = market.currency.format(value)
        elif name.endswith("_seconds") and isinstance(value, int):
            given[name.removesuffix("seconds") + "minutes"] = -(-value // SECONDS_PER_MINUTE)
    return given


def item_digest(value: Any) -> int:
    """32 bits that tell an item of a list again when the list has changed meanwhile."""
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())


def visible_options(state: Menu[S], hop: Hop[S]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Label key, target and settings of the options that this person sees, in order."""
    return [
        (option.label, option.goes, option.sets)
        for option in state.options
        if option.when is None or option.when(hop)
    ]


def footer(catalogues: Catalogues, language: str, *, end: bool, back: bool, home: bool) -> Footer:
    """The last line of each page: which of the engine's keys it offers."""

    def line(page: int, more: bool) -> str:
        if end and not more:
            return ""  # nothing can be replied to the last page of an End
        shown = (("back", back or page > 0), ("home", home and not end), ("more", more))
        return " ".join(
            catalogues.say(language, f"engine.{name}") for name, is_on in shown if is_on
        )

    return line


class Composer(Generic[S]):
    """Makes pages; what depends on nothing but the language is made once."""

    def __init__(self, catalogues: Catalogues, market: Market) -> None:
        self._catalogues = catalogues
        self._market = market
        self._made: dict[tuple[int, str, bool, bool, str], list[Page]] = {}

    def sentence(self, language: str, key: str, facts: Mapping[str, object] | None = None) -> str:
        """One sentence with its facts offered in every form."""
        return self._catalogues.say(language, key, offered(self._market, facts or {}))

    def pages(
        self,
        state: Shown[S],
        hop: Hop[S],
        gateway: UssdGateway,
        *,
        back: bool,
        home: bool,
        refusal: str = "",
        items: Sequence[Item] = (),
    ) -> list[Page]:
        """All pages of a state. `back` and `home` say which keys the first page offers."""
        if refusal or state.facts is not None or not _is_static(state):
            return self._make(state, hop, gateway, back, home, refusal, items)
        key = (id(state), hop.language, back, home, gateway.name)
        pages = self._made.get(key)
        if pages is None:
            pages = self._made[key] = self._make(state, hop, gateway, back, home, "", ())
        return pages

    def head(self, state: Shown[S], hop: Hop[S], gateway: UssdGateway) -> str:
        """A state's own sentence without options and footer, as much as one message carries."""
        text = self._catalogues.say(hop.language, state.text, self._facts(state, hop))
        return paginate(text, (), _no_keys, _limits(gateway))[0].text

    def _facts(self, state: Shown[S], hop: Hop[S]) -> dict[str, object]:
        return offered(self._market, state.facts(hop) if state.facts else {})

    def _make(
        self,
        state: Shown[S],
        hop: Hop[S],
        gateway: UssdGateway,
        back: bool,
        home: bool,
        refusal: str,
        items: Sequence[Item],
    ) -> list[Page]:
        facts = self._facts(state, hop)
        key = state.text
        if refusal and isinstance(state, Ask | Secret) and state.again:
            key = state.again
        text = self._catalogues.say(hop.language, key, facts)
        rows = self._rows(state, hop, facts, items)
        end = isinstance(state, End)
        line = footer(self._catalogues, hop.language, end=end, back=back, home=home)
        limits = _limits(gateway)
        head = f"{refusal}\n{text}" if refusal else text
        pages = paginate(head, rows, line, limits)
        if isinstance(state, Pick) and state.search and (len(pages) > 1 or state.among):
            hint = self._catalogues.say(hop.language, "engine.search")
            pages = paginate(f"{head}\n{hint}", rows, line, limits)
        return pages

    def _rows(
        self, state: Shown[S], hop: Hop[S], facts: Mapping[str, object], items: Sequence[Item]
    ) -> list[str]:
        say: Callable[..., str] = self._catalogues.say
        if isinstance(state, Menu):
            lines = [say(hop.language, label, facts) for label, _, _ in visible_options(state, hop)]
        elif isinstance(state, Resume):
            lines = [say(hop.language, label, facts) for label in (state.go_on, state.start_again)]
        elif isinstance(state, Pick):
            lines = [
                say(hop.language, state.item, offered(self._market, item.facts)) for item in items
            ]
        else:
            return []
        return [f"{number} {line}" for number, line in enumerate(lines, 1)]


def _no_keys(_page: int, _more: bool) -> str:
    return ""


def _limits(gateway: UssdGateway) -> Limits:
    return Limits(gateway.septets, gateway.ucs2_units)


def _is_static(state: Shown[S]) -> bool:
    if isinstance(state, Menu):
        return all(option.when is None for option in state.options)
    return not isinstance(state, Pick)
