"""Cases about a payment: to give its payer the money back after the biller took the sale back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.billers import refunds
from app.errors import DomainError
from app.markets.model import Market
from app.staff import cases
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.wallet import references

REFUND = "sale_refund"


def about_refund(session: Session, reference: str) -> Proposal:
    """The payer gets amount and fee back. Raises as `refunds.refundable`."""
    payment = refunds.refundable(session, reference)
    facts = {
        "biller": payment.biller,
        "amount_minor": payment.amount_minor,
        "fee_minor": payment.fee_minor,
        "total_minor": payment.total_minor,
    }
    return Proposal(payment.reference, facts)


def refund(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    payment = refunds.give_back(
        session, market, case.subject, case_id=case.id, checker=checker.name, now=now
    )
    whose = "wallet" if payment.agent_id is None else "agent's float"
    return f"{market.currency.format(payment.total_minor)} is back in the {whose}"


def open_refund(session: Session, reference: str) -> str:
    """The case that waits about a payment. Raises DomainError `proposal_missing`."""
    found = cases.open_reference(session, REFUND, references.written(reference))
    if found is None:
        raise DomainError("proposal_missing")
    return found


DECISIONS = {REFUND: refund}
