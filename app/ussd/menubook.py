"""L6: a menu book: one version of the menus, and the codes that lead straight into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from app.ussd.hop import Caller, Hop, MenuError, S
from app.ussd.states import Ask, End, Keys, State, Step, targets

_SHORTCUT_NUMBER = re.compile(r"(?!98\Z)[1-9]\d{1,3}\Z")  # 98 turns a page


@dataclass(frozen=True)
class Shortcut:
    """A code that is dialled whole: `*384*123*51*54100234563*200#` is number 51 and two answers.

    Its `number` is printed on walls: it never changes its meaning and has two digits or more, so
    that it is no key of a menu. It is walked only for whom a dial leads to the state `at`, so not
    for a stranger, and only if `when(hop)` agrees. `sets` is merged into `hop.data`; `answers` are
    the Asks that take the answers in turn, with their own validators. Where another screen comes up
    instead it is shown, and the rest of the answers is dropped. No Secret takes an answer, and
    nothing is committed.
    """

    number: str
    at: str
    answers: Keys
    sets: Mapping[str, Any] = field(default_factory=dict)
    when: Callable[[Hop[Any]], bool] | None = None


class MenuBook(Generic[S]):
    """One version of the menus. Raises MenuError at import for a book that cannot be walked.

    `start` is where a dial begins, `home` where `00` leads; either may be a Step that decides by
    `hop.person`. `who(hop)` loads the person of `hop.msisdn` on the first hop (it may set
    `hop.language`). `on_unknown_session(hop)` is asked when a session that we do not know arrives
    with text: it looks for an intent of `hop.session_hash` and names the state that tells its
    outcome, one of `entries`, or None. `shortcuts` are the codes that can be dialled whole;
    `bad_shortcut` is the state that tells how, for one with too few or too many answers, by what
    the shortcut `sets`. `fresh`
    names the entries of `hop.data` that `who` makes anew: a resumed session brings no old ones.
    """

    def __init__(
        self,
        *,
        version: str,
        start: str,
        home: str,
        states: Iterable[State[S]],
        who: Callable[[Hop[S]], Caller | None],
        on_unknown_session: Callable[[Hop[S]], str | None] | None = None,
        entries: Keys = (),
        shortcuts: Iterable[Shortcut] = (),
        bad_shortcut: str | None = None,
        fresh: Keys = (),
    ) -> None:
        self.version = version
        self.start = start
        self.home = home
        self.who = who
        self.on_unknown_session = on_unknown_session
        self.entries = entries
        self.fresh = frozenset(fresh)
        given = tuple(shortcuts)
        self.shortcuts = {shortcut.number: shortcut for shortcut in given}
        self.bad_shortcut = bad_shortcut
        listed = tuple(states)
        self.states: dict[str, State[S]] = {state.name: state for state in listed}
        self.places = {name: place for place, name in enumerate(self.states)}
        faults = [
            *_doubles(listed),
            *self._unknown(),
            *_shapes(listed),
            *self._wrong_shortcuts(given),
        ]
        if faults:
            raise MenuError(f"menu book {version}: {'; '.join(faults)}")

    def _unknown(self) -> Iterable[str]:
        for name in (self.start, self.home, *self.entries):
            if name not in self.states:
                yield f"the book names {name!r}, which is no state"
        for state in self.states.values():
            for name in targets(state):
                if name not in self.states:
                    yield f"{state.name} goes to {name!r}, which is no state"
        if self.bad_shortcut and self.bad_shortcut not in self.states:
            yield f"the book names {self.bad_shortcut!r}, which is no state"

    def _wrong_shortcuts(self, shortcuts: Sequence[Shortcut]) -> Iterable[str]:
        if shortcuts and self.bad_shortcut is None:
            yield "shortcuts need a bad_shortcut"
        for shortcut in shortcuts:
            if not _SHORTCUT_NUMBER.match(shortcut.number):
                yield f"shortcut {shortcut.number!r} is not of two to four digits, or an own key"
            if self.shortcuts[shortcut.number] is not shortcut:
                yield f"two shortcuts have the number {shortcut.number}"
            for name in shortcut.answers:
                state = self.states.get(name)
                if not isinstance(state, Ask) or state.commits:
                    yield f"shortcut {shortcut.number}: {name!r} is no Ask that commits nothing"
            if shortcut.at not in self.states:
                yield f"shortcut {shortcut.number} names {shortcut.at!r}, which is no state"
            if not shortcut.answers:
                yield f"shortcut {shortcut.number} has no answers"


def _doubles(states: Sequence[State[S]]) -> Iterable[str]:
    names = [state.name for state in states]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"two states are named {name!r}"


def _shapes(states: Sequence[State[S]]) -> Iterable[str]:
    for state in states:
        if not isinstance(state, End) and not state.goes:
            yield f"{state.name} goes nowhere"
        if isinstance(state, Step) and state.slow != (state.crowded is not None):
            yield f"{state.name}: slow and crowded belong together"
