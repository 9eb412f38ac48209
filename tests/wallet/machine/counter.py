"""Cash over the counter, and cash out by a code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.wallet.counter import cash, redeeming, withdrawals
from app.wallet.counter.redeeming import Due
from app.wallet.keys import derived_key
from tests.wallet.machine.base import Asked, Base, Typed
from tests.wallet.machine.books import Hold, Refused
from tests.wallet.machine.model import Movement, float_of
from workers import counter as chores

CODE_TRIES, CODE_DIGITS = 3, 6


@dataclass(eq=False)
class Withdrawal:
    """`movement` with its price is what the code was made for."""

    id: UUID
    hold_id: UUID
    movement: Movement
    expires: datetime
    tries: int = CODE_TRIES
    proven: bool = False
    state: str = "open"

    def lasts(self, now: datetime) -> bool:
        return self.state == "open" and now < self.expires


class Counter(Base):
    def cash_in(self, agent: str, customer: str, amount: int, how: str) -> Asked | None:
        def movement() -> Movement:
            self.model.refuse_agent(agent)
            if agent == customer:
                raise Refused("own_number")
            if not self.model.has_wallet(customer):
                raise Refused("person_unknown")
            self.model.refuse_payee(customer)
            self.model.at_counter(amount)
            price, pays = self.model.priced("cash_in", amount, agent)
            debit = float_of(agent)
            return Movement(
                "cash_in", debit, customer, amount, price, pays, payee=customer, agent=agent
            )

        def then(it: Movement, answer: Any) -> None:
            self.model.carry_out(it, answer)
            self.model.tell(answer, "cash_in_done", customer)
            self.model.tell(answer, "cash_in_given", agent)
            self.model.fell(agent, answer)

        return self.move(
            f"{agent} takes {amount} of {customer}",
            agent,
            offer=lambda s: cash.offer_in(
                s, self.market, self.agent(s, agent), self.number(customer), amount, at=self.now
            ),
            movement=movement,
            confirm=cash.confirm_in,
            then=then,
            how=how,
        )

    def cash_out(self, customer: str, agent: str, amount: int, how: str) -> Asked | None:
        def then(it: Movement, answer: Any) -> None:
            self.model.carry_out(it, answer)
            self._paid_out(it, answer)

        return self.move(
            f"{customer} takes out {amount} at {agent}",
            customer,
            offer=lambda s: cash.offer_out(
                s, self.market, self.person(s, customer), self.agent(s, agent).code, amount,
                at=self.now,
            ),
            movement=lambda: self._withdrawing(customer, agent, amount),
            confirm=cash.confirm_out,
            then=then,
            how=how,
        )  # fmt: skip

    # ---- by code

    def make_code(self, customer: str, agent: str, amount: int, how: str) -> Asked | None:
        """The money is set aside, and its limits count, when the code is made."""

        def then(it: Movement, answer: Any) -> None:
            self.model.refuse_payer(customer)
            self.model.refuse_agent(agent)
            old = self._open_of(customer)
            if old and old.lasts(self.now):
                raise Refused("withdrawal_open")
            books = self.books.copy()
            books.release(old.hold_id if old else None)
            hold_id = self.town.row(answer).hold_id if answer else UUID(int=0)
            expires = self.now + timedelta(seconds=self.market.agents.withdrawal_code_seconds)
            counts = self.model.counts(customer, amount)
            books.hold(hold_id, Hold(customer, it.total, counts, expires))
            if old:
                self._code_ends(old, "expired")
            self.model.books = books
            self.model.tell(answer, "withdrawal_code", customer)
            if answer:
                self.withdrawals[answer.id] = Withdrawal(answer.id, hold_id, it, expires)

        return self.move(
            f"{customer} makes a code for {amount} at {agent}",
            customer,
            offer=lambda s: cash.offer_out(
                s, self.market, self.person(s, customer), self.agent(s, agent).code, amount,
                at=self.now,
            ),
            movement=lambda: self._withdrawing(customer, agent, amount),
            confirm=lambda s, market, offer, **more: withdrawals.confirm(
                s, market, self.town.codes, offer, **more
            ),
            then=then,
            how=how,
        )  # fmt: skip

    def redeem(self, agent: str, customer: str, code: Typed, how: str) -> Asked | None:
        """The customer shows a code; without one: a channel that lost its way."""
        due, made = self.both(
            f"{agent} looks for a code of {customer}",
            lambda: self.town.run(
                lambda s: redeeming.find_due(
                    s, self.market, self.agent(s, agent), self.number(customer), at=self.now
                )
            ),
            lambda: self._due(agent, customer),
        )
        if due is None or made is None:
            return None
        if code != "no code" and not self._prove(due, made, right=code == "right code"):
            return None

        def then(it: Movement, answer: Any) -> None:
            if self.model.people[customer].state != "active":
                raise Refused("customer_suspended")
            if not made.proven:
                raise Refused("withdrawal_unknown")
            if not made.lasts(self.now):
                raise Refused("code_expired" if made.state == "open" else "code_used")
            self.model.carry_out(it, answer, hold_id=made.hold_id)
            made.state = "used"
            self._paid_out(it, answer)

        return self.move(
            f"{agent} pays out the code of {customer}",
            agent,
            offer=lambda _: due.offer,
            movement=lambda: made.movement,
            confirm=lambda s, market, _, **more: redeeming.confirm_by_code(
                s, market, self.town.codes, due, **more
            ),
            then=then,
            how=how,
        )

    def cancel_code(self, made: Withdrawal, by: str) -> None:
        def model(_: Any) -> None:
            if by != made.movement.debit or made.state == "used":
                raise Refused("withdrawal_unknown")
            if made.state == "open":
                self._code_ends(made, "cancelled")

        self.same(
            f"{by} cancels a code",
            lambda s: withdrawals.cancel(
                s, self.town.codes, made.id, by=self.ids[by], now=self.now
            ),
            model,
        )

    def expire_codes(self) -> None:
        """What the clock brings."""
        due = [one for one in self.withdrawals.values() if one.state == "open"]
        due = [one for one in due if one.expires <= self.now]
        ended = chores.expire_withdrawals(self.db, self.town.codes, self.now)
        assert ended == len(due), "codes that expired"
        for made in due:
            self._code_ends(made, "expired")

    # ---- the model's part

    def _withdrawing(self, customer: str, agent: str, amount: int) -> Movement:
        self.model.refuse_agent(agent)
        if agent == customer:
            raise Refused("own_code")
        self.model.at_counter(amount)
        price, pays = self.model.priced("cash_out", amount, agent)
        credit = float_of(agent)
        return Movement(
            "cash_out", customer, credit, amount, price, pays, payer=customer, agent=agent
        )

    def _paid_out(self, it: Movement, answer: Any) -> None:
        assert it.payer
        assert it.agent
        self.model.tell(answer, "cash_out_done", it.payer)
        self.model.tell(answer, "cash_out_pay", it.agent)
        self.model.rose(it.agent)

    def _open_of(self, customer: str) -> Withdrawal | None:
        mine = [one for one in self.withdrawals.values() if one.movement.payer == customer]
        return next((one for one in mine if one.state == "open"), None)

    def _due(self, agent: str, customer: str) -> Withdrawal:
        self.model.refuse_agent(agent)
        made = self._open_of(customer)
        if made is None or made.movement.agent != agent or not made.lasts(self.now):
            raise Refused("withdrawal_unknown")
        return made

    def _prove(self, due: Due, made: Withdrawal, *, right: bool) -> bool:
        """The try is counted and committed before the code is looked at."""
        code_id = derived_key(made.id, "code")
        typed = self.code("withdrawal", made.id, code_id, CODE_DIGITS, right=right)
        codes = self.town.codes

        def real() -> None:
            attempt = self.town.run(lambda s: codes.begin(s, due.code_id))
            self.town.run(lambda s: redeeming.prove(s, codes, due, attempt, typed, self.now))

        def model() -> None:
            if not made.tries:
                raise Refused("code_locked")
            made.tries -= 1
            if not right:
                raise Refused("code_wrong" if made.tries else "code_locked")
            made.proven = True

        proven = made.tries > 0 and right
        self.both("a code is typed", real, model)
        return proven

    def _code_ends(self, made: Withdrawal, state: str) -> None:
        self.books.release(made.hold_id)
        made.state = state
        assert made.movement.payer
        self.model.tell(made.id, f"withdrawal_{state}", made.movement.payer)
