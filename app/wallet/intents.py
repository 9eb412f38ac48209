"""Intents: one confirmation by a person moves money once, whatever is redelivered or raced.

    open ─┬─▶ done        in the transaction that moved the money; `subject` is what it made
          ├─▶ abandoned   in the transaction that tells the person "not done"
          └─▶ expired     past its deadline

1. The row is committed before the PIN is looked at; posting requires it open and in time.
2. Which of a person's intents is the newest is said by the database's clock: the processes' clocks
   differ. Ids are theirs, so the newest is looked for among the last few by id.
3. Whoever would close an intent locks its row first. So "not done" can be said only by the one
   transaction that made sure of it; while another holds the lock the answer is "in progress".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    LargeBinary,
    Select,
    String,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError

EXPIRE_AT_ONCE = 500
NEWEST_AMONG = 20  # by id: a person makes no more in the seconds that clocks differ by
Abandoned = Literal["not_done", "in_progress", "nothing_open"]


class Intent(Base):
    """What a person was shown and is about to confirm. `fingerprint` is of what was shown."""

    __tablename__ = "intents"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_hash: Mapped[bytes] = mapped_column(LargeBinary)
    person_id: Mapped[UUID]
    kind: Mapped[str]
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    deadline: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    state: Mapped[str] = mapped_column(String, default="open")
    subject: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def _newest(whose: InstrumentedAttribute[Any]) -> Select[Intent]:
    last = select(Intent.id).where(whose == bindparam(whose.key)).order_by(Intent.id.desc())
    among = Intent.id.in_(last.limit(NEWEST_AMONG))
    return select(Intent).where(among).order_by(Intent.created_at.desc()).limit(1)


# Every dial asks these: made once, because making one takes longer than PostgreSQL's answer.
_NEWEST_OF_PERSON = _newest(Intent.person_id)
_NEWEST_OF_SESSION = _newest(Intent.session_hash)
_IS_OPEN = (
    select(Intent.id)
    .where(Intent.person_id == bindparam("person_id"), Intent.state == "open")
    .limit(1)
)


def open_intent(
    session: Session,
    intent_id: UUID,
    *,
    session_hash: bytes,
    person_id: UUID,
    kind: str,
    fingerprint: bytes,
    deadline: datetime,
) -> None:
    """Write the intent of a confirmation; the same id again changes nothing."""
    row = {
        "id": intent_id,
        "session_hash": session_hash,
        "person_id": person_id,
        "kind": kind,
        "fingerprint": fingerprint,
        "deadline": deadline,
        "state": "open",
        "created_at": func.clock_timestamp(),
    }
    session.execute(insert(Intent).values(row).on_conflict_do_nothing(index_elements=["id"]))


def take(
    session: Session, intent_id: UUID, *, person_id: UUID, fingerprint: bytes, now: datetime
) -> Intent:
    """The intent, locked until the transaction ends: open and in time, or done already.

    Raises DomainError `intent_closed` (unknown, somebody else's, abandoned), `intent_changed`
    (another fingerprint), `intent_expired`. Done is no refusal: the caller answers its `subject`.
    """
    statement = select(Intent).where(Intent.id == intent_id).with_for_update()
    found = session.execute(statement, execution_options={"populate_existing": True})
    intent = found.scalar_one_or_none()
    if intent is None or intent.person_id != person_id:
        raise DomainError("intent_closed")
    if intent.state == "done":
        return intent
    if intent.fingerprint != fingerprint:
        raise DomainError("intent_changed")
    if intent.state == "expired" or (intent.state == "open" and now >= intent.deadline):
        raise DomainError("intent_expired")
    if intent.state != "open":
        raise DomainError("intent_closed")
    return intent


def close(session: Session, intent: Intent, subject: UUID, now: datetime) -> None:
    """The intent that `take` locked has become `subject`."""
    intent.state, intent.subject, intent.closed_at = "done", subject, now
    session.flush()


def known(session: Session, intent_id: UUID) -> bool:
    """Whether a PIN was ever given for an intent, whatever became of it."""
    return session.scalar(select(Intent.id).where(Intent.id == intent_id)) is not None


def subject_of(session: Session, intent_id: UUID) -> UUID | None:
    """What an intent has become, None for one that is not done."""
    return session.scalar(select(Intent.subject).where(Intent.id == intent_id))


def became(session: Session, intent_id: UUID, subject: UUID) -> bool:
    """Whether an intent has become `subject`."""
    found = select(Intent.id).where(Intent.id == intent_id, Intent.subject == subject)
    return session.scalar(found) is not None


def supersede(session: Session, intent_id: UUID, session_hash: bytes, now: datetime) -> None:
    """Close what else a USSD session left open: it is this intent that is being confirmed."""
    others = (Intent.session_hash == session_hash, Intent.id != intent_id, Intent.state == "open")
    _close_free(session, others, "abandoned", now)


def of_session(session: Session, session_hash: bytes) -> Intent | None:
    """The newest intent of a USSD session, whatever became of it."""
    return session.scalar(_NEWEST_OF_SESSION, {"session_hash": session_hash})


def last_of_person(session: Session, person_id: UUID) -> Intent | None:
    """The newest intent of a person, whatever became of it."""
    return session.scalar(_NEWEST_OF_PERSON, {"person_id": person_id})


def abandon(session: Session, person_id: UUID, now: datetime) -> Abandoned:
    """Close a person's open intents, so that "not done" becomes true with this commit.

    `in_progress`: somebody holds one of them, and what he does is not known yet. `nothing_open`:
    there was none; the last one's state says what became of it.
    """
    of_person = (Intent.person_id == person_id, Intent.state == "open")
    asked = {"person_id": person_id}
    if session.scalar(_IS_OPEN, asked) is None:  # every dial asks, and hardly one finds something
        return "nothing_open"
    free = _close_free(session, of_person, "abandoned", now)
    if session.scalar(_IS_OPEN, asked) is not None:
        return "in_progress"
    return "not_done" if free else "nothing_open"


def expire(session: Session, now: datetime) -> int:
    """House-keeping: close open intents past their deadline that nobody holds; how many."""
    overdue = (Intent.state == "open", Intent.deadline <= now)
    return len(_close_free(session, overdue, "expired", now, most=EXPIRE_AT_ONCE))


def _close_free(
    session: Session,
    where: Iterable[ColumnElement[bool]],
    state: str,
    now: datetime,
    most: int | None = None,
) -> Sequence[UUID]:
    """Close the intents that nobody holds; which."""
    found = select(Intent.id).where(*where).limit(most).with_for_update(skip_locked=True)
    ids = session.scalars(found).all()
    if ids:
        values = {"state": state, "closed_at": now}
        session.execute(update(Intent).where(Intent.id.in_(ids)).values(values))
    return ids
