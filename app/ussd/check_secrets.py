"""L6: `check`, money and secrets: what is shown or run before, after and without a PIN."""

from __future__ import annotations

from collections.abc import Iterator

from app.ussd.paths import (
    Book,
    before_an_input,
    named,
    onward,
    reach,
    resumed,
    shortcut_entries,
)
from app.ussd.problems import Problem
from app.ussd.states import End, Secret, Step, Wait, targets


def secrets(book: Book) -> Iterator[Problem]:
    """Every problem of where PINs are asked and of what they guard."""
    yield from _private(book)
    yield from _first(book)
    yield from _twice(book)
    yield from _resumes(book)


def commits(book: Book) -> Iterator[Problem]:
    """A Wait follows a commit, and nothing commits between it and the next input; neither does
    anything that a dial alone, a code or going on after a cut leads to.
    """
    answers = {name for shortcut in book.shortcuts.values() for name in shortcut.answers}
    led = {name for answer in answers for name in onward(book.states[answer])}
    alone = (book.start, book.home, *book.entries, *resumed(book), *led)
    for name in sorted(before_an_input(book, alone)):
        state = book.states[name]
        if isinstance(state, Step) and state.commits:
            yield Problem(name, "commits_unasked", "a dial, a code or going on leads here")
    for state in book.states.values():
        for name in targets(state):
            if isinstance(book.states[name], Wait) and not getattr(state, "commits", False):
                yield Problem(
                    name, "wait_without_commit", f"{state.name} leads here, commits=False"
                )
        if isinstance(state, Wait):
            for name in sorted(before_an_input(book, targets(state))):
                after = book.states[name]
                if isinstance(after, Wait) or (isinstance(after, Step) and after.commits):
                    yield Problem(name, "acts_after_wait", f"runs after {state.name}, maybe twice")


def _private(book: Book) -> Iterator[Problem]:
    """What a lost session is told (`entries`) belongs to an intent that a PIN confirmed."""
    opened = (book.start, book.home, *shortcut_entries(book), *resumed(book))
    guarded = _checked(book)
    for name in sorted(reach(book, opened, stop_at=guarded).difference(guarded)):
        if getattr(book.states[name], "private", False):
            yield Problem(name, "private_without_secret", "reached without a Secret before it")


def _checked(book: Book) -> list[str]:
    """The Secrets that look at a PIN; one that is being chosen, or a code, proves nothing."""
    secrets = [state for state in book.states.values() if isinstance(state, Secret)]
    return [state.name for state in secrets if not state.new and state.digits is None]


def _first(book: Book) -> Iterator[Problem]:
    entries = (book.start, book.home, *book.entries, *shortcut_entries(book))
    opening = before_an_input(book, entries)
    for name in named(book, Secret):
        if name in opening:
            yield Problem(name, "secret_first", "a Secret is the first question of a session")


def _twice(book: Book) -> Iterator[Problem]:
    """A PIN that is checked twice between two visits of home; choosing a new one is another."""
    home = before_an_input(book, (book.start, book.home))
    checked = _checked(book)
    over = home.union(named(book, End))
    for first in checked:
        again = reach(book, onward(book.states[first]), stop_at=over)
        for name in checked:
            if name in again:
                yield Problem(name, "secret_twice", f"asked again after {first}")


def _resumes(book: Book) -> Iterator[Problem]:
    for state in book.states.values():
        if isinstance(state, Secret) and state.resume:
            for name in sorted(before_an_input(book, (state.resume,))):
                if isinstance(book.states[name], Secret):
                    detail = f"its resume leads to {name} without a screen between"
                    yield Problem(state.name, "resumes_on_secret", detail)
