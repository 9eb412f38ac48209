"""What a write-off posts: between what we owe a biller, suspense, and the operator's own account.

    gain       settlement → the operator        the biller will never claim it
    loss       the operator → settlement        the biller claims more than we have, and gets it
               the operator → suspense:late     it sold after the person had the money back
               the operator → settlement        it took a sale back, the payer has the money again,
                                                and it sold after all
    returned   suspense:returned → settlement   it took a sale back, and sold it after all

What goes out of the house is allowed by the case that two people made (`case:<id>`), for exactly
its amount; the operator's own account has a floor and needs no leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers import models
from app.billers.models import Payment
from app.billers.reconciliation.exceptions import ReportException
from app.billers.states import State
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger, references
from app.wallet.keys import derived_key
from app.wallet.ledger import Answer, Move, Posting

OPERATOR = "operator"
GAIN, LOSS, RETURNED = "write_off_gain", "write_off_loss", "write_off_returned"


@dataclass(frozen=True, slots=True)
class Effect:
    """From one account to another, by name; `operator` is the operator's own."""

    kind: str
    debit: str
    credit: str
    amount_minor: int


def effect(one: ReportException, *, refunded: bool = False) -> Effect:
    """What writing it off would post; `refunded`: its payer has the money again.

    Raises DomainError `exception_amounts`.
    """
    owed = f"settlement:{one.biller}"
    ours, theirs = one.ours_minor or 0, one.theirs_minor or 0
    if one.kind == "only_ours":
        return Effect(GAIN, owed, OPERATOR, ours)
    if one.kind == "different":
        more = theirs - ours
        if more < 0:
            return Effect(GAIN, owed, OPERATOR, -more)
        return Effect(LOSS, OPERATOR, owed, more)
    if one.why == "returned" and not refunded:
        if ours != theirs:
            raise DomainError("exception_amounts")
        return Effect(RETURNED, "suspense:returned", owed, ours)
    return Effect(LOSS, OPERATOR, owed, theirs)


def post(
    session: Session,
    market: Market,
    effect: Effect,
    *,
    case_id: UUID,
    reference: str,
    now: datetime,
) -> None:
    """Post it, once a case. Raises DomainError `operator_funds_short`."""
    authority = None if effect.kind == LOSS else f"case:{case_id}"
    _post(session, market, effect, derived_key(case_id, "write_off"), reference, now, authority)


def late_sale(session: Session, reference: str) -> Payment:
    """A payment that was sold after its money was given back, locked.

    Raises DomainError `payment_unknown`, `not_paid_late` with `state`.
    """
    statement = select(Payment.id).where(Payment.reference == references.written(reference))
    payment_id = session.scalar(statement)
    if payment_id is None:
        raise DomainError("payment_unknown")
    payment = models.lock(session, payment_id)
    if payment.state != State.PAID_LATE:
        raise DomainError("not_paid_late", state=payment.state)
    return payment


def make_good(session: Session, market: Market, reference: str, now: datetime) -> Payment:
    """The operator bears what suspense:late lent for a late sale; once a payment.

    Raises as `late_sale`, and DomainError `made_good_before`, `operator_funds_short`.
    """
    payment = late_sale(session, reference)
    effect = Effect(LOSS, OPERATOR, "suspense:late", payment.amount_minor)
    key = derived_key(payment.id, "made_good")
    if _post(session, market, effect, key, payment.reference, now).replayed:
        raise DomainError("made_good_before")
    return payment


def _post(
    session: Session,
    market: Market,
    effect: Effect,
    key: UUID,
    reference: str,
    now: datetime,
    authority: str | None = None,
) -> Answer:
    currency = market.currency.code
    debit, credit = (_account(session, name, currency) for name in (effect.debit, effect.credit))
    moves = (Move(debit, credit, effect.amount_minor),)
    posting = Posting(key, effect.kind, moves, reference, authority)
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal == "insufficient_funds":
        available = ledger.balance(session, debit).available_minor
        raise DomainError("operator_funds_short", available=market.currency.format(available))
    if answer.refusal:
        raise RuntimeError(
            f"{effect.kind} of {reference}: the ledger refuses with {answer.refusal}"
        )
    return answer


def _account(session: Session, name: str, currency: str) -> int:
    if name == OPERATOR:
        return ledger.operator_account(session, currency)
    return ledger.house_account(session, name, currency)
