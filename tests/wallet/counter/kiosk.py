"""A town with a counter: what agents and their customers do, each step a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from app.wallet import agents, ledger
from app.wallet.agents import Agent, AgentRow
from app.wallet.codes import CodeAttempt, outgoing
from app.wallet.counter import (
    cash,
    float_requests,
    floats,
    payouts,
    redeeming,
    sheet,
    withdrawals,
)
from app.wallet.counter.float_requests import RequestView
from app.wallet.counter.redeeming import Due
from app.wallet.counter.sheet import Sheet
from app.wallet.counter.withdrawals import Withdrawal, WithdrawalView
from app.wallet.people import Person
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView
from tests.wallet.transfers.town import Town, now

Confirming = Callable[..., TransferView]


@dataclass
class Kiosk(Town):
    """`at` is when something is done, now unless told."""

    def again(self, agent: Agent) -> Agent:
        """The agent as it stands now."""
        return self.run(lambda session: agents.get(session, agent.id))

    def suspend(self, agent: Agent) -> None:
        self.run(lambda session: agents.set_state(session, agent.id, "suspended"))

    def resume(self, agent: Agent) -> None:
        self.run(lambda session: agents.set_state(session, agent.id, "active"))

    def confirm(
        self,
        confirming: Confirming,
        offer: Offer,
        by: UUID,
        *,
        intent_id: UUID | None = None,
        at: datetime | None = None,
        **more: Any,
    ) -> TransferView:
        intent_id = intent_id or self.intent(offer, by, at=at)
        return self.run(
            lambda session: confirming(
                session, self.market, offer, intent_id=intent_id, by=by, now=at or now(), **more
            )
        )

    # ---- cash

    def offer_in(
        self, agent: Agent, msisdn: str, amount_minor: int, at: datetime | None = None
    ) -> Offer:
        return self.run(
            lambda session: cash.offer_in(
                session, self.market, agent, msisdn, amount_minor, at=at or now()
            )
        )

    def cash_in(
        self, agent: Agent, customer: Person, amount_minor: int, at: datetime | None = None
    ) -> TransferView:
        offer = self.offer_in(agent, customer.msisdn, amount_minor, at)
        return self.confirm(cash.confirm_in, offer, agent.person_id, at=at)

    def offer_out(
        self, customer: Person, code: str, amount_minor: int, at: datetime | None = None
    ) -> Offer:
        return self.run(
            lambda session: cash.offer_out(
                session, self.market, customer, code, amount_minor, at=at or now()
            )
        )

    def cash_out(
        self, customer: Person, agent: Agent, amount_minor: int, at: datetime | None = None
    ) -> TransferView:
        offer = self.offer_out(customer, agent.code, amount_minor, at)
        return self.confirm(cash.confirm_out, offer, customer.id, at=at)

    # ---- withdrawals by code

    def confirm_code(
        self, offer: Offer, customer: Person, intent_id: UUID, at: datetime | None = None
    ) -> WithdrawalView:
        return self.run(
            lambda session: withdrawals.confirm(
                session, self.market, self.codes, offer,
                intent_id=intent_id, by=customer.id, now=at or now(),
            )
        )  # fmt: skip

    def make_code(
        self, customer: Person, agent: Agent, amount_minor: int, at: datetime | None = None
    ) -> WithdrawalView:
        offer = self.offer_out(customer, agent.code, amount_minor, at)
        return self.confirm_code(offer, customer, self.intent(offer, customer.id, at=at), at)

    def withdrawal(self, made: WithdrawalView) -> WithdrawalView:
        """As it stands now."""
        return self.run(lambda session: withdrawals.outcome(session, made.id))

    def digits(self, made: WithdrawalView) -> str:
        """What stands in the SMS."""
        return self.run(lambda session: self.codes.digits(outgoing(session, made.code_id)))

    def due(self, agent: Agent, customer: Person, at: datetime | None = None) -> Due:
        return self.run(
            lambda session: redeeming.find_due(
                session, self.market, agent, customer.msisdn, at=at or now()
            )
        )

    def begin(self, due: Due) -> CodeAttempt:
        return self.run(lambda session: self.codes.begin(session, due.code_id))

    def type_code(self, due: Due, typed: str) -> None:
        """What an agent's hop does with the code."""
        attempt = self.begin(due)
        self.run(lambda session: redeeming.prove(session, self.codes, due, attempt, typed, now()))

    def pay_out(self, due: Due, agent: Agent, intent_id: UUID | None = None) -> TransferView:
        intent_id = intent_id or self.intent(due.offer, agent.person_id)
        return self.run(
            lambda session: redeeming.confirm_by_code(
                session, self.market, self.codes, due,
                intent_id=intent_id, by=agent.person_id, now=now(),
            )
        )  # fmt: skip

    def cancel_code(self, made: WithdrawalView, by: UUID) -> WithdrawalView:
        return self.run(
            lambda session: withdrawals.cancel(session, self.codes, made.id, by=by, now=now())
        )

    def expire_code(self, made: WithdrawalView, at: datetime) -> bool:
        return self.run(lambda session: withdrawals.expire(session, self.codes, made.id, at))

    def held(self, customer: Person) -> int:
        return self.run(lambda s: ledger.balance(s, customer.wallet_id)).held_minor

    def row(self, made: WithdrawalView) -> Withdrawal:
        return self.run(lambda session: session.get_one(Withdrawal, made.id))

    # ---- floats

    def offer_move(
        self, agent: Agent, code: str, amount_minor: int, at: datetime | None = None
    ) -> Offer:
        return self.run(
            lambda session: floats.offer_move(
                session, self.market, agent, code, amount_minor, at=at or now()
            )
        )

    def move(
        self, agent: Agent, payee: Agent, amount_minor: int, at: datetime | None = None
    ) -> TransferView:
        offer = self.offer_move(agent, payee.code, amount_minor, at)
        return self.confirm(floats.confirm_move, offer, agent.person_id, at=at)

    def request(self, agent: Agent, amount_minor: int, at: datetime | None = None) -> RequestView:
        return self.run(
            lambda session: float_requests.request(
                session, self.market, agent, amount_minor, now=at or now()
            )
        )

    def offer_grant(self, above: Agent, asked: RequestView, at: datetime | None = None) -> Offer:
        return self.run(
            lambda session: float_requests.offer_grant(
                session, self.market, above, asked.id, at=at or now()
            )
        )

    def grant(
        self, above: Agent, asked: RequestView, offer: Offer, intent_id: UUID | None = None
    ) -> TransferView:
        return self.confirm(
            float_requests.confirm_grant, offer, above.person_id,
            intent_id=intent_id, request_id=asked.id,
        )  # fmt: skip

    def refuse(self, above: Agent, asked: RequestView) -> None:
        self.run(lambda session: float_requests.refuse_request(session, above, asked.id, now()))

    def asked(self, asked: RequestView) -> RequestView:
        """As it stands now."""
        return self.run(lambda session: float_requests.outcome(session, asked.id))

    def waiting(self, above: Agent, at: datetime | None = None) -> list[UUID]:
        found = self.run(lambda session: float_requests.waiting(session, above.id, at or now()))
        return [view.id for view in found]

    def told_low(self, agent: Agent) -> bool:
        told = select(AgentRow.low_float_told_at).where(AgentRow.id == agent.id)
        return self.run(lambda session: session.scalar(told)) is not None

    # ---- what it comes to

    def sheet(self, agent: Agent, day: date, at: datetime | None = None) -> Sheet:
        return self.run(
            lambda session: sheet.of_day(session, self.market, agent, day, now=at or now())
        )

    def earned(self, agent: Agent, at: datetime | None = None) -> payouts.Earnings:
        return self.run(lambda session: payouts.earnings(session, self.market, agent, at or now()))

    def query(self, statement: str, **values: object) -> list[Any]:
        return self.run(lambda session: list(session.execute(text(statement), values)))


def with_parent(kiosk: Kiosk, float_minor: int = 1_000_000) -> tuple[Agent, Agent]:
    """A super-agent with a float, and an agent below it."""
    above = kiosk.super_agent()
    kiosk.run(lambda session: kiosk._pay_in(session, above.float_id, float_minor))
    return above, kiosk.agent(float_minor, parent=above)
