"""Sending what is due: claim, hand over with no transaction open, record.

A drain keeps at most THREADS messages in flight and goes on until none is due, its time is over,
it is told to stop, or the gateway fails several times in a row; the schedule's next ring goes on
from there. What is in flight is always waited for: an outcome that nobody records is a repeat.

Outcomes that came in together are recorded together, so the busier a worker is the less each costs,
and an idle one waits for nothing. What could not be recorded so is recorded each alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError

from app import failpoints
from app.db import Database
from app.errors import DomainError
from app.gateways.africastalking_sms import Outcome, Refused, Taken
from app.markets import Market
from app.notices import Message
from app.sms import receipts, tries
from app.sms.tries import Claim, Tried
from app.telemetry import log
from app.text import Catalogues
from app.wallet.codes import Codes

THREADS = 16
DRAIN_SECONDS = 20.0
GLANCE_SECONDS = 0.25  # how often a drain that waits looks for new work and for the order to stop
FAILURES_IN_A_ROW_MOST = 5
RECORD_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)

TRIES = Counter("kibanda_sms_tries_total", "SMS handed to the gateway, by outcome", ["outcome"])
REPEATS = Counter("kibanda_sms_repeats_total", "SMS that may have been sent once more")
ALARMS = Counter("kibanda_sms_alarms_total", "SMS that a person will not get", ["kind", "why"])


class SmsGateway(Protocol):
    """An operator's adapter; an outcome is data, never an exception."""

    def send(self, msisdn: str, text: str) -> Outcome: ...


class Runtime(Protocol):
    """What sending needs of the assembled process, which stands a layer above."""

    @property
    def db(self) -> Database: ...
    @property
    def market(self) -> Market: ...
    @property
    def catalogues(self) -> Catalogues: ...
    @property
    def codes(self) -> Codes: ...
    @property
    def sms_gateway(self) -> SmsGateway: ...


@dataclass(slots=True)
class Drained:
    """What a drain did. `more`: its time ran out while there was work."""

    taken: int = 0
    refused: int = 0
    failed: int = 0
    failures_in_a_row: int = 0
    more: bool = False

    def count(self, outcome: Outcome) -> None:
        """A permanent refusal is about one number; it shows that the gateway works."""
        if isinstance(outcome, Taken):
            self.taken += 1
        elif isinstance(outcome, Refused) and outcome.permanent:
            self.refused += 1
        else:
            self.failed += 1
            self.failures_in_a_row += 1
            return
        self.failures_in_a_row = 0


def drain(runtime: Runtime, stop: threading.Event | None = None) -> Drained:
    """Send due messages until none is left, time is up, or `stop` is set; ends within 30 s.

    Raises DomainError `database_away` when due messages cannot be claimed.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + DRAIN_SECONDS
    drained = Drained()
    flying: set[Future[Tried | None]] = set()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sms") as pool:
        while True:
            drained.more = time.monotonic() >= deadline
            halted = drained.failures_in_a_row >= FAILURES_IN_A_ROW_MOST
            room = 0 if drained.more or halted or stop.is_set() else THREADS - len(flying)
            claimed = _claim(runtime, room) if room > 0 else ()
            flying |= {pool.submit(_deliver, runtime, claim) for claim in claimed}
            if not flying:
                return drained
            done, flying = wait(flying, GLANCE_SECONDS, FIRST_COMPLETED)
            tried = [one for future in done if (one := future.result())]
            for one in tried:
                drained.count(one.outcome)
            flying |= {pool.submit(_record, runtime.db, one) for one in _left(runtime.db, tried)}


def _claim(runtime: Runtime, most: int) -> tuple[Claim, ...]:
    claims = runtime.db.transact(
        lambda session: tries.claim(session, runtime.catalogues, runtime.market, most),
        name="sms_claim",
    )
    for kind in claims.given_up:
        _alarm(kind, "gave_up")
    return claims.tries


def _deliver(runtime: Runtime, claim: Claim) -> Tried:
    """One try, not yet recorded; runs in a thread of the drain."""
    outcome = runtime.sms_gateway.send(claim.msisdn, _filled(runtime, claim))
    TRIES.labels(type(outcome).__name__.lower()).inc()
    if isinstance(outcome, Taken):
        failpoints.reach("sms.after_send")
    return Tried(claim, outcome)


def _filled(runtime: Runtime, claim: Claim) -> str:
    """The text as it goes out. A code is written here, for the call of the gateway alone."""
    if claim.code is None:
        return claim.text
    return claim.text.replace(receipts.CODE_MARK, runtime.codes.digits(claim.code))


def _left(db: Database, tried: Sequence[Tried]) -> Sequence[Tried]:
    """Record all of them in one transaction; those that are left to be recorded each alone."""
    if not tried:
        return ()
    try:
        messages = db.transact(
            lambda session: tries.record_all(session, tried), name="sms_record", idempotent=True
        )
    except (DomainError, DBAPIError) as error:
        log.warning("sms_record_alone", outcomes=len(tried), error=type(error).__name__)
        return tried
    for one in tried:
        _note(one, messages.get(one.claim.message_id))
    return ()


def _record(db: Database, tried: Tried) -> None:
    """Record one with patience: the SMS is out, and forgetting that would send it once more."""
    for pause_seconds in (*RECORD_PAUSES_SECONDS, None):
        try:
            messages = db.transact(
                lambda session: tries.record_all(session, [tried]),
                name="sms_record",
                idempotent=True,
            )
        except (DomainError, DBAPIError) as error:
            if pause_seconds is None:
                log.error(
                    "sms_not_recorded",
                    message_id=str(tried.claim.message_id),
                    error=type(error).__name__,
                )
                return
            time.sleep(pause_seconds)
        else:
            _note(tried, messages.get(tried.claim.message_id))
            return


def _note(tried: Tried, message: Message | None) -> None:
    """Log and count what became of a try."""
    claim, outcome = tried.claim, tried.outcome
    if message is None:
        log.warning("sms_late_outcome", message_id=str(claim.message_id), fence=claim.fence)
        return
    log.info(
        "sms_try",
        message_id=str(message.id),
        kind=message.kind,
        outcome=type(outcome).__name__.lower(),
        reason=message.last_error,
        state=message.state,
        attempts=message.attempts,
        repeats=message.repeats,
    )
    if message.state in ("refused", "gave_up"):
        _alarm(message.kind, message.state)
    if message.repeats and not isinstance(outcome, Refused):
        REPEATS.inc()


def _alarm(kind: str, why: str) -> None:
    ALARMS.labels(kind, why).inc()
    log.error("sms_alarm", kind=kind, why=why)
