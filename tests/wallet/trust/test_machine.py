"""Random lives of a trust account: deposits, payouts, statements, matches, in any order.

After each step the books agree with themselves and with the bank, trust_bank is what the matched
lines sum to, and everybody has what a model of a page says; at the end `verify` finds nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.errors import DomainError
from app.wallet import ledger
from app.wallet.trust.deposits import Notice
from app.wallet.trust.payouts import Payout
from tests.wallet.trust.stage import Stage

AGENTS = 2
AMOUNTS = st.sampled_from([100, 200, 300])
WHO = st.integers(0, AGENTS - 1)


@dataclass
class Model:
    """What the statement's lines and the staff's decisions come to."""

    floats: list[int]
    operator: int = 0
    matched: int = 0
    deposits: dict[str, tuple[int, int]] = field(default_factory=dict)  # on their way
    payouts: dict[str, tuple[int, int]] = field(default_factory=dict)  # on their way
    out: dict[str, tuple[int, int]] = field(default_factory=dict)  # have left the bank
    lines: dict[str, tuple[int, str]] = field(default_factory=dict)  # not matched
    assigned: dict[str, int | None] = field(default_factory=dict)

    def confirm(self, line_id: str) -> bool:
        """Whether the line can be confirmed now; then what it does is done."""
        amount, reference = self.lines[line_id]
        fits = (
            self._assigned(line_id, amount)
            if line_id in self.assigned
            else self._named(amount, reference)
        )
        if fits:
            del self.lines[line_id]
            self.matched += amount
        return fits

    def _assigned(self, line_id: str, amount: int) -> bool:
        who = self.assigned[line_id]
        if who is not None:
            self.floats[who] += amount
        elif self.operator + amount < 0:
            return False
        else:
            self.operator += amount
        return True

    def _named(self, amount: int, reference: str) -> bool:
        for table, sign in ((self.deposits, 1), (self.payouts, -1), (self.out, 1)):
            who, minor = table.get(reference, (0, 0))
            if minor and sign * minor == amount:
                del table[reference]
                if table is self.payouts:
                    self.out[reference] = (who, minor)
                else:
                    self.floats[who] += minor
                return True
        return False


class TrustMachine(RuleBasedStateMachine):
    """Every rule does the same to the database and to the model."""

    stage: Stage
    references = Bundle("references")
    lines = Bundle("lines")

    @initialize()
    def open(self) -> None:
        stage = self.stage
        self.agents = [stage.agent(float_minor=500) for _ in range(AGENTS)]
        if stage.at_bank() is None:
            stage.paper.balance_minor = -stage.house("trust_bank")
        self.model = Model(floats=[500] * AGENTS, operator=stage.balance(None))
        self.at_start = stage.identity()
        self.written: list[str] = []

    @rule(target=references, who=WHO, amount=AMOUNTS)
    def expect(self, who: int, amount: int) -> str:
        notice: Notice = self.stage.expect(self.agents[who], amount)
        self.model.deposits[notice.reference] = (who, amount)
        return notice.reference

    @rule(target=references, who=WHO, amount=AMOUNTS)
    def pay_out(self, who: int, amount: int) -> str:
        if amount > self.model.floats[who]:
            with pytest.raises(DomainError, match="insufficient_funds"):
                self.stage.pay_out(self.agents[who], amount)
            return "ZZZZZZZZ"
        view = self.stage.pay_out(self.agents[who], amount)
        self.model.floats[who] -= amount
        self.model.payouts[view.reference] = (who, amount)
        return view.reference

    @rule(reference=references)
    def give_up(self, reference: str) -> None:
        """A deposit is cancelled, a payout taken back, if it is still on its way."""
        deposit = self.model.deposits.pop(reference, None)
        payout = self.model.payouts.pop(reference, None)
        if payout:
            self.model.floats[payout[0]] += payout[1]
        done: Notice | Payout | None = None
        with suppress(DomainError):
            done = self.stage.cancel(reference)
        with suppress(DomainError):
            done = self.stage.take_back(reference)
        assert (done is not None) is (deposit is not None or payout is not None)

    @rule(
        target=lines, reference=references, amount=AMOUNTS, right=st.booleans(), put=st.booleans()
    )
    def line_for(self, reference: str, amount: int, *, right: bool, put: bool) -> str:
        """The bank writes what somebody paid in or was paid, or what has the wrong amount."""
        model = self.model
        minor = amount
        if right:
            sides = ((model.deposits, 1), (model.payouts, -1), (model.out, 1))
            found = [sign * side[reference][1] for side, sign in sides if reference in side]
            minor = found[0] if found else amount
        return self.written_by_the_bank(minor, reference, put=put)

    @rule(target=lines, amount=AMOUNTS, out=st.booleans(), put=st.booleans())
    def line(self, amount: int, *, out: bool, put: bool) -> str:
        return self.written_by_the_bank(-amount if out else amount, "", put=put)

    def written_by_the_bank(self, minor: int, reference: str, *, put: bool) -> str:
        """Nobody has a line before its file is imported."""
        line_id = self.stage.paper.line(minor, reference)
        self.written.append(line_id)
        self.model.lines[line_id] = (minor, reference)
        if put:
            self.put()
        return line_id

    @rule()
    def put(self) -> None:
        if self.written:
            self.stage.put_paper()
            self.written.clear()

    @rule(line_id=lines, who=st.one_of(st.none(), WHO))
    def assign(self, line_id: str, who: int | None) -> None:
        if line_id in self.written:
            return
        amount, _ = self.model.lines.get(line_id, (0, ""))
        may = amount and line_id not in self.model.assigned and (amount > 0 or who is None)
        try:
            self.stage.assign(line_id, None if who is None else self.agents[who])
        except DomainError:
            assert not may
        else:
            assert may
            self.model.assigned[line_id] = who

    @rule(line_id=lines)
    def withdraw(self, line_id: str) -> None:
        if line_id in self.model.lines and self.model.assigned.pop(line_id, -1) != -1:
            self.stage.withdraw(line_id)

    @rule(line_id=lines)
    def confirm_any(self, line_id: str) -> None:
        self.confirm(line_id)

    @rule(target=lines, reference=references)
    def goes_well(self, reference: str) -> str:
        """The bank has it, the file comes in, a checker confirms: all in one step."""
        line_id = self.line_for(reference=reference, amount=100, right=True, put=True)
        self.confirm(line_id)
        return line_id

    @rule(target=lines, who=st.one_of(st.none(), WHO), amount=AMOUNTS, out=st.booleans())
    def assigned_and_confirmed(self, who: int | None, amount: int, *, out: bool) -> str:
        line_id = self.line(amount=amount, out=out, put=True)
        self.assign(line_id=line_id, who=who)
        self.confirm(line_id)
        return line_id

    def confirm(self, line_id: str) -> None:
        if line_id in self.written:
            return
        try:
            self.stage.confirm(line_id)
        except DomainError:
            assert line_id not in self.model.lines or not self.model.confirm(line_id)
        else:
            assert self.model.confirm(line_id)

    @rule()
    def roll_up(self) -> None:
        self.stage.run(ledger.roll_up)

    @invariant()
    def books_and_bank_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        parts, model = self.stage.identity(), self.model
        assert parts.off_minor == 0
        beside = self.stage.at_bank()
        assert beside is None or beside.off_minor == 0
        assert parts.trust_bank_minor - self.at_start.trust_bank_minor == model.matched
        on_way = sum(minor for _, minor in model.deposits.values())
        assert parts.deposits_in_transit_minor - self.at_start.deposits_in_transit_minor == on_way
        leaving = sum(minor for _, minor in model.payouts.values())
        assert parts.payouts_in_transit_minor - self.at_start.payouts_in_transit_minor == leaving
        assert [self.stage.balance(agent) for agent in self.agents] == model.floats
        assert self.stage.balance(None) == model.operator

    def teardown(self) -> None:
        if hasattr(self, "model"):
            if self.written:
                self.stage.put_paper()
            self.stage.check()


def test_random_lives(stage: Stage) -> None:
    TrustMachine.stage = stage
    run_state_machine_as_test(
        TrustMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
