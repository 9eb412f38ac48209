"""PINs: how they are kept, counted and refused.

1. A PIN is argon2id inside AES-256-GCM. Four digits fall to any hash in minutes; the key, which is
   in the settings and not in the database, is the defence, the hash its second line.
2. `begin` commits the attempt before the PIN is looked at, in PostgreSQL: a crash, a race or a lost
   Redis costs a try and never gives one.
3. The third wrong PIN locks; time unlocks. While locked a right PIN is refused too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import DateTime, LargeBinary, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.rules import PinRules
from app.sealing import Sealer

# About 5 ms of CPU where this was measured (bench/pins.py); the budget is 10.
HASHER = PasswordHasher(time_cost=2, memory_cost=4096, parallelism=1)


class Pin(Base):
    """A person's PIN, sealed, and how often it was tried since it was last right."""

    __tablename__ = "pins"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int]
    locked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted try: what to compare with, and how many tries are left after it."""

    person_id: UUID
    sealed: bytes
    left: int


# A lock that has run out begins a new count. The try that fills the count locks at once.
_COUNT = text("""
    WITH counted AS (
        SELECT person_id, CASE WHEN locked_until IS NULL THEN attempts ELSE 0 END + 1 AS attempts
        FROM pins
        WHERE person_id = :person_id AND (locked_until IS NULL OR locked_until <= clock_timestamp())
        FOR UPDATE
    )
    UPDATE pins SET attempts = counted.attempts, locked_until = CASE
        WHEN counted.attempts >= :tries
        THEN clock_timestamp() + make_interval(secs => :lock_seconds) END
    FROM counted WHERE pins.person_id = counted.person_id
    RETURNING pins.sealed, pins.attempts
""")
_LOCKED = text("""
    SELECT ceil(extract(epoch FROM locked_until - clock_timestamp()) / 60)::int
    FROM pins WHERE person_id = :person_id
""")


class Pins:
    """The PIN rules of a market and the keys that seal."""

    def __init__(self, sealer: Sealer, rules: PinRules) -> None:
        self._sealer = sealer
        self.rules = rules

    def begin(self, session: Session, person_id: UUID) -> Attempt:
        """Count a try; commit before checking. Raises DomainError `pin_locked` with `minutes`."""
        counted = session.execute(
            _COUNT,
            {
                "person_id": person_id,
                "tries": self.rules.tries,
                "lock_seconds": self.rules.lock_seconds,
            },
        ).first()
        if counted is None:
            minutes = session.scalar(_LOCKED, {"person_id": person_id})
            raise DomainError("pin_locked", minutes=max(1, minutes or 1))
        return Attempt(person_id, bytes(counted.sealed), self.rules.tries - counted.attempts)

    def check(self, attempt: Attempt, pin: str) -> None:
        """Pure CPU, outside any transaction. Raises `pin_wrong` with `left`, or `pin_locked`."""
        expected = self._sealer.unseal(attempt.sealed, attempt.person_id.bytes).decode()
        try:
            HASHER.verify(expected, pin)
        except VerifyMismatchError as error:
            if attempt.left > 0:
                raise DomainError("pin_wrong", left=attempt.left) from error
            raise DomainError("pin_locked", minutes=self.rules.lock_seconds // 60) from error

    def passed(self, session: Session, person_id: UUID) -> None:
        """The PIN was right: the counter starts anew, in the transaction that acts on it."""
        session.execute(
            update(Pin).where(Pin.person_id == person_id).values(attempts=0, locked_until=None)
        )

    def seal(self, person_id: UUID, pin: str) -> bytes:
        """CPU work of `put`, to be done outside the transaction."""
        return self._sealer.seal(HASHER.hash(pin).encode(), person_id.bytes)

    def put(self, session: Session, person_id: UUID, sealed: bytes, now: datetime) -> None:
        """Set or replace a person's PIN."""
        row = {
            "person_id": person_id,
            "sealed": sealed,
            "attempts": 0,
            "locked_until": None,
            "changed_at": now,
        }
        statement = insert(Pin).values(row)
        session.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_=row))

    def refuse_weak(self, pin: str, msisdn: str) -> None:
        """Raises DomainError `pin_weak_…` for a PIN that a thief tries first."""
        steps = {(int(b) - int(a)) % 10 for a, b in pairwise(pin)}
        half = len(pin) // 2
        if steps == {0}:
            raise DomainError("pin_weak_same")
        if len(steps) == 1:
            raise DomainError("pin_weak_row")
        if pin in msisdn:
            raise DomainError("pin_weak_number")
        if len(pin) == 4 and (pin[:2] in {"19", "20"} or pin[:half] == pin[half:]):
            raise DomainError("pin_weak_guess")
