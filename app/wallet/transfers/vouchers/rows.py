"""The rows of vouchers: which are open for a number, and the lock that ends one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.wallet import people
from app.wallet.people import Person
from app.wallet.transfers.records import Transfer

OPEN_MOST = 10  # a number may have; a code is tried on all of them


class Voucher(Base):
    """Money set apart for a number. `code_id` names its code; `collection_id` is the transfer that
    took the money out.
    """

    __tablename__ = "vouchers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    transfer_id: Mapped[UUID] = mapped_column(unique=True)
    sender_id: Mapped[UUID]
    msisdn: Mapped[str]
    account_id: Mapped[int] = mapped_column(unique=True)
    code_id: Mapped[UUID] = mapped_column(unique=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    state: Mapped[str]
    collected_by: Mapped[str | None]
    collection_id: Mapped[UUID | None] = mapped_column(unique=True)
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class VoucherView:
    """A voucher as a channel or the command line may show it; `amount_minor` is what is in it."""

    id: UUID
    transfer_id: UUID
    reference: str
    sender_id: UUID
    sender_name: str
    msisdn: str
    account_id: int
    amount_minor: int
    expires_at: datetime
    state: str


def get(session: Session, voucher_id: UUID) -> VoucherView:
    """A voucher that we gave out the id of. Raises NoResultFound."""
    return _view(session.execute(_SHOWN.where(Voucher.id == voucher_id)).one())


def of_transfer(session: Session, transfer_id: UUID) -> VoucherView | None:
    """The voucher that a transfer of kind `voucher` made."""
    row = session.execute(_SHOWN.where(Voucher.transfer_id == transfer_id)).first()
    return _view(row) if row else None


def waiting(session: Session, msisdn: str, now: datetime) -> list[VoucherView]:
    """What a number can still collect, oldest first."""
    statement = _SHOWN.where(*_collectable(msisdn, now)).order_by(Voucher.id)
    return [_view(row) for row in session.execute(statement)]


def open_of(session: Session, msisdn: str, now: datetime) -> Sequence[Voucher]:
    """What a number can still collect, oldest first, not locked."""
    return session.scalars(
        select(Voucher).where(*_collectable(msisdn, now)).order_by(Voucher.id)
    ).all()


def refuse_more(session: Session, msisdn: str, now: datetime) -> None:
    """Raises DomainError `voucher_too_many` for a number that has enough to collect."""
    count = select(func.count()).select_from(Voucher).where(*_collectable(msisdn, now))
    if session.scalars(count).one() >= OPEN_MOST:
        raise DomainError("voucher_too_many")


def locked(session: Session, voucher_id: UUID) -> Voucher:
    """The voucher, open and locked until the transaction ends.

    Raises DomainError `voucher_unknown` when there is none, or it is closed.
    """
    statement = select(Voucher).where(Voucher.id == voucher_id).with_for_update()
    found = session.execute(statement, execution_options={"populate_existing": True})
    voucher = found.scalar_one_or_none()
    if voucher is None or voucher.state != "open":
        raise DomainError("voucher_unknown")
    return voucher


def close(
    session: Session,
    voucher: Voucher,
    state: str,
    now: datetime,
    *,
    collected_by: str | None = None,
    collection_id: UUID | None = None,
) -> None:
    """End the voucher that `locked` has locked."""
    values = {
        "state": state,
        "collected_by": collected_by,
        "collection_id": collection_id,
        "closed_at": now,
    }
    session.execute(update(Voucher).where(Voucher.id == voucher.id).values(values))


def _collectable(msisdn: str, now: datetime) -> tuple[Any, ...]:
    return (Voucher.msisdn == msisdn, Voucher.state == "open", Voucher.expires_at > now)


_SHOWN: Select[*tuple[Any, ...]] = (
    select(Voucher, Transfer.reference, Transfer.amount_minor, Transfer.fee_minor,
           Transfer.fee_payer, Person.name)
    .join(Transfer, Transfer.id == Voucher.transfer_id)
    .join(Person, Person.id == Voucher.sender_id)
)  # fmt: skip


def _view(row: Any) -> VoucherView:
    voucher, reference, amount_minor, fee_minor, fee_payer, name = row
    return VoucherView(
        id=voucher.id,
        transfer_id=voucher.transfer_id,
        reference=reference,
        sender_id=voucher.sender_id,
        sender_name=people.masked(name),
        msisdn=voucher.msisdn,
        account_id=voucher.account_id,
        amount_minor=amount_minor - (fee_minor if fee_payer == "receiver" else 0),
        expires_at=voucher.expires_at,
        state=voucher.state,
    )
