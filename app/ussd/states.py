"""L6: states are data. A menu book is a set of states; the engine runs it, `check` walks it.

Rules that all kinds share:
1. `name` is unique in its book; `text`, labels and `extra_texts` are catalogue keys.
2. `goes` lists every state that the state's functions may return; going elsewhere is a MenuError.
3. `facts(hop)` gives the named facts of the texts. `care` (the care number) is always there. A
   fact `x_minor` is also offered as money under `x`, a fact `x_seconds` as `x_minutes`, rounded
   up; this holds for the facts of a DomainError too.
4. `hop.services` is reachable only in a state with `reads=True`: no SQL anywhere else.
5. A DomainError whose code stands in `refusals` shows `refusals.<code>` and asks again, at most
   `TRIES` times; one in `ends` ends the session with `refusals.<code>`. Every other code is a
   MenuError. `database_away`, `quarantined`, `outcome_unknown` are the engine's own.
6. `commits=True`: the state's function commits something that the person must hear about. After
   it nobody goes back, and the answer is given even when the session cannot be saved.
7. `private=True`: the screen shows what needs a PIN; its stored copy lives at most 60 s. So does
   whatever answers a right secret.
8. A screen fits into one message at its worst, unless `pages=True`; in a language that GSM-7 cannot
   write, into three.
9. Keys `0` back, `00` home, `98` more (while there is more) belong to the engine. Going home
   forgets the way back, not `hop.data`.
10. A session that was cut off can be continued by the next one: see Resume. A state may be shown
   anew in it, so nothing but `hop.data` may hold what it needs.

Functions are called again when a screen is shown again or turned over, so `facts`, `items` and
`when` change nothing. A DomainError of `facts` or `items` ends the session with its sentence: what
the screen was about has changed since it was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from app.ussd.hop import Caller, Hop, MenuError, S

__all__ = [
    "PIN_WRONG",
    "TRIES",
    "Ask",
    "Caller",
    "End",
    "Hop",
    "Item",
    "Menu",
    "MenuError",
    "Option",
    "Pick",
    "Resume",
    "Secret",
    "State",
    "Step",
    "Wait",
    "targets",
]

TRIES = 3  # wrong inputs in a row on one screen, then the session ends with the care number
PIN_WRONG = "pin_wrong"  # the one refusal of a Secret that shows nothing behind it
WAIT_SECONDS = 3.0
V = TypeVar("V")
Facts: TypeAlias = Mapping[str, object]
Keys: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Option(Generic[S]):
    """A numbered line of a Menu.

    `when(hop)` hides the line; it looks at person, data and market, never at the database. `sets`
    is merged into `hop.data` when the line is chosen.
    """

    label: str
    goes: str
    when: Callable[[Hop[S]], bool] | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Menu(Generic[S]):
    """A text and numbered options, at most nine."""

    name: str
    text: str
    options: tuple[Option[S], ...]
    facts: Callable[[Hop[S]], Facts] | None = None
    extra_texts: Keys = ()
    reads: bool = False
    private: bool = False
    pages: bool = False

    @property
    def goes(self) -> Keys:
        return tuple(dict.fromkeys(option.goes for option in self.options))


@dataclass(frozen=True)
class Ask(Generic[S, V]):
    """A question. `parse(hop, raw)` makes a value of what was typed, or raises DomainError;
    `accept(hop, value)` keeps it in `hop.data` or acts on it, and returns the next state.

    `again` is a shorter question to stand behind a refusal.
    """

    name: str
    text: str
    parse: Callable[[Hop[S], str], V]
    accept: Callable[[Hop[S], V], str]
    goes: Keys
    refusals: Keys = ()
    ends: Keys = ()
    facts: Callable[[Hop[S]], Facts] | None = None
    again: str | None = None
    extra_texts: Keys = ()
    reads: bool = False
    commits: bool = False
    private: bool = False
    pages: bool = False


@dataclass(frozen=True)
class Secret(Generic[S]):
    """A question whose answer is a PIN: digits, `market.pin.length` of them. With `digits` it is
    another secret of so many, a code that came by SMS; it opens nothing that needs a PIN.

    The PIN is given to `accept` and to nothing else; keep the first of two with `hop.seal`. A
    wrong PIN is `DomainError("pin_wrong", left=2)` with `pin_wrong` in `refusals`, a locked one
    belongs in `ends`. An input equal to the one that led here is taken for a redelivery and never
    counted, except where `repeats=True`: there the same PIN is asked a second time. Nobody goes
    back onto a Secret, and nobody resumes on one: whoever was cut off here continues at the state
    `resume`, or starts again where there is none. `new=True`: the PIN is being chosen, not checked.
    """

    name: str
    text: str
    accept: Callable[[Hop[S], str], str]
    goes: Keys
    refusals: Keys = ()
    ends: Keys = ()
    facts: Callable[[Hop[S]], Facts] | None = None
    again: str | None = None
    extra_texts: Keys = ()
    reads: bool = True
    commits: bool = False
    repeats: bool = False
    private: bool = False
    pages: bool = False
    resume: str | None = None
    new: bool = False
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a Pick: the facts of its sentence, and the small JSON value behind it."""

    value: Any
    facts: Facts


@dataclass(frozen=True)
class Pick(Generic[S]):
    """A numbered list from data, paged. `item` is the sentence of one line.

    `accept(hop, value)` gets the value of the line that was on the screen, also when the list has
    changed since. An empty list goes to the state `empty` at once. At most `ITEMS_MOST` items are
    shown. `search=True`: letters keep the lines that hold a word beginning with them, which a list
    of several pages says. `among(hop)` are the lines that letters look among where the list itself
    has only their headings; a list that has it always says so.
    """

    name: str
    text: str
    item: str
    items: Callable[[Hop[S]], Sequence[Item]]
    accept: Callable[[Hop[S], Any], str]
    goes: Keys
    empty: str
    refusals: Keys = ()
    ends: Keys = ()
    facts: Callable[[Hop[S]], Facts] | None = None
    extra_texts: Keys = ()
    reads: bool = True
    commits: bool = False
    private: bool = False
    search: bool = False
    among: Callable[[Hop[S]], Sequence[Item]] | None = None


@dataclass(frozen=True)
class Resume(Generic[S]):
    """Offered to a person who was cut off: 1 goes on where they were, 2 goes to `again`.

    The start state leads here while `hop.left` is true: the last session of this number was cut
    off not long ago, with something typed in it. It is never offered onto a Secret, after a
    commit, over a private screen, from another version or to another person.
    """

    name: str
    text: str
    go_on: str
    start_again: str
    again: str
    facts: Callable[[Hop[S]], Facts] | None = None
    extra_texts: Keys = ()
    reads: bool = False
    private: bool = False
    pages: bool = False

    @property
    def goes(self) -> Keys:
        return (self.again,)


@dataclass(frozen=True)
class Step(Generic[S]):
    """No screen: reads, asks a biller, decides. `run(hop)` returns the next state.

    `slow=True` says that it may wait for the outside world (≤ 2 s): it then takes one of the
    few places for waiting, and with none free the engine goes to `crowded` without running it.
    """

    name: str
    run: Callable[[Hop[S]], str]
    goes: Keys
    ends: Keys = ()
    extra_texts: Keys = ()
    reads: bool = True
    commits: bool = False
    slow: bool = False
    crowded: str | None = None


@dataclass(frozen=True)
class Wait(Generic[S]):
    """After a confirmation was committed: wait a little for its outcome, holding nothing.

    The engine saves the session, gives the lock back, then calls `poll(hop)` now and again until
    it names the next state, at most `seconds` and at most the gateway's deadline less 2 s; then,
    or with no free place for waiting, it goes to `late`. `poll` only reads.
    """

    name: str
    poll: Callable[[Hop[S]], str | None]
    goes: Keys
    late: str
    seconds: float = WAIT_SECONDS


@dataclass(frozen=True)
class End(Generic[S]):
    """The last screen of a session."""

    name: str
    text: str
    facts: Callable[[Hop[S]], Facts] | None = None
    extra_texts: Keys = ()
    reads: bool = False
    private: bool = False
    pages: bool = False


State: TypeAlias = (
    Menu[S] | Ask[S, Any] | Secret[S] | Pick[S] | Resume[S] | Step[S] | Wait[S] | End[S]
)


def targets(state: State[S]) -> Keys:
    """Every state that this one can go to without the engine's own keys."""
    if isinstance(state, End):
        return ()
    extra: str | None = None
    if isinstance(state, Pick):
        extra = state.empty
    elif isinstance(state, Step):
        extra = state.crowded
    elif isinstance(state, Wait):
        extra = state.late
    elif isinstance(state, Secret):
        extra = state.resume
    return (*state.goes, extra) if extra else state.goes
