"""All that is known of one payment, for whoever must decide what its biller never told.

Names and numbers that a biller can look it up by, what was asked and when, what staff propose. No
token: that is the customer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers import orders
from app.billers.batches.models import Batch
from app.billers.models import Payment, Resolution
from app.billers.protocols.iso8583 import messages
from app.markets import Biller, Market
from app.wallet import agents, people

Fact = tuple[str, str]


def known(session: Session, market: Market, payment_id: UUID) -> list[Fact]:
    """Names of facts and what they are, in the order in which one asks."""
    payment = session.get_one(Payment, payment_id, populate_existing=True)
    rules = market.billers.get(payment.biller)
    found = [
        ("paid by", _payer(session, payment)),
        ("biller", _biller(payment, rules)),
        ("biller reference", payment.biller_ref),
        ("their inquiry", payment.bill_ref),
        ("their transaction", payment.biller_txn),
        ("their receipt", payment.receipt_no),
        ("owed", market.currency.format(payment.owed_minor) if payment.owed_minor else ""),
        ("STAN, RRN", _numbers(market, payment, rules)),
        ("day's file", _batch(session, payment)),
        ("requests", _requests(market, payment)),
        ("undoing since", _at(market, payment.reversing_at)),
        ("next", _next(market, payment)),
        ("told to wait", _at(market, payment.told_at)),
        ("given back", _at(market, payment.refunded_at)),
    ]
    return [fact for fact in found if fact[1]] + list(_proposals(session, market, payment_id))


def _payer(session: Session, payment: Payment) -> str:
    if payment.agent_id is None:
        person = people.get(session, payment.person_id)
        return f"{person.name} {person.msisdn}"
    agent = agents.get(session, payment.agent_id)
    return f"agent {agent.code} {agent.name} {agent.msisdn}, for {payment.customer_msisdn}"


def _biller(payment: Payment, rules: Biller | None) -> str:
    if rules is None:
        return f"{payment.biller}, which the market has no more"
    return f"{payment.biller} {rules.name}, {rules.family}; silence: {rules.silence_policy}"


def _numbers(market: Market, payment: Payment, rules: Biller | None) -> str:
    """What an ISO 8583 biller finds the purchase by."""
    sold = {product.code for product in rules.products} if rules else set()
    if rules is None or rules.family != "iso8583" or payment.product not in sold:
        return ""
    nobody = messages.Terminal("", "", "")
    fields = messages.payment(nobody, orders.order_of(market, payment))
    return f"{fields['11']}, {fields['37']}"


def _batch(session: Session, payment: Payment) -> str:
    if payment.batch_id is None:
        return ""
    return session.scalar(select(Batch.name).where(Batch.id == payment.batch_id)) or ""


def _requests(market: Market, payment: Payment) -> str:
    if payment.first_sent_at is None:
        return "none: it never left"
    return f"{payment.requests}, the first {_at(market, payment.first_sent_at)}"


def _next(market: Market, payment: Payment) -> str:
    if payment.due_at is None:
        return ""
    what = "the purchase again" if payment.send_again else "looked at"
    return f"{what} {_at(market, payment.due_at)}"


def _proposals(session: Session, market: Market, payment_id: UUID) -> Iterator[Fact]:
    """What staff say became of it, and how they know, oldest first."""
    statement = select(Resolution).where(Resolution.payment_id == payment_id)
    for one in session.scalars(statement.order_by(Resolution.proposed_at)):
        end = (
            f"approved by {one.checker}" if one.approved_at
            else "withdrawn" if one.withdrawn_at
            else "waits for another person"
        )  # fmt: skip
        by = f"{one.outcome} by {one.maker} {_at(market, one.proposed_at)}"
        yield "proposed", f"{by}, {end}: {one.evidence}"


def _at(market: Market, at: datetime | None) -> str:
    return at.astimezone(market.zone).strftime("%Y-%m-%d %H:%M:%S") if at else ""
