"""What became of a message after the gateway took it.

1. Every report is kept as it came (`delivery_reports`, append-only), also one about a message id
   that we do not know.
2. Reports repeat and come in any order: the last final word stays, and a word that is not final
   never follows a final one.
3. A report may come before `outbound` has recorded the id, or even while it does. Both write the
   row of that id in `deliveries`; its unique key makes one wait for the other and see it.
4. Both lock `deliveries` before `messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, DateTime, Identity, func, or_, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from app.db import Base
from app.gateways.africastalking_sms import FINAL_WORDS, DeliveryReport
from app.notices import Message
from app.telemetry import log


class Delivery(Base):
    """One message id of the gateway: which message it is of, and the word that stands."""

    __tablename__ = "deliveries"

    provider_id: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[UUID | None]
    word: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class StoredReport(Base):
    """A delivery report as it came."""

    __tablename__ = "delivery_reports"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    provider_id: Mapped[str]
    status: Mapped[str]
    word: Mapped[str]
    reason: Mapped[str | None]
    msisdn: Mapped[str | None]
    network: Mapped[str | None]
    retry_count: Mapped[int | None]
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def record(session: Session, report: DeliveryReport, now: datetime) -> None:
    """Keep a report, and let its word stand unless a final one stands already."""
    row = {
        "provider_id": report.provider_id,
        "status": report.status,
        "word": report.word,
        "reason": report.reason,
        "msisdn": report.msisdn,
        "network": report.network,
        "retry_count": report.retry_count,
        "received_at": now,
    }
    session.execute(insert(StoredReport).values(row))
    named = insert(Delivery).values(
        provider_id=report.provider_id, word=report.word, updated_at=now
    )
    statement = named.on_conflict_do_update(
        index_elements=["provider_id"],
        set_={"word": named.excluded.word, "updated_at": named.excluded.updated_at},
        where=_gives_way(Delivery.word, report.word),
    ).returning(Delivery.message_id)
    message_id = session.scalar(statement)
    if message_id is not None:
        _tell_message(session, message_id, report.word)
    log.info("delivery_report", word=report.word, reason=report.reason, known=bool(message_id))


def join_all(session: Session, named: Mapping[str, UUID]) -> None:
    """The gateway calls these messages so; reports that came before now find them."""
    if not named:
        return
    rows = [
        {"provider_id": name, "message_id": message, "updated_at": func.clock_timestamp()}
        for name, message in sorted(named.items())
    ]
    written = insert(Delivery).values(rows)
    statement = written.on_conflict_do_update(
        index_elements=["provider_id"], set_={"message_id": written.excluded.message_id}
    ).returning(Delivery.message_id, Delivery.word)
    for message_id, word in session.execute(statement).all():
        if word is not None and message_id is not None:
            _tell_message(session, message_id, word)


def _tell_message(session: Session, message_id: UUID, word: str) -> None:
    """A message that was sent twice has two ids; the same rule holds over both."""
    statement = update(Message).where(Message.id == message_id, _gives_way(Message.delivery, word))
    session.execute(
        statement.values(delivery=word), execution_options={"synchronize_session": False}
    )


def _gives_way(standing: InstrumentedAttribute[str | None], word: str) -> ColumnElement[bool]:
    """Whether the word that stands makes room for this one."""
    if word in FINAL_WORDS:
        return true()
    return or_(standing.is_(None), standing.not_in(FINAL_WORDS))
