"""What became of a session as the gateway saw it.

An end event carries all that the person typed and the last screen; the PIN may be in both. Neither
is kept.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Identity, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.gateways.wire import UssdEnd


class SessionEnd(Base):
    """One end event; a repeated one changes nothing."""

    __tablename__ = "ussd_ends"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    gateway: Mapped[str]
    session_id: Mapped[str]
    msisdn: Mapped[str]
    service_code: Mapped[str]
    network: Mapped[str]
    status: Mapped[str]
    hops: Mapped[int | None]
    duration_ms: Mapped[int | None]
    cost: Mapped[str | None]
    error: Mapped[str | None]
    hops_metadata: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def store(session: Session, end: UssdEnd, now: datetime) -> None:
    """Keep an end event."""
    row = {
        "gateway": end.gateway,
        "session_id": end.session_id,
        "msisdn": end.msisdn,
        "service_code": end.service_code,
        "network": end.network,
        "status": end.status,
        "hops": end.hops,
        "duration_ms": end.duration_ms,
        "cost": end.cost,
        "error": end.error,
        "hops_metadata": end.hops_metadata,
        "received_at": now,
    }
    session.execute(insert(SessionEnd).values(row).on_conflict_do_nothing())


def of_msisdn(session: Session, msisdn: str, limit: int = 50) -> list[SessionEnd]:
    """The newest sessions of a person, newest first."""
    newest = select(SessionEnd).where(SessionEnd.msisdn == msisdn)
    return list(session.scalars(newest.order_by(SessionEnd.received_at.desc()).limit(limit)))
