"""L6: walks a whole menu book without running it, and measures every screen at its worst.

What it finds, state by state (`problems` says how each is repaired):
1. `check_paths`: states that nobody reaches, states from which no session ends by itself, loops
   and long chains without a screen, more options than keys, shortcuts that do not arrive;
2. `check_secrets`: a private screen reached without a Secret, a Secret as the first question,
   a PIN that is asked twice, a Wait that no commit leads to, a commit between a Wait and the
   next input;
3. here: sentences that a language lacks, facts that differ between languages, facts without a
   worst value, sentences of the room `menus` that no state shows; screens, refusals and last
   words that do not fit into one message of every gateway of the market.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from app.gateways.table import ussd_gateways
from app.gateways.wire import UssdGateway
from app.markets import Market
from app.text import Catalogues
from app.ussd.check_paths import ways
from app.ussd.check_secrets import commits, secrets
from app.ussd.measure import Measure
from app.ussd.menubook import MenuBook
from app.ussd.problems import Problem
from app.ussd.states import Ask, Menu, Pick, Resume, Secret, State, Step, Wait, targets
from app.ussd.worst import WORST

ENGINE_ROOM = "engine."
MENUS_ROOM = "menus."
ENGINE_KEYS = tuple(
    f"{ENGINE_ROOM}{name}"
    for name in (
        "back", "home", "more", "choose", "changed", "search", "no_match", "pin_form", "code_form",
        "too_many", "dial_again", "busy", "flooding", "crowded", "refused", "away",
        "database_away", "quarantined", "outcome_unknown", "error",
    )
)  # fmt: skip


def check(
    book: MenuBook[Any],
    market: Market,
    catalogues: Catalogues,
    gateways: Sequence[UssdGateway] = (),
    *,
    besides: Sequence[MenuBook[Any]] = (),
) -> list[Problem]:
    """Every problem of a book; an empty list is a book that may be released.

    Screens are measured for `gateways`, without any for those that the market names. `besides`
    are other books of the same release, whose sentences are shown too.
    """
    texts = list(_texts(book, catalogues, besides))
    problems = [*ways(book), *secrets(book), *commits(book), *texts]
    if all(problem.kind == "never_shown" for problem in texts):  # else it cannot be measured
        for gateway in gateways or ussd_gateways(market.gateways):
            problems += _widths(book, market, catalogues, gateway)
    return list(dict.fromkeys(problems))


def texts_of(state: State[Any]) -> list[str]:
    """Every catalogue key that a state can show, its refusals included."""
    keys: list[str] = []
    if not isinstance(state, Step | Wait):
        keys.append(state.text)
    if isinstance(state, Menu):
        keys += (option.label for option in state.options)
    elif isinstance(state, Resume):
        keys += (state.go_on, state.start_again)
    elif isinstance(state, Pick):
        keys.append(state.item)
    elif isinstance(state, Ask | Secret) and state.again:
        keys.append(state.again)
    if not isinstance(state, Wait):
        keys += state.extra_texts
    codes = (*getattr(state, "refusals", ()), *getattr(state, "ends", ()))
    return keys + [f"refusals.{code}" for code in codes]


def _widths(
    book: MenuBook[Any], market: Market, catalogues: Catalogues, gateway: UssdGateway
) -> Iterator[Problem]:
    first = _first_screens(book)
    for language in catalogues.languages:
        measure = Measure(market, catalogues, language, gateway)
        where = f"[{language}, {gateway.name}]"
        for state in book.states.values():
            for detail in measure.state(state, first=state.name in first):
                yield Problem(state.name, "too_wide", f"{where} {detail}")
        for detail in measure.engine(ENGINE_KEYS):
            yield Problem("", "too_wide", f"{where} {detail}")


def _texts(
    book: MenuBook[Any], catalogues: Catalogues, besides: Sequence[MenuBook[Any]]
) -> Iterator[Problem]:
    shown: dict[str, str] = dict.fromkeys(ENGINE_KEYS, "")
    for state in book.states.values():
        for key in texts_of(state):
            shown.setdefault(key, state.name)
    for key, name in shown.items():
        missing = [
            language for language in catalogues.languages if not catalogues.has(language, key)
        ]
        if missing:
            yield Problem(name, "no_sentence", f"{key} in {', '.join(missing)}")
        else:
            yield from _facts(key, name, catalogues)
    elsewhere = {key for one in besides for state in one.states.values() for key in texts_of(state)}
    for language in catalogues.languages:
        for key in sorted(catalogues.keys(language) - set(shown) - elsewhere):
            if key.startswith(MENUS_ROOM):
                yield Problem("", "never_shown", f"{key} in {language}")


def _facts(key: str, name: str, catalogues: Catalogues) -> Iterator[Problem]:
    first = catalogues.languages[0]
    facts = catalogues.placeholders(first, key)
    for language in catalogues.languages[1:]:
        other = catalogues.placeholders(language, key)
        if other != facts:
            odd = ", ".join(sorted(facts ^ other))
            yield Problem(name, "facts_differ", f"{key}: {odd} in only one of {first}, {language}")
    for fact in sorted(facts - set(WORST)):
        yield Problem(name, "unknown_fact", f"{key}: {{{fact}}} has no worst value")


def _first_screens(book: MenuBook[Any]) -> set[str]:
    """States that are only ever shown where `0` and `00` lead nowhere, so without a footer."""
    opening = {book.start, book.home}
    while True:
        outside = {
            name
            for state in book.states.values()
            if state.name not in opening or not isinstance(state, Step)
            for name in targets(state)
        }
        steps = [state for name in opening if isinstance(state := book.states[name], Step)]
        more = {name for step in steps for name in targets(step)} - outside - opening
        if not more:
            return opening - outside.difference({book.start, book.home})
        opening |= more
