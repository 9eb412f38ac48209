"""A biller's file comes in: whole or not at all, once, a day at a time.

    file ──COPY──▶ lines of this transaction ──▶ matched, exceptions    any refusal: nothing changed

The file is read twice: first its bytes, so that one which came in before is refused at once; then
its lines, straight into a table that ends with the transaction. Memory holds one block of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.billers.reconciliation import matching
from app.billers.reconciliation.report_file import ReportFile, ReportLine
from app.db import Base, driver
from app.errors import DomainError
from app.markets.model import Market
from app.markets.reports import Report
from app.patience import take_time
from app.wallet import references
from app.wallet.keys import new_key

RUN_SECONDS = 15 * 60
LOCK_SECONDS = 20
BLOCK_LINES = 2_000
BLOCK_BYTES = 1 << 20
NAME_CHARS_MOST = 255
CLOSE_AFTER = timedelta(minutes=10)  # a posting of the day may commit a moment after midnight

_PATIENT = (
    f"SET LOCAL statement_timeout = '{RUN_SECONDS}s'",
    f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'",
    "SET LOCAL work_mem = '64MB'",
)
# A courtesy: files of a biller wait for each other. What keeps them apart are unique keys.
_WAIT = text("SELECT pg_advisory_xact_lock(hashtextextended(:biller, 0))")
_COPY = "COPY report_lines (line, biller_ref, amount_minor, sold) FROM STDIN"


class Run(Base):
    """One file of a biller. `total_minor` is what it says was sold, less what it takes back."""

    __tablename__ = "reconciliation_runs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str]
    biller: Mapped[str]
    day: Mapped[date]
    currency: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    file_name: Mapped[str]
    lines: Mapped[int] = mapped_column(default=0)
    ignored: Mapped[int] = mapped_column(default=0)
    total_minor: Mapped[int] = mapped_column(default=0)
    matched: Mapped[int] = mapped_column(default=0)
    matched_minor: Mapped[int] = mapped_column(default=0)
    maker: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def take(
    session: Session,
    market: Market,
    biller: str,
    path: Path,
    *,
    day: date | None = None,
    maker: str,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> Run:
    """Compare a file with what we captured; what does not fit becomes exceptions.

    `progress` hears how many bytes were read. Raises DomainError `biller_unknown` with `known`;
    `report_not_described`; `report_known`, `report_day_known` with the `run` that has it;
    `report_refused` and `report_wrong_day` with `file`, `line`; `report_empty`; `report_day_open`;
    `report_changed`; `report_unreadable`. Then nothing changed.
    """
    rules = described(market, biller)
    take_time(RUN_SECONDS)
    for statement in _PATIENT:
        session.execute(text(statement))
    session.execute(_WAIT, {"biller": biller})
    try:
        sha256 = _sha256(path)
        _refuse_known(session, sha256)
        if day is not None:
            _refuse_day(session, market, biller, day, now)
        with path.open("rb") as file:
            reading = ReportFile(file, path.name, rules, market.currency, day, progress)
            matching.begin(session)
            _copy(session, reading.lines())
    except OSError as error:
        raise DomainError("report_unreadable", reason=error.strerror or str(error)) from error
    if reading.sha256 != sha256:
        raise DomainError("report_changed")
    if reading.day is None:
        raise DomainError("report_empty")
    if day is None:
        _refuse_day(session, market, biller, reading.day, now)
    run = _begun(session, market, biller, reading, path.name, maker, now)
    matching.match(session, market, rules, run)
    session.refresh(run)
    return run


def described(market: Market, biller: str) -> Report:
    """How to read a biller's file. Raises DomainError `biller_unknown`, `report_not_described`."""
    if biller not in market.billers:
        raise DomainError("biller_unknown", known=", ".join(sorted(market.billers)))
    rules = market.billers[biller].report
    if rules is None:
        raise DomainError("report_not_described", biller=biller)
    return rules


def of_reference(session: Session, typed: str) -> Run:
    """Raises DomainError `run_unknown`."""
    run = session.scalar(select(Run).where(Run.reference == references.written(typed)))
    if run is None:
        raise DomainError("run_unknown")
    return run


def newest(session: Session, biller: str | None, limit: int = 30) -> Sequence[Run]:
    """Newest day first."""
    statement = select(Run).order_by(Run.day.desc(), Run.biller).limit(limit)
    if biller is not None:
        statement = statement.where(Run.biller == biller)
    return session.scalars(statement).all()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _refuse_known(session: Session, sha256: bytes) -> None:
    known = session.scalar(select(Run.reference).where(Run.sha256 == sha256))
    if known:
        raise DomainError("report_known", run=known)


def _refuse_day(session: Session, market: Market, biller: str, day: date, now: datetime) -> None:
    """A day is compared once, and when it is over."""
    today = (now - CLOSE_AFTER).astimezone(market.zone).date()
    if day >= today:
        raise DomainError("report_day_open", day=day)
    known = session.scalar(select(Run.reference).where(Run.biller == biller, Run.day == day))
    if known:
        raise DomainError("report_day_known", day=day, biller=biller, run=known)


def _copy(session: Session, lines: Iterator[ReportLine]) -> None:
    with driver(session).cursor() as cursor, cursor.copy(_COPY) as copy:
        while block := list(islice(lines, BLOCK_LINES)):
            copy.write("".join(f"{at}\t{ref}\t{minor}\t{sold}\n" for at, ref, minor, sold in block))


def _begun(
    session: Session,
    market: Market,
    biller: str,
    reading: ReportFile,
    name: str,
    maker: str,
    now: datetime,
) -> Run:
    """The run's own row. Somebody who took the same day meanwhile is refused by its constraint."""

    def taken(reference: str) -> bool:
        return session.scalar(select(Run.id).where(Run.reference == reference)) is not None

    run = Run(
        id=new_key(),
        reference=references.draw(taken),
        biller=biller,
        day=reading.day,
        currency=market.currency.code,
        sha256=reading.sha256,
        file_name="".join(char if char.isprintable() else "?" for char in name)[:NAME_CHARS_MOST],
        lines=reading.count,
        ignored=reading.ignored,
        maker=maker,
        made_at=now,
    )
    session.add(run)
    session.flush()
    return run
