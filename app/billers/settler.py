"""Letting answers settle: sales that came in together in one transaction, the rest each alone.

A biller's answers come in many threads. A batch takes what has gathered while the one before was
settled, so the busier a worker is the less each sale costs, and an idle one waits for nothing.
Going together is only the quicker way: whatever could not go so, goes alone, as often as the lease
allows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from app.billers import settlement
from app.billers.protocols.answers import Answer, Outcome
from app.billers.settlement import Claim
from app.billers.states import State
from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.telemetry import log

AGAIN_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0)
TOGETHER_AT_MOST = 32


def clock() -> datetime:
    """Now, aware, for facts and events; leases and due times are the database's."""
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A sale that waits for its batch: `tried` once that went, `sold` if it took effect."""

    claim: Claim
    answer: Answer
    tried: threading.Event = field(default_factory=threading.Event)
    sold: bool = False


class Settler:
    """The settling of one worker process; safe for threads."""

    def __init__(self, db: Database, market: Market) -> None:
        self._db = db
        self._market = market
        self._gathered: deque[_Waiting] = deque()
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="settler")

    def settle(self, claim: Claim, answer: Answer, *, lease_end: float) -> State | None:
        """The payment's state after it; None when it could not be recorded while the lease lasts
        (`lease_end` by the monotonic clock): whoever claims the payment next asks again.
        """
        if answer.outcome is Outcome.PAID and self._together(_Waiting(claim, answer), lease_end):
            return State.CAPTURED
        return self._alone(claim, answer, lease_end)

    def close(self) -> None:
        """Once no answer can come any more."""
        self._batches.shutdown(wait=False)

    def _together(self, mine: _Waiting, lease_end: float) -> bool:
        self._gathered.append(mine)
        # One batch may take what several asked for; what asked is in one in the end.
        self._batches.submit(self._settle_gathered)
        mine.tried.wait(max(0.0, lease_end - time.monotonic()))
        return mine.sold

    def _settle_gathered(self) -> None:
        batch = self._take()
        if not batch:
            return
        answered = {key: (one.claim, one.answer) for key, one in batch.items()}
        settle = partial(
            settlement.record_sold, market=self._market, answered=answered, now=clock()
        )
        try:
            for payment_id in self._db.transact(settle, name="settle", idempotent=True):
                batch[payment_id].sold = True
        except Exception as error:  # noqa: BLE001 - each goes alone then, and says it itself
            log.warning("settle_alone", answers=len(batch), error=type(error).__name__)
        finally:
            for one in batch.values():
                one.tried.set()

    def _take(self) -> dict[UUID, _Waiting]:
        """What has gathered, each payment once: a second answer about one goes alone."""
        batch: dict[UUID, _Waiting] = {}
        while len(batch) < TOGETHER_AT_MOST:
            try:
                one = self._gathered.popleft()
            except IndexError:
                break
            if batch.setdefault(one.claim.payment_id, one) is not one:
                one.tried.set()
        return batch

    def _alone(self, claim: Claim, answer: Answer, lease_end: float) -> State | None:
        """Trying again while the database is away and the lease lasts."""
        settle = partial(
            settlement.record, market=self._market, claim=claim, answer=answer, now=clock()
        )
        for pause in (*AGAIN_SECONDS, None):
            try:
                return self._db.transact(settle, name="settle", idempotent=True)
            except (DomainError, DBAPIError) as error:
                log.warning("settle_again", error=type(error).__name__)
                if pause is None or time.monotonic() + pause > lease_end:
                    break
                time.sleep(pause)
        log.error("answer_lost", reference=claim.reference, outcome=answer.outcome)
        return None
