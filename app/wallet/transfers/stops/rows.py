"""The rows of stops and of what was collected after them, and the lock that decides one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.wallet import references
from app.wallet.transfers.records import Transfer


class Stop(Base):
    """A request to give a transfer back. `asked_by` is the person who asked: the sender, or the
    agent of a cash-in. `given_back_minor` is what the reversal gave the payer.
    """

    __tablename__ = "stops"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    transfer_id: Mapped[UUID] = mapped_column(unique=True)
    asked_by: Mapped[UUID]
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    hold_id: Mapped[UUID | None] = mapped_column(unique=True)
    held_minor: Mapped[int] = mapped_column(default=0)
    state: Mapped[str]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    given_back_minor: Mapped[int] = mapped_column(default=0)
    top_up_minor: Mapped[int] = mapped_column(default=0)
    top_up_id: Mapped[int | None] = mapped_column(unique=True)


class StopCollection(Base):
    """A part of a top-up that the operator got from the payee afterwards."""

    __tablename__ = "stop_collections"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    stop_id: Mapped[UUID]
    reversal_id: Mapped[int | None]
    posting_id: Mapped[int] = mapped_column(unique=True)
    amount_minor: Mapped[int]
    collected_by: Mapped[str]
    collected_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class StopView:
    """A stop as staff may see it, with the transfer that it is about; amounts in minor units."""

    id: UUID
    reference: str
    transfer_id: UUID
    transfer_reference: str
    kind: str
    amount_minor: int
    payer_id: UUID | None
    payee_id: UUID | None
    agent_id: UUID | None
    asked_by: UUID
    asked_at: datetime
    expires_at: datetime
    held_minor: int
    state: str
    decided_by: str | None
    decided_at: datetime | None
    given_back_minor: int
    top_up_minor: int


def get(session: Session, stop_id: UUID) -> StopView:
    """A stop as it stands now. Raises NoResultFound."""
    return StopView(**session.execute(_SHOWN.where(Stop.id == stop_id)).one()._asdict())


def of_reference(session: Session, reference: str) -> StopView | None:
    """The stop that people call by this reference, typed in any case."""
    row = session.execute(_SHOWN.where(Stop.reference == references.written(reference))).first()
    return StopView(**row._asdict()) if row else None


def undecided(session: Session, limit: int = 50) -> list[StopView]:
    """What waits for staff, the first to lapse first."""
    statement = _SHOWN.where(Stop.state == "open").order_by(Stop.expires_at).limit(limit)
    return [StopView(**row._asdict()) for row in session.execute(statement)]


def locked(session: Session, stop_id: UUID) -> Stop:
    """The stop, locked until the transaction ends. Raises DomainError `stop_unknown`."""
    statement = select(Stop).where(Stop.id == stop_id).with_for_update()
    found = session.execute(statement, execution_options={"populate_existing": True})
    stop = found.scalar_one_or_none()
    if stop is None:
        raise DomainError("stop_unknown")
    return stop


def locked_open(session: Session, stop_id: UUID) -> Stop:
    """The stop, undecided and locked. Raises DomainError `stop_unknown`, `stop_closed`."""
    stop = locked(session, stop_id)
    if stop.state != "open":
        raise DomainError("stop_closed", state=stop.state)
    return stop


def free_reference(session: Session) -> str:
    """A reference that neither a stop nor a transfer has."""

    def taken(reference: str) -> bool:
        stop = select(Stop.id).where(Stop.reference == reference)
        transfer = select(Transfer.id).where(Transfer.reference == reference)
        return session.scalar(stop.union_all(transfer)) is not None

    return references.draw(taken)


def collected_minor(session: Session, stop_id: UUID) -> int:
    """What the operator got back of a stop's top-up so far."""
    total = select(func.coalesce(func.sum(StopCollection.amount_minor), 0))
    return int(session.scalars(total.where(StopCollection.stop_id == stop_id)).one())


_SHOWN: Select[*tuple[Any, ...]] = select(
    Stop.id, Stop.reference, Stop.transfer_id, Transfer.reference.label("transfer_reference"),
    Transfer.kind, Transfer.amount_minor, Transfer.payer_id, Transfer.payee_id, Transfer.agent_id,
    Stop.asked_by, Stop.asked_at, Stop.expires_at, Stop.held_minor, Stop.state, Stop.decided_by,
    Stop.decided_at, Stop.given_back_minor, Stop.top_up_minor,
).join(Transfer, Transfer.id == Stop.transfer_id)  # fmt: skip
