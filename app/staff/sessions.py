"""Logging in, and who acts.

1. `begin` commits the attempt before password and code are looked at: a crash or a race costs a try
   and never gives one. The fifth wrong one locks; time unlocks, or an admin's reset.
2. An unknown name, a wrong password and a wrong code are one refusal, and take the same time.
3. A code is used once: `start` moves the account's step forward, or makes no session.
4. A session is a random token. We keep its SHA-256 alone; it ends after 15 minutes without use,
   after 8 hours, by `logout`, and when the account is suspended or reset.

Times are the database's clock; only the step of a code is by the caller's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.sealing import Sealer
from app.staff import credentials
from app.staff.accounts import Role, Staff, StaffRow, StaffSession, refuse_without

TRIES, LOCK_SECONDS = 5, 15 * 60
IDLE_SECONDS, LONGEST_SECONDS = 15 * 60, 8 * 3600
TOKEN_BYTES = 32

# A lock that has run out begins a new count. The try that fills the count locks at once.
_COUNT = text("""
    WITH counted AS (
        SELECT id, CASE WHEN locked_until IS NULL THEN attempts ELSE 0 END + 1 AS attempts
        FROM staff
        WHERE name = :name AND (locked_until IS NULL OR locked_until <= clock_timestamp())
        FOR UPDATE
    )
    UPDATE staff SET attempts = counted.attempts, locked_until = CASE
        WHEN counted.attempts >= :tries
        THEN clock_timestamp() + make_interval(secs => :lock_seconds) END
    FROM counted WHERE staff.id = counted.id
    RETURNING staff.id, staff.password, staff.totp_secret, staff.totp_step
""")
_LOCKED = text("""
    SELECT ceil(extract(epoch FROM locked_until - clock_timestamp()) / 60)::int
    FROM staff WHERE name = :name
""")
_WHO = text("""
    SELECT staff.id, staff.name, staff.roles, staff.state,
           s.ended_at IS NULL
           AND s.used_at > clock_timestamp() - make_interval(secs => :idle_seconds)
           AND s.started_at > clock_timestamp() - make_interval(secs => :longest_seconds) AS open
    FROM staff_sessions s JOIN staff ON staff.id = s.staff_id WHERE s.token_hash = :token_hash
""")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted try: what to compare with. Without an account nothing fits."""

    staff_id: UUID | None = None
    password: str | None = None
    totp_secret: bytes = b""
    totp_step: int = 0


def begin(session: Session, name: str) -> Attempt:
    """Count a try; commit before checking. Raises DomainError `staff_locked` with `minutes`."""
    name = name.strip().lower()
    count = {"name": name, "tries": TRIES, "lock_seconds": LOCK_SECONDS}
    counted = session.execute(_COUNT, count).first()
    if counted:
        return Attempt(counted.id, counted.password, bytes(counted.totp_secret), counted.totp_step)
    minutes = session.scalar(_LOCKED, {"name": name})
    if minutes is None:
        return Attempt()
    raise DomainError("staff_locked", minutes=max(1, minutes))


def check(
    attempt: Attempt, seals: Sealer, password: str, code: str, at: datetime, *, demo: bool
) -> int:
    """The step whose code was typed: pure CPU, outside any transaction.

    The demo's published password opens nothing unless this is a `demo` market. Raises DomainError
    `staff_login_wrong`, or `staff_code_used` when all is right but the code's age.
    """
    fits = credentials.password_fits(attempt.password, password)
    fits &= demo or password != credentials.DEMO_PASSWORD
    if attempt.staff_id is None or not fits:
        raise DomainError("staff_login_wrong")
    step = credentials.step_of(seals, attempt.staff_id, attempt.totp_secret, code, at)
    if step is None:
        raise DomainError("staff_login_wrong")
    if step <= attempt.totp_step:
        raise DomainError("staff_code_used")
    return step


def start(session: Session, attempt: Attempt, step: int) -> str:
    """The token of a new session; the count of tries starts anew.

    Raises DomainError `staff_code_used` when another login took the code, or the password changed,
    since `begin`, and `staff_suspended`.
    """
    passed = (
        update(StaffRow)
        .where(
            StaffRow.id == attempt.staff_id,
            StaffRow.password == attempt.password,
            StaffRow.totp_step < step,
        )
        .values(totp_step=step, attempts=0, locked_until=None)
        .returning(StaffRow.id, StaffRow.state)
    )
    row = session.execute(passed).first()
    if row is None:
        raise DomainError("staff_code_used")
    if row.state != "active":
        raise DomainError("staff_suspended")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    at = session.scalar(select(func.clock_timestamp()))
    session.add(StaffSession(token_hash=_hash(token), staff_id=row.id, started_at=at, used_at=at))
    return token


def acting(session: Session, token: str, needed: Sequence[Role] = ()) -> Staff:
    """Who holds this token; the session goes on from now. Any of the `needed` roles will do.

    Raises DomainError `staff_session_missing` without a token, `staff_session_over`,
    `staff_suspended`, `role_missing` with `needs`.
    """
    if not token:
        raise DomainError("staff_session_missing")
    limits = {"idle_seconds": IDLE_SECONDS, "longest_seconds": LONGEST_SECONDS}
    row = session.execute(_WHO, {"token_hash": _hash(token), **limits}).first()
    if row is None:
        raise DomainError("staff_session_over")
    if row.state != "active":
        raise DomainError("staff_suspended")
    if not row.open:
        raise DomainError("staff_session_over")
    who = Staff(row.id, row.name, frozenset(row.roles))
    if needed:
        refuse_without(who, *needed)
    _set(session, token, "used_at")
    return who


def end(session: Session, token: str) -> None:
    """Log out. A session that is over already stays so."""
    _set(session, token, "ended_at")


def _set(session: Session, token: str, column: str) -> None:
    open_one = (StaffSession.token_hash == _hash(token), StaffSession.ended_at.is_(None))
    session.execute(update(StaffSession).where(*open_one).values({column: func.clock_timestamp()}))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
