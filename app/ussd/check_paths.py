"""L6: `check`, the ways: what is never reached, never left, or never answered with a screen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from app.ussd.menubook import Shortcut
from app.ussd.paths import (
    Book,
    before_an_input,
    named,
    onward,
    reach,
    resumed,
    shortcut_entries,
    unseen,
)
from app.ussd.problems import Problem
from app.ussd.states import End, Menu, Secret, Step, Wait
from app.ussd.walk import CHAIN_MOST

OPTIONS_MOST = 9


def ways(book: Book) -> Iterator[Problem]:
    """Every problem of how the states hang together."""
    loops = list(_endless(book))
    yield from _unreached(book)
    yield from _dead_ends(book, {name for loop in loops for name in loop})
    for loop in loops:
        yield Problem(loop[0], "endless_steps", f"no way out of {', '.join(loop)}")
    yield from _chains(book)
    yield from _keys(book)
    yield from _shortcuts(book)


def _unreached(book: Book) -> Iterator[Problem]:
    entries = (book.start, book.home, *book.entries, *shortcut_entries(book), *resumed(book))
    reached = reach(book, entries)
    for name in book.states:
        if name not in reached:
            yield Problem(name, "unreachable", "no state leads here")


def _dead_ends(book: Book, besides: set[str]) -> Iterator[Problem]:
    """What leads to no End and to no refusal that ends the session. Key 00 is no end."""
    ending = {
        name
        for name, state in book.states.items()
        if isinstance(state, End) or bool(getattr(state, "ends", ()))
    }
    for name in book.states:
        if name not in besides and not ending & reach(book, (name,)):
            yield Problem(name, "dead_end", "no End can be reached from here")


def _endless(book: Book) -> Iterator[list[str]]:
    """Loops of states without a screen that nothing leads out of."""
    found: set[str] = set()
    for name, state in book.states.items():
        if name in found or not isinstance(state, Step | Wait):
            continue
        behind = before_an_input(book, onward(state))
        loop = [at for at in book.states if at in behind and name in _after(book, at)]
        found.update(loop)
        if loop and not any(_leaves(book, at, loop) for at in loop):
            yield loop


def _after(book: Book, name: str) -> set[str]:
    return before_an_input(book, unseen(book.states[name]))


def _leaves(book: Book, name: str, loop: list[str]) -> bool:
    state = book.states[name]
    return bool(getattr(state, "ends", ()) or set(onward(state)).difference(loop))


def _chains(book: Book) -> Iterator[Problem]:
    for name in book.states:
        if _longest(book, name, ()) > CHAIN_MOST:
            detail = f"more than {CHAIN_MOST} states in one hop, the one with a screen included"
            yield Problem(name, "too_many_steps", detail)


def _longest(book: Book, name: str, before: tuple[str, ...]) -> int:
    """The most states that one hop may go through from here, the one with a screen included."""
    if name in before or len(before) > CHAIN_MOST:
        return 0
    state = book.states[name]
    if isinstance(state, Wait):
        return 1  # what comes after it is another walk
    way = (*before, name)
    return 1 + max((_longest(book, after, way) for after in unseen(state)), default=0)


def _keys(book: Book) -> Iterator[Problem]:
    """A Pick has no more lines than two digits can choose, and a Resume always two."""
    for state in book.states.values():
        if isinstance(state, Menu) and len(state.options) > OPTIONS_MOST:
            yield Problem(state.name, "too_many_options", f"{len(state.options)} options")


def _shortcuts(book: Book) -> Iterator[Problem]:
    bad = book.bad_shortcut
    if bad and not isinstance(book.states[bad], End):
        yield Problem(bad, "shortcut_broken", "bad_shortcut is no End")
    dialled = before_an_input(book, (book.start,))
    for shortcut in book.shortcuts.values():
        number = shortcut.number
        if shortcut.at not in dialled:
            detail = f"{number} is walked only from here, and no dial leads here"
            yield Problem(shortcut.at, "shortcut_broken", detail)
        for before, after in pairwise(shortcut.answers):
            if after not in _taken(book, before):
                detail = f"{number}: an answer to {before} does not lead here"
                yield Problem(after, "shortcut_broken", detail)
        first, at = shortcut.answers[0], (shortcut.at,)
        if first in reach(book, at) - reach(book, at, stop_at=named(book, Secret)):
            detail = f"{number}: the menus ask for a PIN before this, the code would not"
            yield Problem(first, "shortcut_broken", detail)
        if not _arrives(book, shortcut):
            detail = f"{number}: the last answer leads to nothing new"
            yield Problem(shortcut.answers[-1], "shortcut_broken", detail)


def _taken(book: Book, name: str) -> set[str]:
    return before_an_input(book, onward(book.states[name]))


def _arrives(book: Book, shortcut: Shortcut) -> bool:
    """Whether the last answer leads to a screen that is no answer and no word of error."""
    led = _taken(book, shortcut.answers[-1]) - {*shortcut.answers, book.bad_shortcut}
    return any(not isinstance(book.states[name], Step) for name in led)
