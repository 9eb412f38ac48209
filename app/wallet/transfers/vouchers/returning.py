"""Returning a voucher: past its time, or because the sender says so. Fee and tax go back too."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.wallet import rounds
from app.wallet.codes import Codes
from app.wallet.keys import derived_key
from app.wallet.transfers import records, returns
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers import news, rows
from app.wallet.transfers.vouchers.rows import Voucher


def cancel(session: Session, transfer_id: UUID, *, by: UUID, now: datetime) -> TransferView:
    """The sender takes a voucher back that nobody has collected; the transfer as it is now.

    Raises DomainError `voucher_unknown` when it is not theirs, or closed.
    """
    found = rows.of_transfer(session, transfer_id)
    if found is None or found.sender_id != by:
        raise DomainError("voucher_unknown")
    return _give_back(session, rows.locked(session, found.id), now)


def expire(db: Database, now: datetime) -> int:
    """Give back what nobody collected in time, each in a transaction of its own; how many."""
    return rounds.end_due(db, "voucher", partial(_due, now=now), partial(_expire_one, now=now))


def _due(session: Session, left_out: set[UUID], most: int, now: datetime) -> list[UUID]:
    statement = select(Voucher.id).where(
        Voucher.state == "open", Voucher.expires_at <= now, Voucher.id.not_in(left_out)
    )
    return list(session.scalars(statement.order_by(Voucher.expires_at).limit(most)))


def _expire_one(session: Session, voucher_id: UUID, now: datetime) -> bool:
    """False when it was collected or cancelled in the meantime, or somebody is at it."""
    statement = select(Voucher).where(
        Voucher.id == voucher_id, Voucher.state == "open", Voucher.expires_at <= now
    )
    voucher = session.scalar(statement.with_for_update(skip_locked=True))
    if voucher is None:
        return False
    _give_back(session, voucher, now)
    return True


def _give_back(session: Session, voucher: Voucher, now: datetime) -> TransferView:
    view = records.outcome(session, voucher.transfer_id)
    taken_back = returns.take_back(session, view, key=derived_key(voucher.id, "returned"), now=now)
    if taken_back.given_back_minor != view.total_minor:
        raise RuntimeError(f"voucher {view.reference} does not hold what was paid in")
    Codes.withdraw(session, voucher.code_id, now)
    rows.close(session, voucher, "returned", now)
    news.returned(session, view, voucher, now)
    return records.outcome(session, view.id)
