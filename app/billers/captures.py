"""Sales, as many as came in together: money, state, event and SMS in five statements for them all.

A sale is the common end of a payment, and a busy worker has many a moment, so this is the one step
of a payment's life that is written in the plural. The rows are locked by the caller; the ledger's
locks come after those, in its own order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.billers import telling
from app.billers.models import Payment
from app.billers.states import State, is_allowed
from app.markets.model import Market
from app.wallet import agents, commission, ledger
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting

POSTING_KIND = "bill_payment"

# What the biller called its sale is written here too: the rows hold it, but were not flushed.
_CAPTURED = select(Payment).from_statement(
    text("""
    WITH sold AS (
        SELECT * FROM jsonb_to_recordset(CAST(:sold AS jsonb)) AS sold (
            id uuid, source text, tokens text[], biller_txn text, receipt_no text,
            acknowledged bool, told jsonb, facts jsonb)
    ), captured AS (
        UPDATE payments p SET
            state = 'captured', came_from = p.state, tokens = sold.tokens,
            biller_txn = sold.biller_txn, receipt_no = sold.receipt_no,
            acknowledged = sold.acknowledged, told = sold.told,
            settled_at = :now, due_at = NULL, lease_until = NULL, send_again = false
        FROM sold WHERE p.id = sold.id AND p.state = sold.source
        RETURNING p.*
    ), events AS (
        INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)
        SELECT captured.id, :now, captured.came_from, 'captured', 'paid', sold.facts
        FROM captured JOIN sold ON sold.id = captured.id
    )
    SELECT * FROM captured
""")
)


class PostingRefusedError(RuntimeError):
    """The ledger refused what a payment's state calls for; a person must look."""


@dataclass(frozen=True, slots=True)
class Sale:
    """An undecided payment, locked, whose biller sold it; `facts` go into its event."""

    payment: Payment
    tokens: tuple[str, ...]
    facts: Mapping[str, Any]


def capture(session: Session, market: Market, sales: Sequence[Sale], now: datetime) -> None:
    """Each payment once. Raises PostingRefusedError, and ValueError for one that is decided."""
    payments = [sale.payment for sale in sales]
    postings = [_posting(session, payment) for payment in payments]
    for payment, posted in zip(payments, ledger.post(session, postings, now=now), strict=True):
        if posted.refusal or posted.posting_id is None:
            raise PostingRefusedError(f"capture of {payment.reference}: {posted.refusal}")
        _accrue(session, payment, posted.posting_id, now)
    _shift(session, sales, now)
    telling.tell_all(session, market, payments, "payment_paid", now)


def _posting(session: Session, payment: Payment) -> Posting:
    net_fee = payment.fee_minor - payment.tax_minor - payment.commission_minor
    shares = (
        (f"settlement:{payment.biller}", payment.amount_minor),
        ("tax", payment.tax_minor),
        ("commission", payment.commission_minor),
        ("fees", net_fee),
    )
    return Posting(
        key=derived_key(payment.id, "capture"),
        kind=POSTING_KIND,
        moves=tuple(
            Move(payment.wallet_id, ledger.house_account(session, name, payment.currency), part)
            for name, part in shares
            if part
        ),
        reference=payment.reference,
        hold_id=payment.hold_id,
    )


def _accrue(session: Session, payment: Payment, posting_id: int, now: datetime) -> None:
    """At an agent's counter its agents earn."""
    if payment.agent_id is None:
        return
    agent = agents.get(session, payment.agent_id)
    commission.accrue_shares(
        session,
        posting_id,
        payment.reference,
        commission.shares_of(agent, payment.earned_minor, payment.super_agent_minor),
        funded_minor=payment.commission_minor,
        now=now,
    )


def _shift(session: Session, sales: Sequence[Sale], now: datetime) -> None:
    for sale in sales:
        if not is_allowed(State(sale.payment.state), State.CAPTURED):
            raise ValueError(f"{sale.payment.reference} is {sale.payment.state}, and decided")
    values = {"sold": json.dumps([_row(sale) for sale in sales]), "now": now}
    with session.no_autoflush:
        captured: Sequence[Payment] = session.scalars(
            _CAPTURED, values, execution_options={"populate_existing": True}
        ).all()
    if len(captured) != len(sales):
        raise ValueError("a payment was captured twice, or without its lock")


def _row(sale: Sale) -> dict[str, Any]:
    payment = sale.payment
    return {
        "id": str(payment.id),
        "source": payment.state,
        "tokens": list(sale.tokens),
        "biller_txn": payment.biller_txn,
        "receipt_no": payment.receipt_no,
        "acknowledged": payment.acknowledged,
        "told": payment.told,
        "facts": dict(sale.facts),
    }
