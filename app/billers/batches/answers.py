"""From the biller's file to what became of each payment.

1. A file is checked whole before any of it counts, and what is wrong with it is told once.
2. The first whole file is the answer: its hash is kept before anything settles, and another one
   is refused. What it leaves out stays open until two people must decide.
3. It takes effect in bounded transactions. `biller_txn` names the batch in what has taken effect,
   so that who was killed in the middle goes on, and nothing counts twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Row, or_, select, update
from sqlalchemy.orm import Session

from app.billers import settlement
from app.billers.batches.models import Batch, folders
from app.billers.captures import PostingRefusedError
from app.billers.models import Payment
from app.billers.protocols import Family
from app.billers.protocols.file_lines import FileRefusedError, Verdict, read_answer
from app.billers.protocols.files import DayFiles
from app.billers.settlement import Claim
from app.db import Database
from app.markets.model import Market
from app.telemetry import log

LINES_A_TRANSACTION = 50  # so many wallets are locked for a moment
ROUND_SECONDS = 10.0
REMEMBERED = timedelta(days=30)  # how long another answer to the same batch is told as wrong
BATCHES_MOST = 200


@dataclass(frozen=True, slots=True)
class Take:
    """One batch whose answer may be there, in a round that ends at `deadline`."""

    db: Database
    market: Market
    batch: Batch
    now: datetime
    lines_at_once: int
    deadline: float


def read_answers(
    db: Database,
    market: Market,
    wires: Mapping[str, Family],
    now: datetime,
    *,
    lines_at_once: int = LINES_A_TRANSACTION,
) -> int:
    """Let the answers that have come take effect; how many payments that settled."""
    settled, deadline = 0, time.monotonic() + ROUND_SECONDS
    for code, wire in folders(wires):
        batches = db.transact(partial(_looked_for, code=code, now=now))
        names = {batch.name for batch in batches}
        wire.looked_at = {name: at for name, at in wire.looked_at.items() if name in names}
        for batch in batches:
            take = Take(db, market, batch, now, lines_at_once, deadline)
            try:
                settled += _read(wire, take)
            except Exception as error:  # noqa: BLE001 - the other batches have answers too
                log.error(
                    "answer_not_read", biller=code, batch=batch.name,
                    error=type(error).__name__, exc_info=True,
                )  # fmt: skip
    return settled


def _looked_for(session: Session, code: str, now: datetime) -> Sequence[Batch]:
    """Open batches first, then those of which a second answer would be noticed."""
    statement = select(Batch).where(
        Batch.biller == code,
        Batch.written_at.is_not(None),
        or_(Batch.answered_at.is_(None), Batch.answered_at > now - REMEMBERED),
    )
    newest = (Batch.answered_at.is_not(None), Batch.made_at.desc())
    return session.scalars(statement.order_by(*newest).limit(BATCHES_MOST)).all()


def _read(wire: DayFiles, take: Take) -> int:
    name = take.batch.name
    stamp = wire.answer_stamp(name)
    if stamp is None or wire.looked_at.get(name) == stamp:
        return 0
    try:
        verdicts = _accepted(take, wire.answer(name))
    except FileRefusedError as error:
        settlement.ALARMS.labels("answer_refused").inc()
        log.error(
            "answer_refused", biller=take.batch.biller, file=wire.answer_path(name).name,
            line=error.line, reason=error.reason,
        )  # fmt: skip
        wire.looked_at[name] = stamp
        return 0
    settled, left = _settle_all(take, verdicts)
    if not left:
        _end(take)
        wire.looked_at[name] = stamp
    return settled


def _accepted(take: Take, raw: bytes) -> list[Verdict]:
    """What the one answer that counts says and has not taken effect yet.

    Raises FileRefusedError.
    """
    batch, sha256 = take.batch, hashlib.sha256(raw).digest()
    if batch.answer_sha256 not in (None, sha256):
        raise FileRefusedError(1, "other_answer")
    if batch.answered_at:
        return []
    lines = take.db.transact(partial(_lines, batch_id=batch.id))
    ours = {line.biller_ref: line.amount_minor for line in lines}
    verdicts = read_answer(raw, batch.head, ours, take.market.currency)
    keep = partial(_keep, batch_id=batch.id, sha256=sha256)
    if not take.db.transact(keep, idempotent=True):
        raise FileRefusedError(1, "other_answer")
    done = {line.biller_ref for line in lines if line.biller_txn}
    return [verdict for verdict in verdicts if verdict.reference not in done]


def _lines(session: Session, batch_id: UUID) -> Sequence[Row[str, int, str]]:
    statement = select(Payment.biller_ref, Payment.amount_minor, Payment.biller_txn)
    return session.execute(statement.where(Payment.batch_id == batch_id)).all()


def _keep(session: Session, batch_id: UUID, sha256: bytes) -> bool:
    """Whether this is now the answer to the batch."""
    is_free = or_(Batch.answer_sha256.is_(None), Batch.answer_sha256 == sha256)
    statement = update(Batch).where(Batch.id == batch_id, is_free).values(answer_sha256=sha256)
    return session.scalar(statement.returning(Batch.id)) is not None


def _settle_all(take: Take, verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """How many payments were settled, and how many are left for the next round."""
    settled = left = 0
    for start in range(0, len(verdicts), take.lines_at_once):
        if time.monotonic() >= take.deadline:
            return settled, left + len(verdicts) - start
        chunk = verdicts[start : start + take.lines_at_once]
        try:
            settled += _settle(take, chunk)
        except PostingRefusedError:
            found, broken = _settle_each(take, chunk)
            settled, left = settled + found, left + broken
    return settled, left


def _settle_each(take: Take, verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """The same, one by one: a payment that cannot be settled must not keep the others open."""
    settled = broken = 0
    for one in verdicts:
        try:
            settled += _settle(take, [one])
        except PostingRefusedError:
            broken += 1
            settlement.ALARMS.labels("not_settled").inc()
            log.error("payment_not_settled", batch=take.batch.name, exc_info=True)
    return settled, broken


def _settle(take: Take, verdicts: Sequence[Verdict]) -> int:
    said = {verdict.reference: verdict for verdict in verdicts}
    work = partial(_record, market=take.market, batch=take.batch, said=said, now=take.now)
    return take.db.transact(work, name="answer", idempotent=True)


def _record(
    session: Session, market: Market, batch: Batch, said: Mapping[str, Verdict], now: datetime
) -> int:
    statement = (
        select(Payment.id, Payment.reference, Payment.biller_ref, Payment.fence)
        .where(Payment.batch_id == batch.id, Payment.biller_ref.in_(said), Payment.biller_txn == "")
        # Accounts are locked in the order of their ids, here as everywhere.
        .order_by(Payment.wallet_id, Payment.id)
        .with_for_update()
    )
    rules = market.billers[batch.biller]
    rows = session.execute(statement).all()
    for row in rows:
        claim = Claim(row.id, row.reference, row.fence, request=1)
        answer = said[row.biller_ref].judge(rules, batch.name)
        settlement.record(session, market, claim, answer, now)
    return len(rows)


def _end(take: Take) -> None:
    """All that the answer says has taken effect."""
    batch = take.batch
    if batch.answered_at:
        return
    statement = update(Batch).where(Batch.id == batch.id, Batch.answered_at.is_(None))
    ended = statement.values(answered_at=take.now)
    take.db.transact(lambda session: session.execute(ended), idempotent=True)
    log.info("batch_answered", biller=batch.biller, batch=batch.name, lines=batch.lines)
