"""The staff of the demo market. Everybody knows their password and secret; only `seed demo` makes
them, and only in a demo market."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.sealing import Sealer
from app.staff import accounts, credentials
from app.staff.accounts import Role, Staff, StaffRow
from app.wallet.keys import new_key


@dataclass(frozen=True, slots=True)
class DemoStaff:
    """`secret` is the published TOTP secret."""

    name: str
    roles: tuple[Role, ...]
    secret: str


# The admin first: the first account is one.
STAFF = (
    DemoStaff("mkuu", ("admin",), "KIBANDADEMOMKUUKIBANDADEMOMKUUAA"),
    DemoStaff("asha", ("support", "finance"), "KIBANDADEMOASHAKIBANDADEMOASHAAA"),
    DemoStaff("baraka", ("supervisor", "finance"), "KIBANDADEMOBARAKAKIBANDADEMOBARA"),
)


def secret_of(name: str) -> str:
    """The published secret of one of them. Raises StopIteration for any other name."""
    return next(one.secret for one in STAFF if one.name == name)


def add(db: Database, seals: Sealer, who: DemoStaff, now: datetime) -> bool:
    """Make one account, by the first account there is; False when the name was there already."""
    staff_id = new_key()

    def known(session: Session) -> bool:
        return session.scalar(select(StaffRow.id).where(StaffRow.name == who.name)) is not None

    if db.transact(known):
        return False
    kept = credentials.kept(seals, staff_id, credentials.DEMO_PASSWORD, who.secret)

    def work(session: Session) -> None:
        accounts.add(session, staff_id, who.name, who.roles, kept, by=_first(session), now=now)

    db.transact(work)
    return True


def _first(session: Session) -> Staff | None:
    row = session.scalar(select(StaffRow).where(StaffRow.created_by.is_(None)))
    return Staff(row.id, row.name, frozenset(row.roles)) if row else None
