"""Giving a payer the money back after the biller took a sale back, by a case of two of the staff.

    captured ─▶ returned ─┬─▶ refunded            the payer has amount and fee again
                          └─▶ written off         it was a sale after all (`reconciliation`)

Each excludes the other: both look under the lock of the payment's row. The state stays `returned`;
`refunded_at` says that the payer has it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers import models, telling
from app.billers.models import Payment
from app.billers.reconciliation import exceptions
from app.billers.states import State
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, references, refunds
from app.wallet.counter import low_float
from app.wallet.keys import derived_key


def refundable(session: Session, reference: str) -> Payment:
    """A payment whose sale was taken back and whose payer has nothing of it yet, locked.

    Raises DomainError `payment_unknown`, `not_returned` with `state`, `sale_refunded`,
    `sale_written_off`.
    """
    statement = select(Payment.id).where(Payment.reference == references.written(reference))
    payment_id = session.scalar(statement)
    if payment_id is None:
        raise DomainError("payment_unknown")
    payment = models.lock(session, payment_id)
    if payment.state != State.RETURNED:
        raise DomainError("not_returned", state=payment.state)
    if payment.refunded_at is not None:
        raise DomainError("sale_refunded", reference=payment.reference)
    if exceptions.returned_written_off(session, payment.id):
        raise DomainError("sale_written_off", reference=payment.reference)
    return payment


def give_back(
    session: Session,
    market: Market,
    reference: str,
    *,
    case_id: UUID,
    checker: str,
    now: datetime,
) -> Payment:
    """The payer has amount and fee again, and is told. Raises as `refundable`."""
    payment = refundable(session, reference)
    refunds.refund(
        session,
        key=derived_key(payment.id, "refund"),
        hold_id=payment.hold_id,
        returned=f"payment:{payment.id}:returned",
        case_id=case_id,
        now=now,
    )
    payment.refunded_at = now
    session.flush()
    facts = {"case": str(case_id), "checker": checker}
    models.note(session, payment.id, State.RETURNED, "refunded", now=now, facts=facts)
    if payment.agent_id is not None:
        low_float.rose(session, market, agents.get(session, payment.agent_id))
    telling.tell(session, market, payment, "payment_refunded", now)
    return payment
