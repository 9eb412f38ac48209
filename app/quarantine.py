"""L3: whether the database is in quarantine, and how it gets there.

A restored database has forgotten what was done after the restored instant: billers have sold, SMS
have gone, money has moved. While its quarantine stands the database refuses, by triggers, every
write that moves money, claims a payment, makes a day's file or an order, or sends an SMS; whoever
tries hears DomainError `quarantined`. Only `app/recovery` lifts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import DomainError

WHY_LEAST, WHY_MOST = 3, 1000

_READ = text("SELECT since, why, restored_to FROM quarantine")
_BEGIN = text("SELECT quarantine_v1(:why, NULL)")
_LIFT = text("DELETE FROM quarantine RETURNING since, why, restored_to")


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Since when and why it stands; `restored_to` is the instant whose state was restored, None
    for one that was begun by hand.
    """

    since: datetime
    why: str
    restored_to: datetime | None


def standing(session: Session) -> Quarantine | None:
    """The quarantine that stands, or None."""
    row = session.execute(_READ).one_or_none()
    return None if row is None else Quarantine(*row)


def begin(session: Session, why: str) -> Quarantine:
    """From its commit on nothing is claimed and no money moves; one that stands already stays.

    Raises DomainError `reason_missing` with `least` and `most`.
    """
    written = why.strip()
    if not WHY_LEAST <= len(written) <= WHY_MOST:
        raise DomainError("reason_missing", least=WHY_LEAST, most=WHY_MOST)
    session.execute(_BEGIN, {"why": written})
    found = standing(session)
    assert found is not None, "it was written a line above"
    return found


def lift(session: Session) -> Quarantine:
    """For `app/recovery` only, in the transaction that marks what is in doubt: this transaction
    may write again, everybody else may after its commit. Raises DomainError `not_quarantined`.
    """
    row = session.execute(_LIFT).one_or_none()
    if row is None:
        raise DomainError("not_quarantined")
    return Quarantine(*row)


def refuse(session: Session) -> None:
    """For what leaves the house without a write. Raises DomainError `quarantined`."""
    if standing(session) is not None:
        raise DomainError("quarantined", retryable=True)
