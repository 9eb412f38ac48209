"""Rows that say who is alive, and the lookout that works on when no bell rings."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.telemetry import log

BEAT_SECONDS = 5.0
SILENCE_SECONDS = 10.0

_BEAT = text("""
    INSERT INTO worker_heartbeats (name, queue, pid, at)
    VALUES (:name, :queue, :pid, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET at = excluded.at
""")
_LEAVE = text("DELETE FROM worker_heartbeats WHERE name = :name")
_FORGET = text("""
    DELETE FROM worker_heartbeats WHERE at < clock_timestamp() - interval '1 day' RETURNING name
""")


class Heart:
    """One process's row, renewed every `BEAT_SECONDS` as long as `is_well()`."""

    def __init__(self, db: Database, queue: str) -> None:
        self._db = db
        self._queue = queue
        self._pid = os.getpid()
        self._name = f"{queue}@{socket.gethostname()}:{self._pid}"
        self._last = float("-inf")

    def beat(self) -> None:
        """Renew the row if it is time. A database that is away is noted, never raised."""
        if time.monotonic() - self._last < BEAT_SECONDS:
            return
        self._last = time.monotonic()
        self._write(_BEAT, {"name": self._name, "queue": self._queue, "pid": self._pid})

    def leave(self) -> None:
        """A process that ends in order takes its row away."""
        self._write(_LEAVE, {"name": self._name})

    def keep_beating(self, is_well: Callable[[], bool], stopping: threading.Event) -> None:
        """Beat from a thread of its own until `stopping`; a wedged process goes silent."""

        def beat_if_well() -> None:
            if is_well():
                self.beat()

        _every_second("heartbeat", beat_if_well, stopping)

    def _write(self, statement: object, values: dict[str, object]) -> None:
        try:
            self._db.transact(lambda session: session.execute(statement, values))  # type: ignore[call-overload]
        except Exception as error:  # noqa: BLE001 - whatever it is, the process has work to do
            log.warning("heartbeat_lost", queue=self._queue, error=type(error).__name__)


def forget_dead(session: Session) -> int:
    """Drop the rows of processes that died a day ago; how many."""
    return len(session.execute(_FORGET).all())


def look_out(
    drain: Callable[[], None], looked_at: Callable[[], float], stopping: threading.Event
) -> None:
    """Drain from a thread of its own when nobody has rung for a while: Redis or the schedule is
    away, and neither may cost a payment more than seconds."""

    def drain_if_silent() -> None:
        if time.monotonic() - looked_at() > SILENCE_SECONDS:
            log.warning("bell_silent")
            drain()

    _every_second("lookout", drain_if_silent, stopping)


def _every_second(name: str, step: Callable[[], None], stopping: threading.Event) -> None:
    """A thread that takes this step until `stopping`. It outlives whatever a step raises: nobody
    would notice its death before its work is missed."""

    def run() -> None:
        while not stopping.is_set():
            try:
                step()
            except Exception as error:  # noqa: BLE001 - as said above
                log.error("thread_goes_on", thread=name, error=type(error).__name__)
            stopping.wait(1)

    threading.Thread(target=run, name=name, daemon=True).start()
