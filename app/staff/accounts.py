"""Accounts of staff: who may act, in which roles, and who made or changed whose account.

1. The first account is made by nobody and is an admin; the database takes only one such. Every
   later one is made by an admin.
2. An account is suspended, never deleted: its name stands in cases for ever.
3. There is always an active admin, and nobody resets their own password and code: whoever finds an
   open terminal would own the account.
4. Every change leaves a row in `staff_events`, which nothing rewrites.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    LargeBinary,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from app.db import Base
from app.errors import DomainError
from app.staff.credentials import Credentials

Role = Literal["support", "finance", "supervisor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}\Z")


class StaffRow(Base):
    """An account. `totp_step` is the last step whose code was used."""

    __tablename__ = "staff"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    password: Mapped[str]
    totp_secret: Mapped[bytes] = mapped_column(LargeBinary)
    totp_step: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    attempts: Mapped[int]
    locked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[UUID | None]


class StaffSession(Base):
    """Somebody who logged in. The token itself is only in their terminal."""

    __tablename__ = "staff_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    staff_id: Mapped[UUID]
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StaffEvent(Base):
    """One change of an account. `by_id` is missing for the first account only."""

    __tablename__ = "staff_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    staff_id: Mapped[UUID]
    what: Mapped[str]
    by_id: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody who acts, proved by password and code."""

    id: UUID
    name: str
    roles: frozenset[str]


class Account(NamedTuple):
    """One line of the list of staff."""

    name: str
    roles: tuple[str, ...]
    state: str
    made_by: str | None
    last_seen_at: datetime | None


class Change(NamedTuple):
    """One line of the history of staff."""

    at: datetime
    name: str
    what: str
    by: str | None


def refuse_without(who: Staff, *needed: Role) -> None:
    """Any of the roles will do. Raises DomainError `role_missing` with `needs`."""
    if not who.roles.intersection(needed):
        raise DomainError("role_missing", needs=" or ".join(needed))


def written(typed: str) -> str:
    """A login name as it is kept. Raises DomainError `staff_name_invalid`."""
    name = typed.strip().lower()
    if not _NAME.match(name):
        raise DomainError("staff_name_invalid")
    return name


def is_first(session: Session) -> bool:
    """Whether nobody has an account yet."""
    return session.scalar(select(StaffRow.id).limit(1)) is None


def add(
    session: Session,
    staff_id: UUID,
    name: str,
    roles: Sequence[Role],
    credentials: Credentials,
    *,
    by: Staff | None,
    now: datetime,
) -> Staff:
    """A new account. The caller makes `staff_id`, because a secret is sealed for it beforehand.

    Without `by` it is the first, and an admin whatever its roles. Raises DomainError
    `staff_name_invalid`, `staff_name_taken`, `role_missing`, `staff_session_missing` where an
    account without maker is not the first.
    """
    name = written(name)
    if by:
        refuse_without(by, "admin")
    held: set[str] = {*roles} if by else {*roles, "admin"}
    row = {
        "id": staff_id,
        "name": name,
        "roles": [role for role in ROLES if role in held],
        "password": credentials.password,
        "totp_secret": credentials.totp_secret,
        "totp_step": 0,
        "state": "active",
        "attempts": 0,
        "created_at": now,
        "created_by": by.id if by else None,
    }
    made = insert_or(StaffRow).values(row).on_conflict_do_nothing().returning(StaffRow.id)
    if session.execute(made).first() is None:
        raise DomainError("staff_name_taken" if by else "staff_session_missing")
    _note(session, staff_id, "added", by, now)
    return Staff(staff_id, name, frozenset(held))


def suspend(session: Session, name: str, *, by: Staff, now: datetime) -> None:
    """Nobody acts under this name until it is resumed; its sessions end at once.

    Raises DomainError `role_missing`, `staff_unknown`, `staff_state` with `state`, `last_admin`.
    """
    refuse_without(by, "admin")
    admins = _lock_active_admins(session)
    row = _locked(session, name, "active")
    if admins == [row.id]:
        raise DomainError("last_admin")
    row.state = "suspended"
    _end_sessions(session, row.id)
    _note(session, row.id, "suspended", by, now)


def resume(session: Session, name: str, *, by: Staff, now: datetime) -> None:
    """A suspended account may log in again.

    Raises DomainError `role_missing`, `staff_unknown`, `staff_state`.
    """
    refuse_without(by, "admin")
    row = _locked(session, name, "suspended")
    row.state = "active"
    _note(session, row.id, "resumed", by, now)


def refuse_own_reset(session: Session, name: str, by: Staff) -> UUID:
    """The account that `by` may give new credentials.

    Raises DomainError `role_missing`, `staff_unknown`, `own_account`.
    """
    refuse_without(by, "admin")
    staff_id = session.scalar(select(StaffRow.id).where(StaffRow.name == written(name)))
    if staff_id is None:
        raise DomainError("staff_unknown", name=name)
    if staff_id == by.id:
        raise DomainError("own_account")
    return staff_id


def reset(
    session: Session, name: str, credentials: Credentials, *, by: Staff, now: datetime
) -> None:
    """New password and TOTP secret; the lock is lifted, sessions end. Raises as the function above.

    `totp_step` stays: it is an instant, and no code of a new secret was used before it.
    """
    staff_id = refuse_own_reset(session, name, by)
    row = session.get_one(StaffRow, staff_id, with_for_update=True, populate_existing=True)
    row.password, row.totp_secret = credentials.password, credentials.totp_secret
    row.attempts, row.locked_until = 0, None
    _end_sessions(session, row.id)
    _note(session, row.id, "reset", by, now)


def listed(session: Session) -> list[Account]:
    """Every account, by name."""
    maker = aliased(StaffRow)
    seen = select(func.max(StaffSession.used_at)).where(StaffSession.staff_id == StaffRow.id)
    statement = (
        select(StaffRow.name, StaffRow.roles, StaffRow.state, maker.name, seen.scalar_subquery())
        .join(maker, maker.id == StaffRow.created_by, isouter=True)
        .order_by(StaffRow.name)
    )
    return [
        Account(name, tuple(roles), state, made_by, seen_at)
        for name, roles, state, made_by, seen_at in session.execute(statement)
    ]


def history(session: Session, limit: int = 100) -> list[Change]:
    """Changes of accounts, newest first."""
    who, by = aliased(StaffRow), aliased(StaffRow)
    statement = (
        select(StaffEvent.at, who.name, StaffEvent.what, by.name)
        .join(who, who.id == StaffEvent.staff_id)
        .join(by, by.id == StaffEvent.by_id, isouter=True)
        .order_by(StaffEvent.id.desc())
        .limit(limit)
    )
    return [Change(*row) for row in session.execute(statement)]


def _lock_active_admins(session: Session) -> list[UUID]:
    """Locked in id order, so that two admins who suspend each other wait instead of both winning.

    The state is read again under the lock.
    """
    statement = (
        select(StaffRow.id)
        .where(StaffRow.roles.contains(["admin"]), StaffRow.state == "active")
        .order_by(StaffRow.id)
        .with_for_update()
    )
    return list(session.scalars(statement))


def _locked(session: Session, name: str, state: str) -> StaffRow:
    statement = select(StaffRow).where(StaffRow.name == written(name)).with_for_update()
    row = session.scalar(statement, execution_options={"populate_existing": True})
    if row is None:
        raise DomainError("staff_unknown", name=name)
    if row.state != state:
        raise DomainError("staff_state", name=row.name, state=row.state)
    return row


def _end_sessions(session: Session, staff_id: UUID) -> None:
    session.execute(
        update(StaffSession)
        .where(StaffSession.staff_id == staff_id, StaffSession.ended_at.is_(None))
        .values(ended_at=func.clock_timestamp())
    )


def _note(session: Session, staff_id: UUID, what: str, by: Staff | None, now: datetime) -> None:
    session.flush()
    session.execute(
        insert(StaffEvent).values(staff_id=staff_id, what=what, by_id=by.id if by else None, at=now)
    )
