"""What an answer does to a payment: state, money, event and SMS, in one transaction.

1. The payment's row is locked first, then the ledger's; so nothing settles twice.
2. A success counts whoever brings it: the biller sold this reference, and the money follows.
3. A refusal counts only under the current fence. An older worker's refusal says nothing about a
   request that a newer one has sent since.
4. Once the biller was asked to undo a sale, only its word on that decides: a success of an earlier
   request, however late, is what is being undone.
5. What contradicts a decided payment moves no person's money: suspense, event, alarm.
6. A payment at an agent's counter is the float's, and its agents earn with the capture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.billers import captures, hours, models, telling
from app.billers.captures import POSTING_KIND, PostingRefusedError, Sale
from app.billers.models import Payment
from app.billers.protocols.answers import Answer, Outcome
from app.billers.states import UNDECIDED, State
from app.markets.billers import Biller
from app.markets.model import Market
from app.telemetry import log
from app.wallet import agents, ledger
from app.wallet.counter import low_float
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting

ALARMS = Counter("kibanda_payment_alarms_total", "Payments that need a person to look", ["kind"])


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to call the biller once for a payment, until its lease ends."""

    payment_id: UUID
    reference: str
    fence: int
    request: int  # 1 for the first that may ever have left


def record(session: Session, market: Market, claim: Claim, answer: Answer, now: datetime) -> State:
    """Let one answer of the biller take effect; the state of the payment after it."""
    payment = models.lock(session, claim.payment_id)
    current = payment.fence == claim.fence
    facts = _facts(claim, answer)
    refused = answer.outcome is Outcome.REFUSED or (
        answer.outcome is Outcome.REFUSED_FIRST and claim.request == 1
    )
    remember(payment, answer)
    if answer.outcome is Outcome.PAID and payment.reversing_at is not None:
        _note(session, payment, "sold_before_reversal", now, facts)
    elif answer.outcome is Outcome.PAID:
        paid(session, market, payment, answer.tokens, now=now, facts=facts)
    elif refused and current and payment.state in (State.SENT, State.UNKNOWN):
        release(session, market, payment, now=now, facts=facts)
    elif answer.outcome is Outcome.REFUSED and current and payment.state == State.CAPTURED:
        returned(session, market, payment, now=now, facts=facts)
    elif current and payment.state in (State.SENT, State.UNKNOWN):
        absent = answer.outcome is Outcome.ABSENT
        _ask_later(session, market, payment, absent=absent, now=now, facts=facts)
    else:
        _note(session, payment, "late_answer", now, facts)
    return State(payment.state)


def record_sold(
    session: Session, market: Market, answered: Mapping[UUID, tuple[Claim, Answer]], now: datetime
) -> set[UUID]:
    """Let these sales, by payment, take effect together; which did.

    Left out, for `record`, is what somebody else works on, is decided, or is being undone.
    """
    payments = models.lock_sold(session, answered, UNDECIDED)
    sales = []
    for payment in payments:
        claim, answer = answered[payment.id]
        remember(payment, answer)
        sales.append(Sale(payment, answer.tokens, _facts(claim, answer)))
    if sales:
        captures.capture(session, market, sales, now)
    return {payment.id for payment in payments}


def _facts(claim: Claim, answer: Answer) -> dict[str, Any]:
    return {"request": claim.request, "reason": answer.reason, "code": answer.code}


def remember(payment: Payment, answer: Answer) -> None:
    """What the biller calls its transaction, as soon as it says so; of a sale that does not count
    what it gave for it, which staff may need.
    """
    numbered = answer.biller_txn not in ("", payment.bill_ref)
    if answer.outcome is not Outcome.ABSENT and (numbered or answer.reason == "pending"):
        payment.acknowledged = True
    counts = answer.outcome is Outcome.PAID and payment.reversing_at is None
    if answer.tokens and not counts:
        payment.told = {
            "reason": answer.reason, "code": answer.code, "tokens": list(answer.tokens),
            "receipt_no": answer.receipt_no,
        }  # fmt: skip
    if answer.biller_txn:
        payment.biller_txn = answer.biller_txn
    if answer.receipt_no:
        payment.receipt_no = answer.receipt_no


def paid(
    session: Session,
    market: Market,
    payment: Payment,
    tokens: tuple[str, ...],
    *,
    now: datetime,
    facts: Mapping[str, Any],
) -> None:
    """The biller sold it: capture, or, when the money was already given back, `paid_late`."""
    state = State(payment.state)
    if state in UNDECIDED:
        captures.capture(session, market, [Sale(payment, tokens, facts)], now)
    elif state is State.RELEASED:
        paid_late(session, payment, tokens, now=now, facts=facts)
    elif state in (State.HELD, State.CANCELLED):
        _note(session, payment, "sold_unsent", now, facts)
        alarm("sold_unsent", payment)
    elif state is State.RETURNED and payment.refunded_at is None:
        _note(session, payment, "sold_after_return", now, facts)
        alarm("sold_after_return", payment)
    elif payment.refunded_at is not None:
        _note(session, payment, "sold_after_refund", now, facts)
        alarm("sold_after_refund", payment)
    elif list(tokens) == payment.tokens:
        _note(session, payment, "paid_again", now, facts)
    else:
        _note(session, payment, "other_token", now, facts)
        alarm("other_token", payment)


def release(
    session: Session, market: Market, payment: Payment, *, now: datetime, facts: Mapping[str, Any]
) -> None:
    """The biller did not sell it: the money goes back, and the SMS says so."""
    if not ledger.release(session, payment.hold_id, reason="refused", now=now):
        raise PostingRefusedError(f"the hold of {payment.reference} is not held")
    _float_rose(session, market, payment)
    models.shift(
        session, payment, State.RELEASED, "refused", now=now, facts=facts,
        settled_at=now, due_at=None, lease_until=None, send_again=False,
    )  # fmt: skip
    telling.tell(session, market, payment, "payment_refused", now)


def paid_late(
    session: Session,
    payment: Payment,
    tokens: tuple[str, ...],
    *,
    now: datetime,
    facts: Mapping[str, Any],
) -> None:
    """Sold after the person got the money back: we owe the biller, out of suspense."""
    _between_house_accounts(session, payment, "late", now)
    models.shift(
        session, payment, State.PAID_LATE, "paid_late", now=now, facts=facts, tokens=list(tokens)
    )
    alarm("paid_late", payment)


def returned(
    session: Session, market: Market, payment: Payment, *, now: datetime, facts: Mapping[str, Any]
) -> None:
    """The biller took a sale back: what we owed it waits in suspense for a decision (`refunds`)."""
    _between_house_accounts(session, payment, "returned", now)
    models.shift(session, payment, State.RETURNED, "returned", now=now, facts=facts)
    alarm("returned", payment)
    telling.tell(session, market, payment, "payment_returned", now)


def to_manual(session: Session, market: Market, payment: Payment, *, now: datetime) -> None:
    """Asking has ended without an answer: the hold stays, and two people must decide.

    The fence rises, so that an answer still on its way can only be a success or a note.
    """
    if payment.state == State.SENT:
        models.shift(session, payment, State.UNKNOWN, "no_answer", now=now)
    models.shift(
        session, payment, State.MANUAL, "asked_long_enough", now=now,
        facts={"requests": payment.requests},
        due_at=None, lease_until=None, send_again=False, fence=payment.fence + 1,
    )  # fmt: skip
    alarm("manual", payment)
    telling.tell(session, market, payment, "payment_manual", now)


def cancel(session: Session, market: Market, payment: Payment, *, now: datetime) -> None:
    """It was never sent and its time is over: the money goes back. The row is locked and `held`."""
    # False is no mistake here: the ledger's own expiry may have given it back a moment ago.
    ledger.release(session, payment.hold_id, reason="not sent in time", now=now)
    _float_rose(session, market, payment)
    models.shift(
        session, payment, State.CANCELLED, "not_sent_in_time", now=now, settled_at=now, due_at=None
    )
    telling.tell(session, market, payment, "payment_cancelled", now)


def _float_rose(session: Session, market: Market, payment: Payment) -> None:
    if payment.agent_id is not None:
        low_float.rose(session, market, agents.get(session, payment.agent_id))


def _ask_later(
    session: Session,
    market: Market,
    payment: Payment,
    *,
    absent: bool,
    now: datetime,
    facts: Mapping[str, Any],
) -> None:
    rules = market.billers[payment.biller]
    # Ends on the database's clock in house-keeping too (`expiry`); this is only the quicker way.
    first_sent_at = payment.first_sent_at or now
    if now >= hours.asked_until(rules, market.zone, first_sent_at, payment.asked_from):
        _note(session, payment, "asked", now, facts)
        to_manual(session, market, payment, now=now)
        return
    wait = ask_after(rules, payment.requests)
    due_at = func.clock_timestamp() + timedelta(seconds=wait)
    # Who had it and has forgotten it would take the same reference for a new purchase.
    again = absent and rules.when_absent == "buy_again" and not payment.acknowledged
    if payment.state == State.SENT:
        models.shift(
            session, payment, State.UNKNOWN, "no_answer", now=now, facts=facts,
            due_at=due_at, lease_until=None, send_again=again,
        )  # fmt: skip
        return
    values = {"due_at": due_at, "lease_until": None, "send_again": again}
    session.execute(update(Payment).where(Payment.id == payment.id).values(values))
    _note(session, payment, "asked", now, facts)


def ask_after(rules: Biller, requests: int) -> int:
    """Seconds until the next question after `requests` of them; the last in the file repeats."""
    steps = rules.ask_after_seconds
    return steps[min(max(requests, 1), len(steps)) - 1]


def _between_house_accounts(session: Session, payment: Payment, why: str, now: datetime) -> None:
    settlement = ledger.house_account(session, f"settlement:{payment.biller}", payment.currency)
    suspense = ledger.house_account(session, f"suspense:{why}", payment.currency)
    debit, credit = (suspense, settlement) if why == "late" else (settlement, suspense)
    posting = Posting(
        key=derived_key(payment.id, why),
        kind=f"{POSTING_KIND}_{why}",
        moves=(Move(debit, credit, payment.amount_minor),),
        reference=payment.reference,
        authority=f"payment:{payment.id}:{why}",
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal or answer.posting_id is None:
        raise PostingRefusedError(f"{why} of {payment.reference}: {answer.refusal}")


def _note(
    session: Session, payment: Payment, what: str, now: datetime, facts: Mapping[str, Any]
) -> None:
    models.note(session, payment.id, State(payment.state), what, now=now, facts=facts)


def alarm(kind: str, payment: Payment) -> None:
    ALARMS.labels(kind).inc()
    log.error("payment_alarm", kind=kind, reference=payment.reference, biller=payment.biller)
