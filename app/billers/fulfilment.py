"""Doing what was claimed: call the biller with no transaction open, then let the answer settle.

    due rows ─claim, commit─▶ call in a thread ─▶ settle, commit ─▶ count for the breaker

1. Each biller has its own threads, as many as its cap, so a silent one starves nobody; nor does
   one whose row or payments cannot be had: it is left alone for a moment.
2. A call never starts after its lease: a process that was stopped in between sends nothing.
3. An answer that cannot be recorded is lost on purpose when the lease ends; whoever claims the
   payment next asks for it again under the same reference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from sqlalchemy.exc import DBAPIError

from app import failpoints
from app.billers import breaker, claims, settlement
from app.billers.claims import LEASE_SECONDS, Work
from app.billers.protocols.answers import Answer, Family, Outcome
from app.billers.settler import Settler, clock
from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.telemetry import log

GLANCE_SECONDS = 0.015  # how soon work that became due beside calls in flight is seen
MARGIN_SECONDS = 2
ANSWERED_EVERY_SECONDS = 1.0
LEFT_ALONE_SECONDS = 5.0  # a lock that is waited for in vain would cost the others 2 s a round


class Fulfilment:
    """The calls of one worker process to all billers; made once, lives as long as the process."""

    def __init__(self, db: Database, market: Market, wires: Mapping[str, Family]) -> None:
        self._db = db
        self._market = market
        self._wires = wires
        self._settler = Settler(db, market)
        # Who is paid by file is not called: `batches` writes and reads those.
        self._callable = {code for code in wires if market.billers[code].silence_policy != "wait"}
        self._pools = {
            code: ThreadPoolExecutor(rules.concurrency, thread_name_prefix=f"biller-{code}")
            for code, rules in market.billers.items()
        }
        self._flying: dict[str, set[Future[None]]] = {code: set() for code in market.billers}
        self._left_alone_until: dict[str, float] = {}
        # When each biller's row must be told of an answer: at once after a failure.
        self._tell_at: dict[str, float] = {}
        self._running = threading.Lock()

    def introduce(self) -> None:
        """Write the rows of billers that are new in the market file; a lost try does no harm."""
        try:
            self._db.transact(partial(breaker.ensure_rows, billers=self._market.billers))
        except (DomainError, DBAPIError) as error:
            log.warning("billers_not_introduced", error=type(error).__name__)

    def drain(self, *, stop: Callable[[], bool], seconds: float) -> bool:
        """Claim and call until none is due or in flight, `seconds` have passed, or `stop()`.

        True when there is more to do. Calls still in flight go on in their threads; the next
        drain of this process, or `finish`, waits for them. One thread at a time.
        """
        with self._running:
            deadline = time.monotonic() + seconds
            while not stop():
                started = self._launch()
                flying = self._in_flight()
                if not flying and not started:
                    return False
                if time.monotonic() >= deadline:
                    return True
                wait(flying, timeout=GLANCE_SECONDS)
            return bool(self._in_flight())

    def finish(self, seconds: float) -> bool:
        """For a graceful stop: wait for calls in flight, no longer than `seconds`; all done?

        What is left is covered by its lease. A drain that still runs has been told to stop.
        """
        deadline = time.monotonic() + seconds
        drained = self._running.acquire(timeout=seconds)
        for pool in self._pools.values():
            pool.shutdown(wait=False)
        flying = self._in_flight()
        waited = wait(flying, timeout=max(0.0, deadline - time.monotonic()))
        if not waited.not_done:
            self._settler.close()
        return drained and not waited.not_done

    def _in_flight(self) -> set[Future[None]]:
        for calls in self._flying.values():
            calls -= {call for call in calls if call.done()}
        return set().union(*self._flying.values())

    def _launch(self) -> int:
        """Claim what is due, for each biller that has a thread free; how many calls began.

        Raises what `Database.transact` raises when the database cannot be asked at all.
        """
        self._in_flight()
        started = 0
        for biller in self._db.transact(partial(claims.due_billers, callable_ones=self._callable)):
            if not self._may_try(biller):
                continue
            free = self._market.billers[biller].concurrency - len(self._flying[biller])
            if free > 0:
                started += self._try_launch(biller, free)
        return started

    def _may_try(self, biller: str) -> bool:
        return time.monotonic() >= self._left_alone_until.get(biller, 0.0)

    def _try_launch(self, biller: str, free: int) -> int:
        try:
            return self._launch_for(biller, free)
        except Exception as error:  # noqa: BLE001 - the other billers' payments must go on
            self._left_alone_until[biller] = time.monotonic() + LEFT_ALONE_SECONDS
            log.error("claim_failed", biller=biller, error=type(error).__name__)
            return 0

    def _launch_for(self, biller: str, free: int) -> int:
        claimed_at = time.monotonic()
        take = partial(claims.claim, market=self._market, biller=biller, most=free, now=clock())
        works = self._db.transact(take, name="claim")
        for work in works:
            call = self._pools[biller].submit(self._fulfil, biller, work, claimed_at)
            self._flying[biller].add(call)
        return len(works)

    def _fulfil(self, biller: str, work: Work, claimed_at: float) -> None:
        try:
            self._call_and_settle(biller, work, claimed_at)
        except Exception as error:  # noqa: BLE001 - the thread's end; the lease brings it back
            settlement.ALARMS.labels("not_settled").inc()
            log.error(
                "payment_not_settled", reference=work.claim.reference,
                error=type(error).__name__, exc_info=True,
            )  # fmt: skip

    def _call_and_settle(self, biller: str, work: Work, claimed_at: float) -> None:
        rules = self._market.billers[biller]
        latest_start = claimed_at + LEASE_SECONDS - rules.timeout_seconds - MARGIN_SECONDS
        if time.monotonic() > latest_start:
            log.warning("claim_stale", reference=work.claim.reference)
            return
        wire = self._wires[biller]
        # No transaction is open here: a biller may take its whole time-out to answer.
        answer = wire.pay(work.order) if work.buys else wire.follow_up(work.order)
        failpoints.reach("payment.after_biller_answer")
        lease_end = claimed_at + LEASE_SECONDS
        state = self._settler.settle(work.claim, answer, lease_end=lease_end)
        if state is not None:
            log.info(
                "biller_answered", biller=biller, reference=work.claim.reference,
                request=work.claim.request, outcome=answer.outcome, reason=answer.reason,
                code=answer.code, state=state,
            )  # fmt: skip
        try:
            self._count(biller, answer)
        except (DomainError, DBAPIError) as error:
            # The payment is settled all the same; the next answer counts again.
            log.warning("answer_not_counted", biller=biller, error=type(error).__name__)

    def _count(self, biller: str, answer: Answer) -> None:
        """An answer resets the count of failures: told at once after a failure, else seldom."""
        rules = self._market.billers[biller]
        if answer.in_format:
            if time.monotonic() < self._tell_at.get(biller, 0.0):
                return
            self._tell_at[biller] = time.monotonic() + ANSWERED_EVERY_SECONDS
            deposit = answer.deposit_minor if answer.outcome is Outcome.PAID else None
            self._db.transact(partial(breaker.answered, biller=biller, deposit_minor=deposit))
            return
        self._tell_at[biller] = 0.0
        if self._db.transact(partial(breaker.failed, biller=biller, rules=rules)):
            log.error("breaker_opened", biller=biller, reason=answer.reason)
