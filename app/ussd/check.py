"""L6: walks a whole menu book without running it, and measures every screen at its worst.

What it finds, state by state:
1. states that nobody reaches, and states from which no session ends by itself;
2. sentences that a language lacks, facts that differ between languages, facts without a worst
   value, sentences of the room `menus` that no state shows;
3. more options than keys; screens, refusals and last words that do not fit into one message;
4. money and secrets: a private screen reached without a Secret, a Secret as the first question,
   a Wait that no commit leads to, a commit between a Wait and the next input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.gateways import africastalking
from app.gateways.wire import UssdGateway
from app.markets import Market
from app.text import Catalogues
from app.ussd.measure import Measure
from app.ussd.menubook import MenuBook
from app.ussd.states import (
    Ask,
    End,
    Menu,
    Pick,
    Secret,
    State,
    Step,
    Wait,
    targets,
)
from app.ussd.worst import WORST

OPTIONS_MOST = 9
WITH_SCREEN = (Menu, Ask, Pick, Secret, End)
ENGINE_ROOM = "engine."
MENUS_ROOM = "menus."
ENGINE_KEYS = tuple(
    f"{ENGINE_ROOM}{name}"
    for name in (
        "back", "home", "more", "choose", "changed", "pin_form", "too_many", "dial_again", "busy",
        "refused", "away", "database_away", "outcome_unknown", "error",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which state; `state` is empty for a fault of the book or the catalogue."""

    state: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.state or 'catalogue'}: {self.kind}: {self.detail}"


def check(
    book: MenuBook[Any],
    market: Market,
    catalogues: Catalogues,
    gateways: Sequence[UssdGateway] = (africastalking.GATEWAY,),
) -> list[Problem]:
    """Every problem of a book; an empty list is a book that may be released."""
    problems = [*_reachability(book), *_secrecy(book), *_commits(book), *_keys(book)]
    texts = list(_texts(book, catalogues))
    problems += texts
    if all(problem.kind == "never_shown" for problem in texts):  # else it cannot be measured
        first = _first_screens(book)
        for language in catalogues.languages:
            for gateway in gateways:
                measure = Measure(market, catalogues, language, gateway)
                problems += (
                    Problem(state.name, "too_wide", f"[{language}, {gateway.name}] {detail}")
                    for state in book.states.values()
                    for detail in measure.state(state, first=state.name in first)
                )
                problems += (
                    Problem("", "too_wide", f"[{language}, {gateway.name}] {detail}")
                    for detail in measure.engine(ENGINE_KEYS)
                )
    return problems


def texts_of(state: State[Any]) -> list[str]:
    """Every catalogue key that a state can show, its refusals included."""
    keys: list[str] = []
    if not isinstance(state, Step | Wait):
        keys.append(state.text)
    if isinstance(state, Menu):
        keys += (option.label for option in state.options)
    elif isinstance(state, Pick):
        keys.append(state.item)
    elif isinstance(state, Ask | Secret) and state.again:
        keys.append(state.again)
    if not isinstance(state, Wait):
        keys += state.extra_texts
    codes = (*getattr(state, "refusals", ()), *getattr(state, "ends", ()))
    return keys + [f"refusals.{code}" for code in codes]


def _reachability(book: MenuBook[Any]) -> Iterator[Problem]:
    reached = _reach(book, (book.start, book.home, *book.entries))
    ending = _that_end(book)
    for name in book.states:
        if name not in reached:
            yield Problem(name, "unreachable", "no state leads here")
        elif name not in ending:
            yield Problem(name, "dead_end", "no End can be reached from here")


def _secrecy(book: MenuBook[Any]) -> Iterator[Problem]:
    open_states = _reach(book, (book.start, book.home), stop_at=(Secret,))
    for name in sorted(open_states):
        if getattr(book.states[name], "private", False) and not _is(book, name, Secret):
            yield Problem(name, "private_without_secret", "reached without a Secret before it")
    for entry in (book.start, book.home, *book.entries):
        for name in sorted(_reach(book, (entry,), stop_at=WITH_SCREEN)):
            if _is(book, name, Secret):
                yield Problem(name, "secret_first", "a Secret is the first question of a session")


def _commits(book: MenuBook[Any]) -> Iterator[Problem]:
    for state in book.states.values():
        for name in targets(state):
            if _is(book, name, Wait) and not getattr(state, "commits", False):
                yield Problem(
                    name, "wait_without_commit", f"{state.name} leads here, commits=False"
                )
        if isinstance(state, Wait):
            for name in sorted(_reach(book, targets(state), stop_at=WITH_SCREEN)):
                after = book.states[name]
                if isinstance(after, Wait) or (isinstance(after, Step) and after.commits):
                    yield Problem(name, "acts_after_wait", f"runs after {state.name}, maybe twice")


def _keys(book: MenuBook[Any]) -> Iterator[Problem]:
    for state in book.states.values():
        if isinstance(state, Menu) and len(state.options) > OPTIONS_MOST:
            yield Problem(state.name, "too_many_options", f"{len(state.options)} options")


def _texts(book: MenuBook[Any], catalogues: Catalogues) -> Iterator[Problem]:
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
    for language in catalogues.languages:
        for key in sorted(catalogues.keys(language) - set(shown)):
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


def _is(book: MenuBook[Any], name: str, kind: type[Any]) -> bool:
    return isinstance(book.states[name], kind)


def _reach(
    book: MenuBook[Any], names: Iterable[str], stop_at: tuple[type[Any], ...] = ()
) -> set[str]:
    """Every state reached from those, not going on from states of the kinds in `stop_at`."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        state = book.states[name]
        if not isinstance(state, stop_at):
            waiting += targets(state)
    return reached


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
        steps = [book.states[name] for name in opening if _is(book, name, Step)]
        more = {name for step in steps for name in targets(step)} - outside - opening
        if not more:
            return opening - outside.difference({book.start, book.home})
        opening |= more


def _that_end(book: MenuBook[Any]) -> set[str]:
    """States from which an End, or a session that is ended by a refusal, can be reached."""
    ending: set[str] = {
        state.name
        for state in book.states.values()
        if isinstance(state, End) or bool(getattr(state, "ends", ()))
    }
    while True:
        more = {
            state.name
            for state in book.states.values()
            if state.name not in ending and ending.intersection(targets(state))
        }
        if not more:
            return ending
        ending |= more
