"""What staff decide about a payment that no biller's answer decides: maker, checker, evidence.

A proposal does nothing. Its approval by somebody else does exactly what the biller's own answer
would have done, through the same functions; the database refuses a maker who is his own checker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers import breaker, catalogue, models, settlement
from app.billers import tokens as sts
from app.billers.models import Payment, Resolution
from app.billers.states import State
from app.errors import DomainError
from app.markets.model import Market
from app.wallet.keys import new_key

Decision = Literal["paid", "refused", "returned", "paid_late"]
# In which states each decision can be made.
FITS: dict[Decision, tuple[State, ...]] = {
    "paid": (State.MANUAL,),
    "refused": (State.MANUAL,),
    "returned": (State.CAPTURED,),
    "paid_late": (State.RELEASED,),
}
EVIDENCE_LEAST, EVIDENCE_MOST = 3, 1000


def propose(
    session: Session,
    reference: str,
    decision: Decision,
    *,
    token: str | None = None,
    evidence: str,
    maker: str,
    now: datetime,
) -> UUID:
    """Write down what became of a payment and how one knows; the proposal's id.

    Raises DomainError `payment_unknown`, `resolution_does_not_fit` with `state`,
    `evidence_missing`, `token_invalid` (a sale of tokens has one to three, with `;` between them,
    anything else none), `proposal_open`, `staff_name_missing`. Whether a sale needs a token is
    looked at by `approve`.
    """
    maker = _staff_name(maker)
    payment = _locked(session, reference)
    _check_fit(payment, decision)
    if not EVIDENCE_LEAST <= len(evidence.strip()) <= EVIDENCE_MOST:
        raise DomainError("evidence_missing", least=EVIDENCE_LEAST, most=EVIDENCE_MOST)
    if _open_proposal(session, payment.id):
        raise DomainError("proposal_open")
    proposal = Resolution(
        id=new_key(),
        payment_id=payment.id,
        outcome=decision,
        tokens=_tokens_of(decision, token),
        evidence=evidence.strip(),
        maker=maker,
        proposed_at=now,
    )
    session.add(proposal)
    session.flush()
    facts = {"decision": decision, "maker": maker}
    models.note(session, payment.id, State(payment.state), "proposed", now=now, facts=facts)
    return proposal.id


def approve(
    session: Session, market: Market, reference: str, *, checker: str, now: datetime
) -> State:
    """Let the open proposal take effect; the payment's state after it.

    Raises DomainError `payment_unknown`, `proposal_missing`, `same_person`, `staff_name_missing`,
    `resolution_does_not_fit` (a late answer of the biller came first), `token_invalid` (the product
    sells tokens and the proposal has none, or the other way).
    """
    checker = _staff_name(checker)
    payment = _locked(session, reference)
    proposal = _open_proposal(session, payment.id)
    if proposal is None:
        raise DomainError("proposal_missing")
    if proposal.maker == checker:
        raise DomainError("same_person")
    decision: Decision = proposal.outcome  # type: ignore[assignment]  # the column's CHECK
    _check_fit(payment, decision)
    refuse_odd_tokens(market, payment.product, decision, proposal.tokens)
    proposal.checker, proposal.approved_at = checker, now
    session.flush()
    facts = {"decision": decision, "maker": proposal.maker, "checker": checker}
    sold = tuple(proposal.tokens or ())
    match decision:
        case "paid" | "paid_late":
            settlement.paid(session, market, payment, sold, now=now, facts=facts)
        case "refused":
            settlement.release(session, market, payment, now=now, facts=facts)
        case "returned":
            settlement.returned(session, market, payment, now=now, facts=facts)
    return State(payment.state)


def withdraw(session: Session, reference: str, *, by: str, now: datetime) -> None:
    """Take the open proposal back.

    Raises DomainError `payment_unknown`, `proposal_missing`, `staff_name_missing`.
    """
    by = _staff_name(by)
    payment = _locked(session, reference)
    proposal = _open_proposal(session, payment.id)
    if proposal is None:
        raise DomainError("proposal_missing")
    proposal.withdrawn_at = now
    session.flush()
    models.note(session, payment.id, State(payment.state), "withdrawn", now=now, facts={"by": by})


def open_proposals(session: Session, limit: int = 100) -> Sequence[tuple[str, Resolution]]:
    """References and proposals that wait for a checker, oldest first."""
    statement = (
        select(Payment.reference, Resolution)
        .join(Payment, Payment.id == Resolution.payment_id)
        .where(Resolution.approved_at.is_(None), Resolution.withdrawn_at.is_(None))
        .order_by(Resolution.proposed_at)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in session.execute(statement)]


def set_paused(session: Session, biller: str, *, paused: bool) -> bool:
    """Stop new payments to a biller or let them go on; False when it was so already.

    What was sent is asked about all the same. The caller knows that the market has this biller;
    its row may still be missing where no worker has ever started.
    """
    return breaker.set_paused(session, biller, paused=paused)


def _staff_name(typed: str) -> str:
    """One person, one spelling: `Asha ` is `asha`. The table's CHECK compares in the same way."""
    name = " ".join(typed.split()).casefold()
    if not name:
        raise DomainError("staff_name_missing")
    return name


def _locked(session: Session, reference: str) -> Payment:
    statement = select(Payment.id).where(Payment.reference == reference.strip().upper())
    payment_id = session.scalar(statement)
    if payment_id is None:
        raise DomainError("payment_unknown")
    return models.lock(session, payment_id)


def _open_proposal(session: Session, payment_id: UUID) -> Resolution | None:
    return session.scalar(
        select(Resolution).where(
            Resolution.payment_id == payment_id,
            Resolution.approved_at.is_(None),
            Resolution.withdrawn_at.is_(None),
        )
    )


def _check_fit(payment: Payment, decision: Decision) -> None:
    if payment.state not in FITS[decision]:
        raise DomainError("resolution_does_not_fit", state=payment.state, decision=decision)


def refuse_odd_tokens(
    market: Market, product: str, decision: Decision, tokens: Sequence[str] | None
) -> None:
    """A product that the market has no more may have sold either. Raises `token_invalid`."""
    sells = {one.code: one.sells == "token" for one in catalogue.products(market)}.get(product)
    if decision in ("paid", "paid_late") and sells is not None and sells != bool(tokens):
        raise DomainError("token_invalid")


def _tokens_of(decision: Decision, written: str | None) -> list[str] | None:
    sold = decision in ("paid", "paid_late")
    if not written:
        return [] if sold else None
    tokens = sts.parse_all(written)
    if not sold or tokens is None:
        raise DomainError("token_invalid")
    return list(tokens)
