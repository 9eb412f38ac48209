"""The jobs. None takes an argument: what there is to do stands in the tables.

A database that is away is no failure of a job: the sweep rings again in two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError

from app import quarantine
from app.bell import MESSAGES, PAYMENTS
from app.billers import batches, expiry, reconciliation, waiting
from app.db import Database
from app.errors import DomainError
from app.sms import outbound
from app.telemetry import log
from app.wallet import intents, ledger, people, resets
from app.wallet.transfers import stops, vouchers
from workers import counter, heartbeat, process

DRAIN_SECONDS = 20
MONTHS_AHEAD = 3
AWAY_PAUSE_SECONDS = 0.5


def drain_payments() -> None:
    """Call billers for every payment that is due, until none is or the time is over."""
    here = process.current()
    here.looked_at = time.monotonic()
    try:
        if _stands_still(here.runtime.db):
            return
        waiting.tell(here.runtime.db, here.runtime.market, datetime.now(UTC))
        more = here.fulfilment.drain(stop=here.stopping.is_set, seconds=DRAIN_SECONDS)
    except (DomainError, DBAPIError) as error:
        _away("drain_payments", error)
        return
    if more and not here.stopping.is_set():
        here.runtime.bell.ring(PAYMENTS)


def drain_messages() -> None:
    """Send every SMS that is due."""
    here = process.current()
    here.looked_at = time.monotonic()
    try:
        if _stands_still(here.runtime.db):
            return
        more = outbound.drain(here.runtime, here.stopping).more
    except (DomainError, DBAPIError) as error:
        _away("drain_messages", error)
        return
    if more and not here.stopping.is_set():
        here.runtime.bell.ring(MESSAGES)


def keep_house() -> None:
    """What a clock brings: unsent payments end, asking ends, intents expire, tables stay small.

    Payments are drained at the end, because a bell that rings while this job waits is skipped.
    """
    here = process.current()
    db, market = here.runtime.db, here.runtime.market
    now = datetime.now(UTC)
    try:
        if _stands_still(db):
            log.error("quarantine_stands", ends_with="flask recover")
            return
    except (DomainError, DBAPIError) as error:
        _away("keep_house", error)
        return
    first_month = now.date().replace(day=1)
    chores: dict[str, Callable[[], int]] = {
        "cancel_unsent": lambda: expiry.cancel_unsent(db, market, now),
        "close_days": lambda: batches.close_days(db, market, here.runtime.wires, now),
        "read_answers": lambda: batches.read_answers(db, market, here.runtime.wires, now),
        "end_asking": lambda: expiry.end_asking(db, market, now),
        "expire_intents": lambda: db.transact(lambda s: intents.expire(s, now)),
        "expire_resets": lambda: db.transact(lambda s: resets.expire(s, now)),
        "find_dormant": lambda: db.transact(lambda s: people.find_dormant(s, market, now)),
        "expire_withdrawals": lambda: counter.expire_withdrawals(db, here.runtime.codes, now),
        "return_vouchers": lambda: vouchers.expire(db, now),
        "lapse_stops": lambda: stops.lapse(db, now),
        "expire_float_requests": lambda: counter.expire_float_requests(db, now),
        "pay_commission": lambda: counter.pay_commission(db, market, now),
        "roll_up": lambda: db.transact(ledger.roll_up),
        "make_partitions": lambda: db.transact(
            lambda s: ledger.make_partitions(s, first_month=first_month, months=MONTHS_AHEAD)
        ),
        "forget_workers": lambda: db.transact(heartbeat.forget_dead),
        "take_reports": lambda: reconciliation.inbox(
            db, market, here.runtime.settings.reconcile_folder, now
        ),
    }
    for name, chore in chores.items():
        try:
            done = chore()
        except Exception as error:  # noqa: BLE001 - one chore must not keep the others from running
            log.error("chore_failed", chore=name, error=type(error).__name__, exc_info=True)
            continue
        if done:
            log.info("chore_done", chore=name, count=done)
    drain_payments()


def _stands_still(db: Database) -> bool:
    """A restored database refuses every claim anyway; asking first spares a log full of that."""
    return db.transact(quarantine.standing) is not None


def _away(job: str, error: Exception) -> None:
    log.warning("job_without_database", job=job, error=type(error).__name__)
    time.sleep(AWAY_PAUSE_SECONDS)  # a ringing bell must not turn this into a busy loop
