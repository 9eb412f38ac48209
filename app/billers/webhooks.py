"""What a biller tells us by itself, before, beside or after the answer to our request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import bell
from app.billers import models, orders, settlement
from app.billers.models import Payment, PaymentEvent
from app.billers.protocols.answers import Answer, Heard, Outcome
from app.billers.states import UNDECIDED, State
from app.db import ring_after_commit
from app.errors import DomainError
from app.markets.model import Market

HEARD_MOST = 20  # of one payment
HASTENED_EVERY = timedelta(seconds=5)


def owner(session: Session, market: Market, biller: str, biller_ref: str) -> str:
    """The biller that a reference is at, among those that share the account of `biller`: a provider
    may know one address for all of an account. Raises DomainError `reference_unknown`.
    """
    account = market.billers[biller].credentials or biller
    sharing = [
        code for code, rules in market.billers.items() if (rules.credentials or code) == account
    ]
    statement = select(Payment.biller).where(
        Payment.biller_ref == biller_ref, Payment.biller.in_(sharing)
    )
    found = session.scalar(statement)
    if found is None:
        raise DomainError("reference_unknown")
    return found


def heard(
    session: Session, market: Market, biller: str, heard_of: Heard, *, now: datetime
) -> State:
    """Let a webhook take effect; the state of the payment after it.

    A success settles at once. A refusal, and what its signature does not cover, only hastens the
    next question: the answer to that has a fence. A refusal after a success is the biller taking
    the sale back, unless it had said just this before the sale: then staff must look. What was
    heard before in the same state is heard no more. Raises DomainError `reference_unknown`.
    """
    payment = _locked(session, biller, heard_of.biller_ref)
    answer = _judged(market, payment, heard_of)
    code = answer.code if answer else ""
    facts = {"by": "webhook", "reason": answer.reason if answer else "unsigned", "code": code}
    outcome = answer.outcome if answer else Outcome.UNKNOWN
    before = _before(session, payment, facts)
    if payment.state not in UNDECIDED and payment.state in before:
        return State(payment.state)
    if answer and outcome is Outcome.PAID and payment.reversing_at is None:
        settlement.remember(payment, answer)
        settlement.paid(session, market, payment, answer.tokens, now=now, facts=facts)
    elif outcome is Outcome.REFUSED and payment.state == State.CAPTURED and before:
        models.note(session, payment.id, State.CAPTURED, "refused_again", now=now, facts=facts)
        settlement.alarm("refused_again", payment)
    elif outcome is Outcome.REFUSED and payment.state == State.CAPTURED:
        settlement.returned(session, market, payment, now=now, facts=facts)
    else:
        _hasten(session, payment, now, facts)
    return State(payment.state)


def _locked(session: Session, biller: str, biller_ref: str) -> Payment:
    statement = select(Payment.id).where(Payment.biller_ref == biller_ref, Payment.biller == biller)
    payment_id = session.scalar(statement)
    if payment_id is None:
        raise DomainError("reference_unknown")
    return models.lock(session, payment_id)


def _before(session: Session, payment: Payment, facts: Mapping[str, Any]) -> set[str]:
    """In which states of the payment just this was heard already."""
    statement = select(PaymentEvent.to_state).where(
        PaymentEvent.payment_id == payment.id, PaymentEvent.facts == facts
    )
    return set(session.scalars(statement))


def _judged(market: Market, payment: Payment, heard_of: Heard) -> Answer | None:
    """None: it says nothing that counts, or its product has left the market, whose file would
    tell what counts as a sale."""
    try:
        order = orders.order_of(market, payment)
    except KeyError:
        return None
    return heard_of.judge(order) if heard_of.judge else None


def _hasten(session: Session, payment: Payment, now: datetime, facts: Mapping[str, Any]) -> None:
    """Ask now instead of later; whoever is busy with it right now hears the same. A webhook can be
    sent again by anybody who has seen it, so this is bounded in number and by time.
    """
    heard_of = PaymentEvent.what.in_(("webhook", "hastened"))
    last = func.max(PaymentEvent.at).filter(PaymentEvent.what == "hastened")
    statement = select(func.count(), last).where(PaymentEvent.payment_id == payment.id, heard_of)
    times, hastened_at = session.execute(statement).one()
    if times >= HEARD_MOST or (hastened_at and now - hastened_at < HASTENED_EVERY):
        return
    waits = payment.state in (State.SENT, State.UNKNOWN) and payment.lease_until is None
    what = "hastened" if waits else "webhook"
    models.note(session, payment.id, State(payment.state), what, now=now, facts=facts)
    if waits:
        sooner = update(Payment).where(Payment.id == payment.id)
        session.execute(sooner.values(due_at=func.clock_timestamp()))
        ring_after_commit(session, bell.PAYMENTS)
