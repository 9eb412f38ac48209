"""One-time codes: OTPs, and the codes of vouchers and withdrawals.

    open ─┬─▶ used        by the one transaction that acts on it
          └─▶ withdrawn   no longer wanted: replaced, cancelled, its money went back

1. A code is HMAC(key, its row): derived when it is sent and when it is checked, stored nowhere. The
   row says what it is for, and is part of what is hashed: a code moved to another subject is
   another code. The key is in the settings and versioned, as the PINs' keys are.
2. `begin` commits the try before the code is looked at; the last wrong one locks the code. So
   nobody gets more than its tries, whatever crashes or races.
3. Being right opens nothing by itself: `use`, in the transaction that acts, lets one through.
4. It reaches a person by SMS only. The sender asks `outgoing` when it claims the message and
   `digits` just before the gateway is called (`app/sms/outbound.py`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import DateTime, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.sealing import KeyedHashes, subkeys

DIGITS_MOST = 12
Purpose = Literal["otp", "voucher", "withdrawal"]


class CodeRow(Base):
    """What is known of a code, which is all but its digits."""

    __tablename__ = "one_time_codes"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    subject: Mapped[UUID]
    digits: Mapped[int]
    key_version: Mapped[int]
    tries_left: Mapped[int]
    state: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Code:
    """Everything that the digits are derived from, except the key."""

    id: UUID
    purpose: str
    subject: UUID
    count: int
    key_version: int


@dataclass(frozen=True, slots=True)
class CodeAttempt:
    """One counted try, and how many are left after it."""

    code: Code
    left: int


# The clock is the database's: what the SMS promised must not depend on which process looks.
_COUNT = text("""
    UPDATE one_time_codes SET tries_left = tries_left - 1
    WHERE id = :id AND state = 'open' AND tries_left > 0 AND expires_at > clock_timestamp()
    RETURNING id, purpose, subject, digits, key_version, tries_left
""")


class Codes:
    """The keys of the codes. `documents` are the keyed hashes of identity documents' numbers."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = subkeys(keys, "one-time codes")
        self._newest = max(keys)
        self.documents = KeyedHashes(subkeys(keys, "documents"))

    def issue(
        self,
        session: Session,
        code_id: UUID,
        *,
        purpose: Purpose,
        subject: UUID,
        digits: int,
        tries: int,
        expires_at: datetime,
        now: datetime,
    ) -> None:
        """Make a code; the same id again changes nothing. Tell it by `notify` with `code_id`."""
        row = {
            "id": code_id,
            "purpose": purpose,
            "subject": subject,
            "digits": digits,
            "key_version": self._newest,
            "tries_left": tries,
            "state": "open",
            "expires_at": expires_at,
            "created_at": now,
        }
        session.execute(insert(CodeRow).values(row).on_conflict_do_nothing(index_elements=["id"]))

    def begin(self, session: Session, code_id: UUID) -> CodeAttempt:
        """Count a try; commit before checking.

        Raises DomainError `code_used`, `code_expired`, `code_locked`.
        """
        counted = session.execute(_COUNT, {"id": code_id}).first()
        if counted is None:
            _refuse(session, code_id)
            raise AssertionError("a code that takes no try says why")
        return CodeAttempt(_code(counted), counted.tries_left)

    def check(self, attempt: CodeAttempt, typed: str) -> None:
        """Pure CPU. Raises DomainError `code_wrong` with `left`, or `code_locked`."""
        if hmac.compare_digest(self.digits(attempt.code).encode(), typed.encode()):
            return
        if attempt.left > 0:
            raise DomainError("code_wrong", left=attempt.left)
        raise DomainError("code_locked")

    def use(self, session: Session, code_id: UUID, now: datetime) -> None:
        """A code that was checked is used, once, in the transaction that acts on it.

        Raises DomainError `code_used`, also when two race, and `code_expired`.
        """
        standing = (CodeRow.id == code_id, CodeRow.state == "open")
        values = {"state": "used", "closed_at": now}
        used = update(CodeRow).where(*standing, CodeRow.expires_at > now).values(values)
        if session.scalar(used.returning(CodeRow.id)) is None:
            still_open = session.scalar(select(CodeRow.id).where(*standing))
            raise DomainError("code_expired" if still_open else "code_used")

    @staticmethod
    def give_back(session: Session, code_id: UUID) -> None:
        """A counted try was no wrong one: right, or right for another code of the same person."""
        values = {"tries_left": CodeRow.tries_left + 1}
        session.execute(update(CodeRow).where(CodeRow.id == code_id).values(values))

    @staticmethod
    def is_locked(session: Session, code_id: UUID) -> bool:
        """Whether it was tried too often."""
        left = session.scalar(select(CodeRow.tries_left).where(CodeRow.id == code_id))
        return left is not None and left <= 0

    @staticmethod
    def withdraw(session: Session, code_id: UUID, now: datetime) -> None:
        """From now on the code is worth nothing and is not sent any more; used stays used."""
        values = {"state": "withdrawn", "closed_at": now}
        wanted = (CodeRow.id == code_id, CodeRow.state == "open")
        session.execute(update(CodeRow).where(*wanted).values(values))

    def digits(self, code: Code) -> str:
        """The code itself: for the gateway, and for comparing. It goes nowhere else."""
        what = f"{code.purpose}\n{code.id}\n{code.subject}\n{code.count}".encode()
        digest = hmac.digest(self._keys[code.key_version], what, "sha256")
        return f"{int.from_bytes(digest) % 10**code.count:0{code.count}d}"


def outgoing(session: Session, code_id: UUID) -> Code:
    """What its SMS is filled in from, while the code is worth sending.

    Raises DomainError `code_used`, `code_expired`, `code_locked`.
    """
    _refuse(session, code_id)
    return _code(session.execute(select(CodeRow.__table__).where(CodeRow.id == code_id)).one())


def _refuse(session: Session, code_id: UUID) -> None:
    """Raises the reason for which a code takes no try, if there is one."""
    in_time = CodeRow.expires_at > func.clock_timestamp()
    statement = select(CodeRow.state, in_time, CodeRow.tries_left).where(CodeRow.id == code_id)
    state, is_in_time, left = session.execute(statement).one()
    if state != "open":
        raise DomainError("code_used")
    if not is_in_time:
        raise DomainError("code_expired")
    if left == 0:
        raise DomainError("code_locked")


def _code(row: object) -> Code:
    found = row._mapping  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's public name
    return Code(
        found["id"], found["purpose"], found["subject"], found["digits"], found["key_version"]
    )
