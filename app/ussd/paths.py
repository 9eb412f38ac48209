"""L6: which state can follow which in a menu book, for `check` and `graph`."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from app.ussd.menubook import MenuBook
from app.ussd.states import Keys, Pick, Secret, State, Step, Wait, targets

Book = MenuBook[Any]


def onward(state: State[Any]) -> Keys:
    """Where a session goes on from a state by itself, so not the `resume` of the next session."""
    return state.goes if isinstance(state, Secret) else targets(state)


def reach(book: Book, names: Iterable[str], stop_at: Container[str] = ()) -> set[str]:
    """Every state reached from those, themselves included, not going on from those of `stop_at`."""
    return _closure(names, lambda name: () if name in stop_at else onward(book.states[name]))


def before_an_input(book: Book, names: Iterable[str]) -> set[str]:
    """Those states and what may follow them before anybody types: the rest of the hop."""
    return _closure(names, lambda name: unseen(book.states[name]))


def unseen(state: State[Any]) -> Keys:
    """Where a state leads without a screen of its own; an empty Pick has none."""
    if isinstance(state, Pick):
        return (state.empty,)
    return targets(state) if isinstance(state, Step | Wait) else ()


def named(book: Book, kind: type[Any]) -> list[str]:
    """The states of a kind, in the book's order."""
    return [name for name, state in book.states.items() if isinstance(state, kind)]


def shortcut_entries(book: Book) -> list[str]:
    """Where a code that is dialled whole may come to first."""
    firsts = [shortcut.answers[0] for shortcut in book.shortcuts.values()]
    return list(dict.fromkeys([*firsts, *([book.bad_shortcut] if book.bad_shortcut else [])]))


def resumed(book: Book) -> list[str]:
    """Where a session goes on that was cut off at a Secret."""
    secrets = (state for state in book.states.values() if isinstance(state, Secret))
    return list(dict.fromkeys(state.resume for state in secrets if state.resume))


def _closure(names: Iterable[str], follow: Callable[[str], Keys]) -> set[str]:
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += follow(name)
    return reached
