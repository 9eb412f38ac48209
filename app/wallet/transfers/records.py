"""The rows of transfers, and what people and staff are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.wallet import references
from app.wallet.transfers.offers import Offer


class Transfer(Base):
    """One movement between people and agents, posted. `reversed_minor`: what the payer got back."""

    __tablename__ = "transfers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    intent_id: Mapped[UUID | None] = mapped_column(unique=True)
    payer_account: Mapped[int]
    payee_account: Mapped[int]
    payer_id: Mapped[UUID | None]
    payee_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]
    msisdn: Mapped[str | None]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    fee_minor: Mapped[int]
    tax_minor: Mapped[int]
    funded_minor: Mapped[int]
    fee_payer: Mapped[str]
    posting_id: Mapped[int] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reversed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reversed_minor: Mapped[int | None]
    reversal_id: Mapped[int | None] = mapped_column(unique=True)


@dataclass(frozen=True, slots=True)
class TransferView:
    """What a channel or the command line may show of a transfer; amounts in minor units."""

    id: UUID
    reference: str
    kind: str
    payer_id: UUID | None
    payee_id: UUID | None
    agent_id: UUID | None
    msisdn: str | None
    amount_minor: int
    fee_minor: int
    fee_payer: str
    posting_id: int
    created_at: datetime
    reversed_at: datetime | None
    reversed_minor: int | None

    @property
    def state(self) -> str:
        return "posted" if self.reversed_at is None else "reversed"

    @property
    def total_minor(self) -> int:
        """What left the payer."""
        return self.amount_minor + (self.fee_minor if self.fee_payer == "sender" else 0)

    @property
    def received_minor(self) -> int:
        """What reached the payee."""
        return self.amount_minor - (self.fee_minor if self.fee_payer == "receiver" else 0)


def outcome(session: Session, transfer_id: UUID) -> TransferView:
    """A transfer as it stands now. Raises NoResultFound."""
    return _view(session.execute(_SHOWN.where(Transfer.id == transfer_id)).one())


def of_reference(session: Session, reference: str) -> TransferView | None:
    """The transfer that people call by this reference, typed in any case."""
    statement = _SHOWN.where(Transfer.reference == references.written(reference))
    row = session.execute(statement).first()
    return _view(row) if row else None


def recent(session: Session, person_id: UUID, limit: int) -> list[TransferView]:
    """What a person's wallet paid or received, newest first."""
    party = or_(Transfer.payer_id == person_id, Transfer.payee_id == person_id)
    return _views(session, _SHOWN.where(party).order_by(Transfer.id.desc()).limit(limit))


def at_counter(
    session: Session,
    agent_id: UUID,
    limit: int,
    *,
    kinds: Sequence[str] = (),
    since: datetime | None = None,
) -> list[TransferView]:
    """What an agent did at the counter, newest first."""
    statement = _SHOWN.where(Transfer.agent_id == agent_id)
    if kinds:
        statement = statement.where(Transfer.kind.in_(kinds))
    if since:
        statement = statement.where(Transfer.created_at >= since)
    return _views(session, statement.order_by(Transfer.id.desc()).limit(limit))


def same_since(session: Session, offer: Offer, since: datetime) -> TransferView | None:
    """The newest transfer of just this, unless its money came back."""
    statement = _SHOWN.where(
        Transfer.payer_account == offer.payer_account,
        Transfer.kind == offer.kind,
        Transfer.amount_minor == offer.amount_minor,
        Transfer.msisdn.is_not_distinct_from(offer.msisdn),
        Transfer.agent_id.is_not_distinct_from(offer.agent_id),
        Transfer.created_at >= since,
        Transfer.reversed_at.is_(None),
    )
    views = _views(session, statement.order_by(Transfer.id.desc()).limit(1))
    return views[0] if views else None


def free_reference(session: Session) -> str:
    """A reference that no transfer has."""

    def taken(reference: str) -> bool:
        known = select(Transfer.id).where(Transfer.reference == reference)
        return session.scalar(known) is not None

    return references.draw(taken)


def note_reversal(
    session: Session, transfer_id: UUID, *, reversal_id: int, given_back_minor: int, now: datetime
) -> None:
    """The posting of a transfer was taken back, as far as the payee still had it."""
    values = {"reversal_id": reversal_id, "reversed_minor": given_back_minor, "reversed_at": now}
    session.execute(update(Transfer).where(Transfer.id == transfer_id).values(values))


_SHOWN: Select[*tuple[Any, ...]] = select(
    Transfer.id, Transfer.reference, Transfer.kind, Transfer.payer_id, Transfer.payee_id,
    Transfer.agent_id, Transfer.msisdn, Transfer.amount_minor, Transfer.fee_minor,
    Transfer.fee_payer, Transfer.posting_id, Transfer.created_at, Transfer.reversed_at,
    Transfer.reversed_minor,
)  # fmt: skip


def _views(session: Session, statement: Select[*tuple[Any, ...]]) -> list[TransferView]:
    return [_view(row) for row in session.execute(statement)]


def _view(row: Any) -> TransferView:
    return TransferView(**row._asdict())
