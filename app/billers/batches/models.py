"""The table of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.billers.protocols import Family
from app.billers.protocols.file_lines import Head
from app.billers.protocols.files import DayFiles
from app.db import Base


class Batch(Base):
    """One file of ours; its lines are the payments that name it, in the order of their `serial`.

    `written_at`: when it was in the biller's folder for sure. `answer_sha256` is of the one answer
    that counts; `answered_at`: when all that it says had taken effect.
    """

    __tablename__ = "biller_batches"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    biller: Mapped[str]
    name: Mapped[str] = mapped_column(unique=True)
    day: Mapped[date]
    currency: Mapped[str]
    lines: Mapped[int]
    total_minor: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    written_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)

    @property
    def head(self) -> Head:
        return Head(self.biller, self.name, self.day)


def folders(wires: Mapping[str, Family]) -> Iterator[tuple[str, DayFiles]]:
    """The billers that are paid by file."""
    return ((code, wire) for code, wire in wires.items() if isinstance(wire, DayFiles))
