"""From held payments to a file in the biller's folder.

The biller's row is locked while its payments are chosen, as for a claim, so two workers make no
batch of the same. They are `sent`, with holds that do not expire, once the batch is committed, and
the file is written after that, out of the rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import failpoints
from app.billers import breaker, models, settlement
from app.billers.batches.models import Batch, folders
from app.billers.models import BillerState, Payment
from app.billers.protocols import Family
from app.billers.protocols.file_lines import FileRefusedError, Payable, read_answer, written
from app.billers.protocols.files import DayFiles
from app.billers.states import State
from app.db import Database
from app.markets.model import Market
from app.telemetry import log
from app.wallet import ledger
from app.wallet.keys import new_key

LINES_MOST = 5_000  # of one transaction, which must end in time on a slow machine too
FILES_A_DAY = 99  # two digits of the name
FILES_A_ROUND = 20
ROUND_SECONDS = 10.0

_SEND = text("""
    WITH sent AS (
        UPDATE payments SET
            state = 'sent', came_from = 'held', requests = 1, fence = fence + 1, batch_id = :batch,
            first_sent_at = clock_timestamp(),
            due_at = clock_timestamp() + make_interval(secs => :answer_seconds)
        WHERE id = ANY (:ids) AND state = 'held'
        RETURNING id
    ), events AS (
        INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)
        SELECT id, :now, 'held', 'sent', 'batched', jsonb_build_object('batch', CAST(:name AS text))
        FROM sent
    )
    SELECT count(*) FROM sent
""")


def close_days(
    db: Database,
    market: Market,
    wires: Mapping[str, Family],
    now: datetime,
    *,
    lines_most: int = LINES_MOST,
) -> int:
    """Make and write the files of every biller whose cut-off has passed; how many were written.

    A biller that is paused gets none; its payments are cancelled when their own time is over.
    """
    done = 0
    for code, wire in folders(wires):
        try:
            done += _close(db, market, code, wire, now, lines_most)
        except Exception as error:  # noqa: BLE001 - the other billers' files must go out
            settlement.ALARMS.labels("batch_not_written").inc()
            log.error("batch_not_written", biller=code, error=type(error).__name__, exc_info=True)
    return done


def _close(
    db: Database, market: Market, code: str, wire: DayFiles, now: datetime, lines_most: int
) -> int:
    if not wire.can_write and db.transact(partial(_cut_off, market=market, code=code, now=now)):
        # The payments stay held, and their money goes back by itself unless the folder is there
        # again before their time is over.
        raise NotADirectoryError("out")
    make = partial(_make, market=market, code=code, wire=wire, now=now, lines_most=lines_most)
    deadline = time.monotonic() + ROUND_SECONDS
    while db.transact(make, name="batch", idempotent=True):
        if time.monotonic() >= deadline:
            break
    unwritten = db.transact(partial(_unwritten, code=code))
    return sum(_is_written(db, market, wire, batch, now) for batch in unwritten)


def _is_written(db: Database, market: Market, wire: DayFiles, batch: Batch, now: datetime) -> bool:
    """One file that cannot be written must not keep the next day's at home."""
    try:
        _write(db, market, wire, batch, now)
    except Exception as error:  # noqa: BLE001 - see above; the next round tries again
        settlement.ALARMS.labels("batch_not_written").inc()
        log.error("batch_not_written", batch=batch.name, error=type(error).__name__, exc_info=True)
        return False
    return True


def _make(
    session: Session, market: Market, code: str, wire: DayFiles, now: datetime, lines_most: int
) -> str | None:
    """One batch of what is due, up to `lines_most` payments; its name, None when nothing is."""
    cut_off = _cut_off(session, market, code, now)
    if cut_off is None or _is_paused(session, code):
        return None
    day = cut_off.astimezone(market.zone).date()
    number = _free_number(session, code, day, wire)
    if number > FILES_A_DAY:
        log.error("batches_too_many", biller=code, day=day.isoformat())
        return None
    due = and_(_due(market, code, now), Payment.due_at == cut_off)
    leaving = _may_leave(session, market, _locked(session, due, lines_most), now)
    if not leaving:
        return None
    batch = {
        "id": new_key(),
        "biller": code,
        "name": _name(code, day, number),
        "day": day,
        "currency": market.currency.code,
        "lines": len(leaving),
        "total_minor": sum(row.amount_minor for row in leaving),
        "made_at": now,
    }
    session.execute(insert(Batch).values(batch))
    _send(session, market, batch, [row.id for row in leaving], now)
    return str(batch["name"])


def _due(market: Market, code: str, now: datetime) -> ColumnElement[bool]:
    """Held over a cut-off. What a product that left the market file was for is sent to nobody."""
    return and_(
        Payment.biller == code,
        Payment.family == "file",
        Payment.product.in_([product.code for product in market.billers[code].products]),
        Payment.state == State.HELD,
        Payment.due_at <= now,
        Payment.expires_at > now,
    )


def _cut_off(session: Session, market: Market, code: str, now: datetime) -> datetime | None:
    """Of the oldest payments that are due; None when none are."""
    return session.scalar(select(func.min(Payment.due_at)).where(_due(market, code, now)))


def _locked(
    session: Session, due: ColumnElement[bool], most: int
) -> Sequence[Row[UUID, UUID, int]]:
    statement = select(Payment.id, Payment.hold_id, Payment.amount_minor).where(due)
    statement = statement.order_by(Payment.serial).limit(most)
    return session.execute(statement.with_for_update(skip_locked=True)).all()


def _is_paused(session: Session, code: str) -> bool:
    """From here on this transaction alone makes batches for the biller."""
    breaker.ensure_rows(session, [code])
    row = session.get_one(BillerState, code, with_for_update=True, populate_existing=True)
    return row.paused_at is not None


def _may_leave(
    session: Session, market: Market, rows: Sequence[Row[UUID, UUID, int]], now: datetime
) -> list[Row[UUID, UUID, int]]:
    """Those that may be sent: their holds are there and will not expire any more."""
    kept = ledger.clear_expiries(session, [row.hold_id for row in rows])
    for row in rows:
        if row.hold_id not in kept:
            settlement.cancel(session, market, models.lock(session, row.id), now=now)
    return [row for row in rows if row.hold_id in kept]


def _name(code: str, day: date, number: int) -> str:
    return f"{code}-{day:%Y%m%d}-{number:02}"


def _free_number(session: Session, code: str, day: date, wire: DayFiles) -> int:
    """After the last of the day; a restored database does not remember every file that is there."""
    last = func.max(func.right(Batch.name, 2))
    number = int(session.scalar(select(last).where(Batch.biller == code, Batch.day == day)) or 0)
    return next(
        free
        for free in range(number + 1, FILES_A_DAY + 2)
        if free > FILES_A_DAY or not wire.has(_name(code, day, free))
    )


def _send(
    session: Session, market: Market, batch: Mapping[str, Any], ids: Sequence[UUID], now: datetime
) -> None:
    values = {
        "batch": batch["id"],
        "name": batch["name"],
        "ids": ids,
        "answer_seconds": settlement.ask_after(market.billers[batch["biller"]], 1),
        "now": now,
    }
    sent = session.scalar(_SEND, values)
    assert sent == len(ids), "they are locked and held"


def _unwritten(session: Session, code: str) -> Sequence[Batch]:
    statement = select(Batch).where(Batch.biller == code, Batch.written_at.is_(None))
    return session.scalars(statement.order_by(Batch.made_at).limit(FILES_A_ROUND)).all()


def _write(db: Database, market: Market, wire: DayFiles, batch: Batch, now: datetime) -> None:
    """Write a batch's file and remember that it is there. No transaction is open meanwhile."""
    payables = db.transact(partial(_payables, market=market, batch_id=batch.id))
    amounts = {one.reference: one.amount_minor for one in payables}

    def answers(raw: bytes) -> bool:
        try:
            read_answer(raw, batch.head, amounts, market.currency)
        except FileRefusedError:
            return False
        return True

    wire.put(batch.name, written(batch.head, payables, market.currency), answers)
    failpoints.reach("batch.after_write")
    statement = update(Batch).where(Batch.id == batch.id, Batch.written_at.is_(None))
    db.transact(lambda session: session.execute(statement.values(written_at=now)), idempotent=True)
    log.info("batch_written", biller=batch.biller, batch=batch.name, lines=batch.lines)


def _payables(session: Session, market: Market, batch_id: UUID) -> list[Payable]:
    columns = (
        Payment.biller_ref, Payment.customer_no, Payment.amount_minor, Payment.customer_name,
        Payment.product, Payment.sku,
    )  # fmt: skip
    statement = select(*columns).where(Payment.batch_id == batch_id).order_by(Payment.serial)
    return [
        Payable(ref, number, minor, name, sku or market.product(product)[2].sku)
        for ref, number, minor, name, product, sku in session.execute(statement)
    ]
