"""L1: no wait for PostgreSQL without an end, by our own clock.

A server that was stopped, or a network that swallows packets, breaks no connection and ends no
statement: every time-out that the server keeps is worth nothing then. So whoever uses the database
says how long it may take (`at_most`, for the thread), and every wait of a `PatientConnection`,
connecting included, ends by then. The connection is closed: nobody knows what is still to come on
it, so it must never go back to a pool.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg.abc import RV, PQGen, PQGenConn

TICK_SECONDS = 0.1  # how often a wait looks whether its socket is still there
LAST_WAIT_SECONDS = 0.05  # for what is still to be tidied up once the time is over

_thread = threading.local()


class Silent(psycopg.OperationalError):
    """The server did not answer in time; what it may yet do with our words is unknown."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Within, all waits of this thread for PostgreSQL together take no longer than that."""
    outer = getattr(_thread, "until", None)
    _thread.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _thread.until = outer


def take_time(seconds: float) -> None:
    """What this thread is doing may take so long from now, whoever began it."""
    _thread.until = time.monotonic() + seconds


def seconds_left() -> float | None:
    """Until the time of this thread is over; negative when it is, None when it has no end."""
    until: float | None = getattr(_thread, "until", None)
    return None if until is None else until - time.monotonic()


@contextmanager
def among(hosts: int) -> Iterator[None]:
    """Within, connecting tries so many hosts, and none may use up the time of those after it: one
    that swallows packets would keep us from the standby that took over.
    """
    _thread.hosts = hosts
    try:
        yield
    finally:
        _thread.hosts = 1


def _share_ends() -> float | None:
    """When the attempt that begins now is over; None when nothing bounds it."""
    left = seconds_left()
    if left is None:
        return None
    hosts: int = getattr(_thread, "hosts", 1)
    _thread.hosts = max(1, hosts - 1)
    return time.monotonic() + left / hosts


class PatientConnection(psycopg.Connection[Any]):
    """A connection that waits no longer than its thread may."""

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """`connect` has a time-out of its own, which cannot be shorter than two seconds."""
        connecting = super()._connect_gen(conninfo)
        ends = _share_ends()
        try:
            wants = next(connecting)
            while True:
                ready = yield wants
                if ends is not None and time.monotonic() > ends:
                    raise Silent("no connection in time")
                wants = connecting.send(ready)
        except StopIteration as connected:
            connection: Self = connected.value
            return connection

    def wait(
        self, gen: PQGen[RV], interval: float = TICK_SECONDS, timeout: float | None = None
    ) -> RV:
        """Every exchange with the server passes here."""
        left = seconds_left()
        if left is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        limit = max(LAST_WAIT_SECONDS, left)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and time.monotonic() - began >= limit:
                self.pgconn.finish()
                raise Silent("no answer in time") from error
            raise
