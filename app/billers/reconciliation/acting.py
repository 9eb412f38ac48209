"""What can be done about an exception. What moves money is proposed by one, approved by another.

    ask        the biller is asked about the payment again, now
    captured   the file is evidence that it was sold: a resolution of the payment
    returned   the biller did not sell it: a resolution of the payment
    claim      it stays open, and grows old: the biller owes us an answer
    write_off  a case: what the books must say when nobody will answer any more
    close      a case: our books are right as they are, and nothing moves

An exception whose payment was decided ends by itself (`exceptions.settle`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import func, or_, update
from sqlalchemy.orm import Session

from app.bell import PAYMENTS
from app.billers import models, resolution, telling
from app.billers.models import Payment
from app.billers.reconciliation import exceptions, write_offs
from app.billers.reconciliation.exceptions import Found, ReportException
from app.billers.reconciliation.write_offs import Effect
from app.billers.resolution import EVIDENCE_LEAST, EVIDENCE_MOST
from app.billers.states import UNDECIDED, State
from app.db import ring_after_commit
from app.errors import DomainError
from app.markets.model import Market

Action = Literal["ask", "captured", "returned", "claim", "write_off", "close"]
OWED = (State.CAPTURED, State.PAID_LATE)
ACTIONS: dict[tuple[str, str], tuple[Action, ...]] = {
    ("only_ours", "missing"): ("claim", "returned", "write_off", "close"),
    ("only_ours", "taken_back"): ("claim", "returned", "close"),
    ("only_theirs", "not_ours"): ("claim", "write_off", "close"),
    ("only_theirs", "undecided"): ("ask", "captured", "claim"),
    ("only_theirs", "released"): ("captured", "claim", "close"),
    ("only_theirs", "cancelled"): ("claim", "write_off", "close"),
    ("only_theirs", "held"): ("claim", "close"),
    ("only_theirs", "returned"): ("claim", "write_off", "close"),
    ("different", "amount"): ("claim", "write_off", "close"),
    ("different", "day"): ("claim", "close"),
    ("different", "taken_back"): ("claim", "close"),
    ("duplicate", "twice"): ("claim", "write_off", "close"),
    ("duplicate", "other_file"): ("claim", "write_off", "close"),
}


def ask(session: Session, name: str, now: datetime) -> str:
    """Let a worker ask the biller now; the payment's reference.

    Raises DomainError `exception_unknown`, `exception_done`, `exception_action`,
    `exception_changed` (its payment was decided since), `payment_manual` (nobody asks any more:
    staff decide).
    """
    _, one = _fitting(session, name, "ask")
    payment = _payment(session, one)
    if payment.state not in (State.SENT, State.UNKNOWN):
        raise DomainError("payment_manual", state=payment.state, reference=payment.reference)
    now_due = (
        update(Payment)
        .where(Payment.id == payment.id)
        .where(or_(Payment.lease_until.is_(None), Payment.lease_until < func.clock_timestamp()))
        .values(due_at=func.clock_timestamp())
    )
    session.execute(now_due)
    models.note(session, payment.id, State(payment.state), "asked_by_staff", now=now)
    ring_after_commit(session, PAYMENTS)
    return payment.reference


def propose_captured(
    session: Session, name: str, *, token: str | None, evidence: str, maker: str, now: datetime
) -> str:
    """Propose that the biller sold it; the payment's reference, under which another approves.

    The line must be of the payment's own amount. Raises as `ask` but for `payment_manual`,
    DomainError `exception_amounts`, and as `resolution.propose`.
    """
    run, one = _fitting(session, name, "captured")
    payment = _payment(session, one)
    if one.theirs_minor != one.ours_minor:
        raise DomainError("exception_amounts")
    decision: resolution.Decision = "paid_late" if payment.state == State.RELEASED else "paid"
    told = f"{evidence.strip()} ({run.file_name}, line {one.line})"
    resolution.propose(
        session, payment.reference, decision, token=token, evidence=told, maker=maker, now=now
    )
    return payment.reference


def propose_returned(
    session: Session, name: str, *, evidence: str, maker: str, now: datetime
) -> str:
    """Propose that the biller never sold it; as `propose_captured`."""
    _, one = _fitting(session, name, "returned")
    reference = _payment(session, one).reference
    resolution.propose(session, reference, "returned", evidence=evidence, maker=maker, now=now)
    return reference


def claim(session: Session, name: str, *, note: str, by: str, now: datetime) -> None:
    """Write down that the biller was asked to account for it. It stays open.

    Raises as `ask` but for `payment_manual`, and DomainError `evidence_missing`.
    """
    _, one = _fitting(session, name, "claim")
    if not EVIDENCE_LEAST <= len(note.strip()) <= EVIDENCE_MOST:
        raise DomainError("evidence_missing", least=EVIDENCE_LEAST, most=EVIDENCE_MOST)
    one.claimed_at, one.claimed_by, one.note = now, by, note.strip()
    session.flush()


def about_write_off(session: Session, name: str) -> tuple[Found, Effect]:
    """What a write-off would post.

    Raises as `ask` but for `payment_manual`, and DomainError `sale_written_off` (another file had
    it too, and its line took what waited in suspense).
    """
    found = _fitting(session, name, "write_off")
    one = found[1]
    if one.why != "returned":
        return found, write_offs.effect(one)
    payment = _payment(session, one)
    if exceptions.returned_written_off(session, payment.id):
        raise DomainError("sale_written_off", reference=payment.reference)
    return found, write_offs.effect(one, refunded=payment.refunded_at is not None)


def write_off(
    session: Session,
    market: Market,
    name: str,
    amount_minor: int,
    debit: str,
    case_id: UUID,
    now: datetime,
) -> Effect:
    """Post an approved write-off of so much out of `debit`, and end the exception.

    Raises as `about_write_off`, and DomainError `operator_funds_short`, `sale_refunded` (what
    waited in suspense is the payer's again).
    """
    (_, one), effect = about_write_off(session, name)
    if effect.debit != debit:
        raise DomainError("sale_refunded", reference=_payment(session, one).reference)
    if effect.amount_minor != amount_minor:
        raise DomainError("exception_changed")
    reference = _payment(session, one).reference if one.payment_id else name.strip().upper()
    write_offs.post(session, market, effect, case_id=case_id, reference=reference, now=now)
    exceptions.finish(session, one, "written_off", case_id, now)
    if effect.kind == write_offs.RETURNED:
        telling.tell(session, market, _payment(session, one), "payment_stands", now)
    return effect


def about_closing(session: Session, name: str) -> Found:
    """Raises as `ask` but for `payment_manual`."""
    return _fitting(session, name, "close")


def close(session: Session, name: str, case_id: UUID, now: datetime) -> None:
    """End an exception of which two people say that our books are right."""
    exceptions.finish(session, about_closing(session, name)[1], "closed", case_id, now)


def _fitting(session: Session, name: str, action: Action) -> Found:
    """The exception, locked with its payment, if this can still be done about it."""
    found = exceptions.locked(session, name)
    one = found[1]
    fitting = ACTIONS[one.kind, one.why]
    if action not in fitting:
        raise DomainError("exception_action", action=action, fitting=", ".join(fitting))
    if one.payment_id and _payment(session, one).state not in _states(one):
        raise DomainError("exception_changed")
    return found


def _states(one: ReportException) -> tuple[State, ...]:
    """In which of them its payment still is what the exception says."""
    if one.kind in ("only_ours", "different"):
        return OWED
    if one.kind == "only_theirs":
        return UNDECIDED if one.why == "undecided" else (State(one.why),)
    return tuple(State)


def _payment(session: Session, one: ReportException) -> Payment:
    assert one.payment_id
    return models.lock(session, one.payment_id)
