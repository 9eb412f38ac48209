"""What a person or an agent is told by SMS of what staff decided about them.

The reference is the case's: whoever calls about it is helped with `case show`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.notices import Recipient, notify
from app.staff.cases import Case
from app.wallet import people
from app.wallet.keys import derived_key


def tell(
    session: Session,
    case: Case,
    person_id: UUID,
    kind: str,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """One SMS of that kind about an approved case."""
    person = people.get(session, person_id)
    notify(
        session,
        kind,
        Recipient(person.msisdn, person.language, person.id),
        message_id=derived_key(case.id, "message", kind),
        subject=case.id,
        facts={"reference": case.reference, "at": now.isoformat(), **(facts or {})},
        now=now,
    )
