"""Messages that may have been sent after the restored instant: staff send them, or drop them.

A receipt that comes twice puzzles; one that never comes leaves somebody guessing. Which of the two
is worse only a person can say, who sees the message and when it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import bell
from app.db import ring_after_commit
from app.errors import DomainError
from app.notices import Message

REVIEW = "review"


def waiting(session: Session, *, kind: str | None = None, most: int = 100) -> Sequence[Message]:
    """Messages in doubt, oldest first, at most so many."""
    statement = select(Message).where(Message.state == REVIEW)
    if kind:
        statement = statement.where(Message.kind == kind)
    return session.scalars(statement.order_by(Message.created_at, Message.id).limit(most)).all()


def send(session: Session, ids: Sequence[UUID]) -> int:
    """Let these go; how many. Raises DomainError `message_not_waiting` when one is not in doubt."""
    ring_after_commit(session, bell.MESSAGES)
    return _end(session, ids, state="due", due_at=func.clock_timestamp())


def drop(session: Session, ids: Sequence[UUID]) -> int:
    """Never send these; how many. Raises as `send`."""
    return _end(session, ids, state="gave_up", last_error="restored")


def _end(session: Session, ids: Sequence[UUID], **values: object) -> int:
    statement = update(Message).where(Message.id.in_(ids), Message.state == REVIEW)
    done = session.execute(statement.values(values).returning(Message.id)).all()
    if len(done) != len(set(ids)):
        raise DomainError("message_not_waiting")
    return len(done)
