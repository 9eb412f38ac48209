"""L3: `notify` writes, inside the caller's transaction, the row that is the SMS to come.

The row holds facts, not text: who moves money says what happened, `app/sms/` says it in words.
(subject, kind) is unique, so one event makes one SMS whatever is run again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Integer, String, UniqueConstraint, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from app import bell
from app.db import Base, ring_after_commit


class Message(Base):
    """One SMS, from the event that made it to the last delivery report.

    state: due ⇄ sending → sent | refused (for good, by the gateway) | gave_up (past its time).
    `due_at` is when somebody should look next, None when nobody need. A try is open while
    `lease_until` is set, under `fence`. `doubts` counts tries of which nobody knows whether
    the gateway took them, `repeats` how many times it may have been sent beyond the first.
    `delivery` is the last final word about it, or the last word while none is final.
    """

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("subject", "kind"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[UUID]
    person_id: Mapped[UUID | None]
    msisdn: Mapped[str]
    language: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    text: Mapped[str | None]
    state: Mapped[str] = mapped_column(String, default="due")
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    doubts: Mapped[int] = mapped_column(Integer, default=0)
    repeats: Mapped[int] = mapped_column(Integer, default=0)
    fence: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    provider_id: Mapped[str | None]
    cost: Mapped[str | None]
    delivery: Mapped[str | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


_QUEUE = text("""
    INSERT INTO messages (
        id, kind, subject, person_id, msisdn, language, facts, due_at, created_at)
    SELECT id, kind, subject, person_id, msisdn, language, facts, statement_timestamp(), :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        id uuid, kind text, subject uuid, person_id uuid, msisdn text, language text, facts jsonb)
    ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets the SMS, and in which language."""

    msisdn: str
    language: str
    person_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One SMS to come of that kind about that subject, for `notify_all`."""

    message_id: UUID
    kind: str
    subject: UUID
    recipient: Recipient
    facts: Mapping[str, Any]


def notify(
    session: Session,
    kind: str,
    recipient: Recipient,
    *,
    message_id: UUID,
    subject: UUID,
    facts: Mapping[str, Any],
    now: datetime,
) -> None:
    """Queue one SMS of that kind about that subject; a second call changes nothing.

    `facts` are JSON: amounts in minor units as integers, times as ISO 8601 text.
    """
    notify_all(session, [Notice(message_id, kind, subject, recipient, facts)], now=now)


def notify_all(session: Session, notices: Sequence[Notice], *, now: datetime) -> None:
    """`notify` for several, in one statement."""
    rows = [
        {
            "id": str(notice.message_id),
            "kind": notice.kind,
            "subject": str(notice.subject),
            "person_id": notice.recipient.person_id and str(notice.recipient.person_id),
            "msisdn": notice.recipient.msisdn,
            "language": notice.recipient.language,
            "facts": dict(notice.facts),
        }
        for notice in notices
    ]
    session.execute(_QUEUE, {"rows": json.dumps(rows), "now": now})
    ring_after_commit(session, bell.MESSAGES)


def withdraw(session: Session, subject: UUID, kinds: Collection[str]) -> None:
    """What nobody has begun to send and has become old news: the outcome is told instead."""
    statement = update(Message).where(
        Message.subject == subject,
        Message.kind.in_(kinds),
        Message.state == "due",
        Message.lease_until.is_(None),
    )
    session.execute(statement.values(state="gave_up", due_at=None, last_error="overtaken"))
