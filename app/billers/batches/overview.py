"""What waits for a cut-off, and what became of the batches of the last days."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from app.billers.batches.models import Batch
from app.billers.models import Payment
from app.billers.states import OPEN, State
from app.markets.model import Market

SHOWN = timedelta(days=3)  # beside all that are open
BATCHES_MOST = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """Confirmed payments of a biller that leave at `cut_off`, or should have left by now."""

    biller: str
    count: int
    total_minor: int
    cut_off: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch. `open_lines`: payments of it that nobody knows the outcome of."""

    biller: str
    name: str
    day: date
    lines: int
    total_minor: int
    state: str
    made_at: datetime
    paid: int
    given_back: int
    open_lines: int


def by_file(market: Market) -> list[str]:
    """The billers of a market that are paid by file."""
    return [code for code, rules in market.billers.items() if rules.family == "file"]


def waiting(session: Session, billers: Collection[str]) -> list[Waiting]:
    """What is held for the next file of these billers."""
    statement = (
        select(Payment.biller, func.count(), func.sum(Payment.amount_minor), Payment.due_at)
        .where(Payment.biller.in_(billers), Payment.state == State.HELD)
        .group_by(Payment.biller, Payment.due_at)
        .order_by(Payment.due_at, Payment.biller)
    )
    return [
        Waiting(biller, count, int(total), due_at)
        for biller, count, total, due_at in session.execute(statement)
        if due_at is not None
    ]


def sent(session: Session, billers: Collection[str], now: datetime) -> list[Sent]:
    """Batches that are open or of the last days, newest first."""
    paid = func.count().filter(Payment.state == State.CAPTURED)
    back = func.count().filter(Payment.state == State.RELEASED)
    still = func.count().filter(Payment.state.in_(OPEN))
    shown = or_(Batch.answered_at.is_(None), Batch.made_at > now - SHOWN)
    statement = (
        select(Batch, paid, back, still)
        .join(Payment, Payment.batch_id == Batch.id)
        .where(Batch.biller.in_(billers), shown)
        .group_by(Batch.id)
        .order_by(Batch.made_at.desc(), Batch.name.desc())
        .limit(BATCHES_MOST)
    )
    return [_sent(row) for row in session.execute(statement)]


def _sent(row: Row[Batch, int, int, int]) -> Sent:
    batch, paid, back, still = row
    return Sent(
        batch.biller, batch.name, batch.day, batch.lines, batch.total_minor, _state(batch),
        batch.made_at, paid, back, still,
    )  # fmt: skip


def _state(batch: Batch) -> str:
    """not written ▶ written ▶ answering, while its answer takes effect ▶ answered"""
    if batch.answered_at:
        return "answered"
    if batch.answer_sha256:
        return "answering"
    return "written" if batch.written_at else "not written"
