"""L6: one hop through a menu book: a state, its input, and the states that follow without one.

1. A screen is shown in exactly one place, `show`; whatever a function of a state returns passes
   `_go`, which refuses an undeclared target.
2. The stack for `0` holds states with a screen, never a Secret, and is emptied by a commit.
3. A wrong input is counted a screen at a time; the third ends the session.
4. `committed` is true from before a committing function runs until it refuses: from then on no
   failure may be told as "failed".
5. `private` is true from a right secret on, refusals and last words included, and on screens that
   say so: the stored answer then lives at most 60 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic

from app.errors import DomainError, OutcomeUnknown
from app.gateways.wire import UssdGateway
from app.telemetry import refused
from app.ussd.hop import Hop, MenuError, S
from app.ussd.inputs import AskAgain, choose, go_on, items_of, picked, secret, shown_lines
from app.ussd.live import Live
from app.ussd.menubook import MenuBook
from app.ussd.screens import Answer, Composer, Shown, with_screen
from app.ussd.states import (
    PIN_WRONG,
    TRIES,
    Ask,
    End,
    Item,
    Menu,
    Pick,
    Resume,
    Secret,
    State,
    Step,
    Wait,
)
from app.ussd.turning import turned_by
from app.ussd.waits import Waits

CHAIN_MOST = 8  # states without a screen, one after the other
SPRAYED_SECONDS = 2.0
ENGINE_CODES = ("database_away", "quarantined", "outcome_unknown")


class Walk(Generic[S]):
    """The walk of one hop. It changes `live` and `hop`, and saves nothing."""

    __slots__ = (
        "_book",
        "_composer",
        "_gateway",
        "_listed",
        "_live",
        "_mark",
        "_typed",
        "_waits",
        "committed",
        "continues",
        "hop",
        "private",
    )

    def __init__(
        self,
        book: MenuBook[S],
        composer: Composer[S],
        waits: Waits,
        hop: Hop[S],
        live: Live,
        gateway: UssdGateway,
        mark: Callable[[str], str],
    ) -> None:
        self._book = book
        self._composer = composer
        self._waits = waits
        self.hop = hop
        self._live = live
        self._gateway = gateway
        self._mark = mark
        self._typed: str | None = None
        self._listed: tuple[str, str, Sequence[Item]] | None = None
        self.committed = False
        self.private = False
        self.continues: tuple[str, int] | None = None

    def answer(self, typed: str) -> Answer | Wait[S]:
        """Run the current state on an input."""
        self._typed = typed
        typed = typed.strip()
        state = self._state(self._live.state)
        turned = turned_by(self, self._live, self._book.home, state, typed)
        if turned is not None:
            return turned
        if isinstance(state, Secret) and self._led_here(state):
            return self.show(state)
        went = self.taken(state, typed)
        return self.enter(went) if isinstance(went, str) else went

    def taken(self, state: State[S], typed: str) -> str | Answer:
        """Run a state on an answer to its own question: the next state, or the refusal."""
        try:
            name = self._run(state, typed)
        except AskAgain as again:
            reason = again.key.removeprefix("engine.")
            return self.ask_again(state, reason, self.say(again.key, again.facts))
        except DomainError as error:
            return self._refused(state, error)
        self.leave(state)
        return name

    def enter(self, name: str) -> Answer | Wait[S]:
        """Show a state; states without a screen are run until one has."""
        return self.arrived(self.settle(name))

    def settle(self, name: str) -> Answer | State[S]:
        """Go to a state, through those without a screen; nothing is shown yet."""
        live = self._live
        live.tries = live.page = 0
        live.shown, live.led, live.search = [], "", ""
        for _ in range(CHAIN_MOST):
            state = self._state(name)
            live.state = name
            if name in (self._book.home, self._book.start):
                live.stack.clear()
                live.top, live.spent = True, self.committed
            if isinstance(state, Step):
                went = self._step(state)
                if isinstance(went, Answer):
                    return went
                name = went
            elif isinstance(state, Pick):
                found = self._found(state)
                if found:
                    return found if isinstance(found, Answer) else state
                name = state.empty
            else:
                return state
        raise MenuError(f"{live.state}: more than {CHAIN_MOST} states without a screen")

    def arrived(self, state: Answer | State[S]) -> Answer | Wait[S]:
        """Show where `settle` came to."""
        if isinstance(state, Answer | Wait):
            return state
        if isinstance(state, Secret) and self._typed is not None:
            self._live.led = self._mark(self._typed)
        return self.show(with_screen(state))

    def poll(self, state: Wait[S]) -> str | None:
        """Ask once for the outcome. A refusal to answer is no outcome."""
        self.hop.may_read = True
        try:
            name = state.poll(self.hop)
        except DomainError:
            return None
        return None if name is None else _go(state, name)

    def head(self) -> str:
        """The current state's own sentence, for an answer that cannot be continued."""
        state = with_screen(self._state(self._live.state))
        return self._composer.head(state, self.hop, self._gateway)

    def items(self, state: Pick[S]) -> Sequence[Item]:
        """The lines of a list, as far as it is narrowed; read once until a function has run."""
        search = self._live.search
        if self._listed is None or self._listed[:2] != (state.name, search):
            self.hop.may_read = state.reads
            self._listed = state.name, search, items_of(state, self.hop, search)
        return self._listed[2]

    def _led_here(self, state: Secret[S]) -> bool:
        """An input equal to the one that led to the PIN is no PIN.

        Where the wire tells redeliveries, the equal one is set aside once: a phone may send a
        key twice, but a person may also want to pay an amount that equals the PIN.
        """
        live = self._live
        if state.repeats or not live.led or self._mark(self._typed or "") != live.led:
            return False
        if self._gateway.exactness == "exact":
            live.led = ""
        return True

    def _run(self, state: State[S], typed: str) -> str:
        """The next state by the input. Raises AskAgain and DomainError."""
        hop = self.hop
        if isinstance(state, Step | Wait | End):
            raise AskAgain("engine.choose")  # a page of a long End takes the engine's keys only
        hop.may_read = state.reads
        if isinstance(state, Menu):
            return choose(state, hop, typed)
        if isinstance(state, Resume):
            return self._continue() if go_on(typed) else state.again
        if isinstance(state, Secret):
            given = secret(state, typed, hop.market.pin.length)
            self.private = True
            self._live.spent = self._live.spent or not (state.new or state.digits)
            return self._call(state, partial(state.accept, hop, given))
        if isinstance(state, Ask):
            return self._call(state, partial(state.accept, hop, state.parse(hop, typed)))
        value = picked(state, hop, self._live, typed)
        return self._call(state, partial(state.accept, hop, value))

    def _continue(self) -> str:
        """Take over what the session before left; saving it ends that one."""
        live, hop = self._live, self.hop
        if live.left is None:
            return self._book.home
        key, revision, name, stack, data, *_ = live.left
        live.stack, live.top = list(stack), False
        hop.data.update({known: data[known] for known in data if known not in hop.data})
        self.continues = key, revision
        return str(name)

    def _call(
        self, state: Ask[S, Any] | Secret[S] | Pick[S] | Step[S], function: Callable[[], str]
    ) -> str:
        self.hop.may_read = state.reads
        self.committed = self.committed or state.commits
        self._listed = None
        try:
            name = function()
        except OutcomeUnknown:
            raise
        except DomainError:
            if state.commits:
                self.committed = False
            raise
        if state.commits:
            self._live.stack.clear()
            self._live.top, self._live.spent = False, True
        return _go(state, name)

    def _step(self, state: Step[S]) -> str | Answer:
        try:
            if not state.slow:
                return self._call(state, partial(state.run, self.hop))
            with self._waits.place() as free:
                if not free:
                    return state.crowded or ""
                return self._call(state, partial(state.run, self.hop))
        except DomainError as error:
            return self._refused(state, error)

    def _refused(self, state: State[S], error: DomainError) -> Answer:
        """What a DomainError of a state's function comes to; the engine's own codes pass."""
        if error.code in ENGINE_CODES:
            raise error
        late = "sprayed" not in error.facts or self._answered_late()
        if error.code == PIN_WRONG:
            self.private = False
        if error.code in getattr(state, "ends", ()):
            refused(state.name, error.code)
            return Answer(self.say(f"refusals.{error.code}", error.facts), open=False)
        if error.code in getattr(state, "refusals", ()):
            sentence = self.say(f"refusals.{error.code}", error.facts)
            if not late:
                return Answer(f"{sentence}\n{self.say('engine.dial_again', {})}", open=False)
            return self.ask_again(state, error.code, sentence)
        raise MenuError(f"{state.name} does not declare the refusal {error.code!r}") from error

    def _answered_late(self) -> bool:
        """While PINs are sprayed, a wrong one waits for its answer; False without a free place.

        A right one never waits. Whoever sprays faster than the places allow must dial anew for
        each try.
        """
        with self._waits.place_for_wrong_pin() as free:
            if free:
                time.sleep(SPRAYED_SECONDS)
        return free

    def ask_again(self, state: State[S], reason: str, refusal: str) -> Answer:
        """The question once more below a refusal; the last time the session ends."""
        refused(state.name, reason)
        live = self._live
        live.tries += 1
        if live.tries >= TRIES:
            return Answer(f"{refusal}\n{self.say('engine.too_many', {})}", open=False)
        live.page = 0
        answer = self.show(with_screen(state), refusal=refusal)
        if live.more:
            live.page = -1  # the refusal took room: the first page whole comes next
        return answer

    def leave(self, state: State[S]) -> None:
        """Where `0` will lead from the next screen."""
        if not self.committed and not isinstance(state, Secret | Resume):
            self._live.leave(state.name)

    def show(self, state: Shown[S], *, refusal: str = "") -> Answer:
        """The page of a state that the session stands at."""
        live, hop = self._live, self.hop
        try:
            items = self.items(state) if isinstance(state, Pick) else ()
            hop.may_read = state.reads
            pages = self._composer.pages(
                state,
                hop,
                self._gateway,
                back=bool(live.stack),
                home=bool(live.stack) or not live.top,
                refusal=refusal,
                items=items,
            )
        except DomainError as error:
            return self._cannot_show(state, error)
        live.page = min(live.page, len(pages) - 1)
        page = pages[live.page]
        live.more = live.page < len(pages) - 1
        live.shown = shown_lines(page.rows, items)
        live.showed(self._book.places[state.name])
        if not isinstance(state, Resume):
            live.left = None
        self.private = self.private or state.private
        return Answer(page.text, live.more or not isinstance(state, End))

    def _found(self, state: Pick[S]) -> Sequence[Item] | Answer:
        try:
            return self.items(state)
        except DomainError as error:
            return self._cannot_show(state, error)

    def _cannot_show(self, state: State[S], error: DomainError) -> Answer:
        """What a screen is about has changed since: the reason is the last word."""
        if error.code in ENGINE_CODES:
            raise error
        refused(state.name, error.code)
        return Answer(self.say(f"refusals.{error.code}", error.facts), open=False)

    def say(self, key: str, facts: dict[str, object]) -> str:
        """A sentence in the person's language."""
        return self._composer.sentence(self.hop.language, key, facts)

    def _state(self, name: str) -> State[S]:
        state = self._book.states.get(name)
        if state is None:
            raise MenuError(f"no state is named {name!r}")
        return state


def _go(state: Any, name: str) -> str:
    if name not in state.goes:
        raise MenuError(f"{state.name} went to {name!r}, which it does not declare")
    return name
