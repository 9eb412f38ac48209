"""Our RQ worker: one queue, no fork a job, JSON, and a stop that takes at most ten seconds.

RQ 3.0 as it was read: a worker on several queues that is killed between pop and start loses the
job; an idle worker waits out a lost Redis by itself, one that loses it elsewhere ends its loop.
Jobs carry no work, so a lost one costs the two seconds to the next sweep; a loop that has ended is
begun again here, with a pause. The process stays.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime
from types import FrameType

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from app.telemetry import log

WORKER_TTL_SECONDS = 40  # RQ waits for a job this long less 15, and its socket 10 longer
STOP_SECONDS = 7.0
LAST_EXIT_SECONDS = 9.5
PAUSES_SECONDS = (0.5, 1.0, 2.0)
WEDGED_SECONDS = 120


class QueueWorker(SimpleWorker):
    """SimpleWorker whose stop is known to running jobs and asks nothing of Redis."""

    max_connection_wait_time = 2.0
    stopping: threading.Event

    def _install_signal_handlers(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.request_stop)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Idle: leave the loop at once. Busy: the job sees `stopping` and ends soon."""
        begin_stop(self.stopping)
        if self.get_state() == WorkerStatus.BUSY:
            self._stop_requested = True
        else:
            raise StopRequested

    @property
    def is_well(self) -> bool:
        """Whether RQ's loop has turned lately; a job and a wait for one are both much shorter."""
        beat = self.last_heartbeat or self.birth_date
        return beat is None or (datetime.now(UTC) - beat).total_seconds() < WEDGED_SECONDS


class Loop:
    """Serves one queue until told to stop, through every loss of Redis."""

    def __init__(self, queue: str, redis_url: str, stopping: threading.Event) -> None:
        self._queue = queue
        self._redis_url = redis_url
        self._stopping = stopping
        self._worker: QueueWorker | None = None

    @property
    def is_well(self) -> bool:
        return self._worker is None or self._worker.is_well

    def run(self) -> None:
        """Returns when a stop was requested and the running job has ended."""
        failures = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_while_waiting)
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                self._serve()
                failures = 0 if time.monotonic() - began > 10 else failures + 1
                if not self._stopping.is_set():
                    pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
                    log.warning("worker_loop_again", queue=self._queue, seconds=pause)
                    self._stopping.wait(pause)
        except StopRequested:
            return

    def _serve(self) -> None:
        redis = Redis.from_url(
            self._redis_url, socket_connect_timeout=2, health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        try:
            queue = Queue(self._queue, connection=redis, serializer=JSONSerializer)
            worker = QueueWorker(
                [queue],
                connection=redis,
                serializer=JSONSerializer,
                worker_ttl=WORKER_TTL_SECONDS,
                log_job_description=False,
            )
            worker.stopping = self._stopping
            self._worker = worker
            worker.work()
        except RedisError as error:
            log.warning("redis_away", queue=self._queue, error=type(error).__name__)
        finally:
            self._worker = None
            redis.close()

    def _stop_while_waiting(self, _signum: int, _frame: FrameType | None) -> None:
        begin_stop(self._stopping)
        raise StopRequested


def begin_stop(stopping: threading.Event) -> None:
    """Let every loop of the process see the stop, and make sure that it ends in time."""
    if stopping.is_set():
        return
    stopping.set()
    last_exit = threading.Timer(LAST_EXIT_SECONDS, os._exit, (1,))
    last_exit.daemon = True
    last_exit.start()
