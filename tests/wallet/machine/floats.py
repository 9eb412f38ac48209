"""Floats between agents, and what agents earn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.wallet.counter import float_requests, floats, payouts
from app.wallet.counter.float_requests import RequestView
from tests.wallet.machine.base import Asked, Base
from tests.wallet.machine.books import OPERATOR, Refused
from tests.wallet.machine.model import Movement, float_of
from workers import counter as chores


@dataclass(eq=False)
class Request:
    id: UUID
    agent: str
    above: str
    amount: int
    expires: datetime
    state: str = "open"

    def lasts(self, now: datetime) -> bool:
        return self.state == "open" and now < self.expires


class Floats(Base):
    def move_float(self, giver: str, taker: str, amount: int, how: str) -> Asked | None:
        def movement() -> Movement:
            if giver == taker:
                raise Refused("own_code")
            self.model.at_counter(amount)
            return self._between(giver, taker, amount)

        return self.move(
            f"{giver} moves {amount} to {taker}",
            giver,
            offer=lambda s: floats.offer_move(
                s, self.market, self.agent(s, giver), self.agent(s, taker).code, amount, at=self.now
            ),
            movement=movement,
            confirm=floats.confirm_move,
            then=lambda it, answer: self._moved(it, giver, taker, answer),
            how=how,
        )

    def request(self, agent: str, amount: int) -> Request | None:
        above = self.model.agents[agent].above

        def model(answer: RequestView | None) -> None:
            self.model.refuse_agent(agent)
            if above is None or self._is_away(above):
                raise Refused("no_super_agent")
            self.model.at_counter(amount)
            self.model.priced("float_move", amount)
            old = next((one for one in self.asked_for if self._stands(one, agent)), None)
            if old and old.lasts(self.now):
                raise Refused("float_request_open")
            if old:
                self._unanswered(old)
            self.model.tell(answer, "float_asked", above)

        view = self.same(
            f"{agent} asks for {amount}",
            lambda s: float_requests.request(
                s, self.market, self.agent(s, agent), amount, now=self.now
            ),
            model,
        )
        if view is None or above is None:
            return None
        made = Request(view.id, agent, above, amount, view.expires_at)
        self.asked_for.append(made)
        return made

    def grant(self, asked_for: Request, giver: str, how: str) -> Asked | None:
        def movement() -> Movement:
            self._refuse_gone(asked_for, giver)
            return self._between(giver, asked_for.agent, asked_for.amount)

        def then(it: Movement, answer: Any) -> None:
            self.model.refuse_agent(asked_for.agent)
            self._refuse_gone(asked_for, giver)
            self._moved(it, giver, asked_for.agent, answer)
            asked_for.state = "granted"

        return self.move(
            f"{giver} grants {asked_for.amount} to {asked_for.agent}",
            giver,
            offer=lambda s: float_requests.offer_grant(
                s, self.market, self.agent(s, giver), asked_for.id, at=self.now
            ),
            movement=movement,
            confirm=lambda s, market, offer, **more: float_requests.confirm_grant(
                s, market, offer, request_id=asked_for.id, **more
            ),
            then=then,
            how=how,
        )

    def refuse_request(self, asked_for: Request, by: str) -> None:
        def model(_: Any) -> None:
            if asked_for.state == "refused" and asked_for.above == by:
                return
            self._refuse_gone(asked_for, by)
            asked_for.state = "refused"
            self.model.tell(asked_for.id, "float_refused", asked_for.agent)

        self.same(
            f"{by} refuses {asked_for.agent}",
            lambda s: float_requests.refuse_request(s, self.agent(s, by), asked_for.id, self.now),
            model,
        )

    def expire_requests(self) -> None:
        """What the clock brings."""
        due = [one for one in self.asked_for if one.state == "open" and one.expires <= self.now]
        assert chores.expire_float_requests(self.db, self.now) == len(due), "requests that expired"
        for one in due:
            self._unanswered(one)

    # ---- commission

    def pay_commission(self, agent: str) -> None:
        """What accrued before the period, once in it; the same again answers the same."""
        one, until = self.model.agents[agent], payouts.period_start(self.market, self.now)

        def model(paid: Any) -> None:
            if until not in one.paid:
                due = [accrual for accrual in one.accruals if accrual.at < until]
                minor, funded = sum(a.minor for a in due), sum(a.funded for a in due)
                if minor <= 0:
                    assert paid is None, "paid, though nothing had accrued"
                    return
                self._pay(agent, minor - funded, funded)
                one.paid[until] = minor
                one.accruals = [accrual for accrual in one.accruals if accrual.at >= until]
                self.model.tell(paid, "commission_paid", agent)
            if paid is None:
                raise Refused("paid before")
            assert paid.amount_minor == one.paid[until]
            self.model.rose(agent)

        self.same(
            f"{agent} is paid",
            lambda s: payouts.pay(s, self.market, self.agent_ids[agent], self.now),
            model,
        )

    def _pay(self, agent: str, owed: int, funded: int) -> None:
        """Each part from where it is, or back to there; what comes in stands first."""
        into = float_of(agent)
        parts = [("commission", funded), (OPERATOR, owed)]
        moves = [(source, into, minor) for source, minor in parts if minor > 0]
        moves += [(into, source, -minor) for source, minor in parts if minor < 0]
        try:
            self.books.post(moves)
        except Refused:
            raise Refused("operator_short") from None

    # ---- the model's part

    def _between(self, giver: str, taker: str, amount: int) -> Movement:
        self.model.refuse_agent(giver)
        self.model.refuse_agent(taker)
        price, pays = self.model.priced("float_move", amount)
        return Movement(
            "float_move", float_of(giver), float_of(taker), amount, price, pays, agent=giver
        )

    def _moved(self, it: Movement, giver: str, taker: str, answer: Any) -> None:
        self.model.refuse_agent(taker)
        self.model.carry_out(it, answer)
        self.model.tell(answer, "float_sent", giver)
        self.model.tell(answer, "float_got", taker)
        self.model.fell(giver, answer)
        self.model.rose(taker)

    def _is_away(self, agent: str) -> bool:
        try:
            self.model.refuse_agent(agent)
        except Refused:
            return True
        return False

    def _stands(self, one: Request, agent: str) -> bool:
        return one.agent == agent and one.state == "open"

    def _refuse_gone(self, one: Request, by: str) -> None:
        if one.above != by or not one.lasts(self.now):
            raise Refused("float_request_gone")

    def _unanswered(self, one: Request) -> None:
        one.state = "expired"
        self.model.tell(one.id, "float_unanswered", one.agent)
