"""PINs: how they are kept, counted and refused.

1. A PIN is argon2id inside AES-256-GCM. Four digits fall to any hash in minutes; the key, which is
   in the settings and not in the database, is the defence, the hash its second line.
2. `begin` commits the attempt before the PIN is looked at, in PostgreSQL: a crash, a race or a lost
   Redis costs a try and never gives one.
3. The third wrong PIN locks; time unlocks. While locked a right PIN is refused too.
4. The last PINs are kept as sealed as the current one: none of them may be chosen again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    LargeBinary,
    delete,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.rules import PinRules
from app.sealing import Sealer

# About 5 ms of CPU where this was measured (bench/pins.py); the budget is 10.
HASHER = PasswordHasher(time_cost=2, memory_cost=4096, parallelism=1)
HISTORY = 3  # PINs that may not be chosen again, the current one among them
_LISTED = (Path(__file__).parent / "weak_pins.txt").read_text().splitlines()
WEAK = frozenset(line for line in _LISTED if not line.startswith("#"))


class Pin(Base):
    """A person's PIN, sealed, and how often it was tried since it was last right."""

    __tablename__ = "pins"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int]
    locked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    tried_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PastPin(Base):
    """A PIN that a person has or had."""

    __tablename__ = "pin_history"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[UUID]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class History:
    """A person's last PINs, sealed."""

    person_id: UUID
    sealed: tuple[bytes, ...]


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
    UPDATE pins SET attempts = counted.attempts, tried_at = clock_timestamp(), locked_until = CASE
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
        if self._is(attempt.person_id, attempt.sealed, pin):
            return
        if attempt.left > 0:
            raise DomainError("pin_wrong", left=attempt.left)
        raise DomainError("pin_locked", minutes=self.rules.lock_seconds // 60)

    def passed(self, session: Session, person_id: UUID) -> None:
        """The PIN was right: the counter starts anew, in the transaction that acts on it."""
        session.execute(
            update(Pin).where(Pin.person_id == person_id).values(attempts=0, locked_until=None)
        )

    def seal(self, person_id: UUID, pin: str) -> bytes:
        """CPU work of `put`, to be done outside the transaction."""
        return self._sealer.seal(HASHER.hash(pin).encode(), person_id.bytes)

    def put(self, session: Session, person_id: UUID, sealed: bytes, now: datetime) -> None:
        """Set or replace a person's PIN, and remember it among the last."""
        row = {
            "person_id": person_id,
            "sealed": sealed,
            "attempts": 0,
            "locked_until": None,
            "changed_at": now,
        }
        statement = insert(Pin).values(row)
        session.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_=row))
        session.execute(insert(PastPin).values(person_id=person_id, sealed=sealed, changed_at=now))
        of_person = select(PastPin.id).where(PastPin.person_id == person_id)
        kept = of_person.order_by(PastPin.id.desc()).limit(HISTORY)
        session.execute(
            delete(PastPin).where(PastPin.person_id == person_id, PastPin.id.not_in(kept))
        )

    def history(self, session: Session, person_id: UUID) -> History:
        """What a new PIN of this person must differ from; nothing for who never had one."""
        statement = select(PastPin.sealed).where(PastPin.person_id == person_id)
        newest = statement.order_by(PastPin.id.desc()).limit(HISTORY)
        return History(person_id, tuple(map(bytes, session.scalars(newest))))

    def refuse_used(self, history: History, pin: str) -> None:
        """Pure CPU, outside any transaction. Raises DomainError `pin_used_before`."""
        if any(self._is(history.person_id, sealed, pin) for sealed in history.sealed):
            raise DomainError("pin_used_before")

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
        if pin in WEAK or (len(pin) == 4 and (pin[:2] in {"19", "20"} or pin[:half] == pin[half:])):
            raise DomainError("pin_weak_guess")

    def _is(self, person_id: UUID, sealed: bytes, pin: str) -> bool:
        try:
            HASHER.verify(self._sealer.unseal(sealed, person_id.bytes).decode(), pin)
        except VerifyMismatchError:
            return False
        return True


def locked_minutes(session: Session, person_id: UUID) -> int:
    """How long a person's PIN is still locked, rounded up; 0 when it is not."""
    minutes = session.scalar(_LOCKED, {"person_id": person_id})
    return max(0, minutes or 0)
