"""What the approval of a case does, by its kind.

To add a kind: name its roles in `cases.ROLES`, write a function of this shape in a file of its
subject, and put it into that file's `DECISIONS`. It runs in the transaction of the approval, after
the decision is written; what it raises leaves the case open. It looks again at everything that a
proposal looked at: days may lie between them. What it returns is a sentence for whoever approved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff import (
    agent_cases,
    bank_cases,
    biller_cases,
    payment_cases,
    person_cases,
    recovery_cases,
    stop_cases,
)
from app.staff.accounts import Staff
from app.staff.cases import Case

Decision = Callable[[Session, Market, Case, Staff, datetime], str]
DECISIONS: dict[str, Decision] = {
    **person_cases.DECISIONS,
    **agent_cases.DECISIONS,
    **stop_cases.DECISIONS,
    **bank_cases.DECISIONS,
    **biller_cases.DECISIONS,
    **payment_cases.DECISIONS,
    **recovery_cases.DECISIONS,
}


def carry_out(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    """Do what an approved case asks for. Raises DomainError `case_kind_unknown` and its own."""
    decision = DECISIONS.get(case.kind)
    if decision is None:
        raise DomainError("case_kind_unknown", kind=case.kind)
    return decision(session, market, case, checker, now)
