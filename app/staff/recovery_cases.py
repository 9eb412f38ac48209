"""The case that ends a quarantine (`decisions.py`): two people say that the restore is the one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.markets.model import Market
from app.recovery import marking
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal


def about_recovery(session: Session) -> Proposal:
    """Lifting the quarantine that stands. Raises DomainError `not_quarantined`."""
    found, doubt = marking.in_doubt(session)
    facts: dict[str, object] = {"payments": doubt.payments, "messages": doubt.messages}
    if found.restored_to:
        facts["restored_to"] = found.restored_to.isoformat()
    return Proposal(f"quarantine:{found.since.isoformat()}", facts)


def recover(session: Session, market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    done = marking.recover(session, market, case.id, now)
    return (
        f"{done.payments} payments are unknown and their billers are asked, {done.messages} "
        "messages wait for review; the quarantine is lifted"
    )


DECISIONS = {"recover": recover}
