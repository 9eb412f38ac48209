"""Paying out a withdrawal whose code the customer shows to the agent.

    find_due ──▶ codes.begin, commit ──▶ prove, commit ──▶ PIN ──▶ confirm_by_code

A try is counted and committed before the code is looked at, and a right one is noted in the row of
its withdrawal. Code, agent and amount are those of one row, so a code opens nothing but what its
own customer agreed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Fee
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.codes import CodeAttempt, Codes
from app.wallet.counter import cash, withdrawals
from app.wallet.counter.withdrawals import Withdrawal
from app.wallet.people import Person
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView


@dataclass(frozen=True, slots=True)
class Due:
    """What an agent can pay out when the code is typed: the offer shows amount and masked name."""

    withdrawal_id: UUID
    code_id: UUID
    offer: Offer


def find_due(session: Session, market: Market, agent: Agent, msisdn: str, *, at: datetime) -> Due:
    """What the customer of this number has made a code for at this agent.

    Raises DomainError `agent_suspended`, `withdrawal_unknown`.
    """
    agents.refuse_inactive(agent)
    customer = people.find(session, msisdn)
    row = None
    if customer is not None:
        mine = (Withdrawal.person_id == customer.id, Withdrawal.agent_id == agent.id)
        standing = (Withdrawal.state == "open", Withdrawal.expires_at > at)
        row = session.scalar(select(Withdrawal).where(*mine, *standing))
    if row is None or customer is None:
        raise DomainError("withdrawal_unknown")
    return Due(row.id, row.code_id, _offer(market, row, customer, agent))


def prove(
    session: Session,
    codes: Codes,
    due: Due,
    attempt: CodeAttempt,
    typed: str,
    now: datetime,
) -> None:
    """The code is looked at, and that it was right noted in its row, without which nothing is paid
    out. `attempt` was committed before by `codes.begin(session, due.code_id)`.

    Raises DomainError `code_wrong` with `left`, `code_locked`, `withdrawal_unknown`.
    """
    if attempt.code.id != due.code_id:
        raise DomainError("withdrawal_unknown")
    codes.check(attempt, typed)
    codes.give_back(session, due.code_id)  # it was right: only wrong ones count
    proven = update(Withdrawal).where(Withdrawal.id == due.withdrawal_id)
    session.execute(proven.values(proven_at=now))


def confirm_by_code(
    session: Session,
    market: Market,
    codes: Codes,
    due: Due,
    *,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> TransferView:
    """Take the held money of a withdrawal whose code was proven, and tell both. The same intent
    again answers the transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`; `code_used`, `code_expired`,
    `withdrawal_unknown` (not proven, or another's), `customer_suspended`.
    """
    intent = posting.confirmed(session, due.offer, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    assert due.offer.payer_id
    if people.locked_for_payment(session, due.offer.payer_id).state != "active":
        raise DomainError("customer_suspended")
    row = withdrawals.locked(session, due.withdrawal_id)
    if row is None or row.proven_at is None or row.agent_id != due.offer.agent_id:
        raise DomainError("withdrawal_unknown")
    codes.use(session, row.code_id, now)
    view = posting.carry_out(
        session,
        market,
        due.offer,
        intent=intent,
        key=posting.intent_key(intent_id),
        now=now,
        hold_id=row.hold_id,
    )
    withdrawals.close(session, row, "used", now, transfer_id=view.id)
    cash.tell(session, market, view, cash.CASH_OUT, now)
    return view


def _offer(market: Market, row: Withdrawal, customer: Person, agent: Agent) -> Offer:
    """As it was quoted when the code was made, whatever the price is now."""
    fee = Fee(
        total_minor=row.fee_minor,
        tax_minor=row.tax_minor,
        commission_minor=row.commission_minor,
        funded_minor=row.funded_minor,
        super_agent_minor=row.super_agent_minor,
    )
    return Offer(
        kind="cash_out",
        payer_account=customer.wallet_id,
        payee_account=agent.float_id,
        payer_id=customer.id,
        payee_id=None,
        agent_id=agent.id,
        msisdn=customer.msisdn,
        name=people.masked(customer.name),
        currency=market.currency.code,
        amount_minor=row.amount_minor,
        fee=fee,
        fee_payer=row.fee_payer,  # type: ignore[arg-type]  # the column's CHECK
    )
