"""A process's link to one biller: many calls at once over one connection, opened when it is needed.

The first call opens the connection, and the next call after a loss another. While a biller cannot
be reached, calls fail at once until the next try is due; a connection that once stood may be
opened anew at once. A forked child forgets what its parent had and opens its own.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from weakref import WeakSet

from app.billers.protocols.http import WireError
from app.billers.protocols.iso8583.connection import Call, Connection, Patience
from app.billers.protocols.iso8583.messages import Fields, MessageError, Numbers
from app.billers.protocols.iso8583.opening import Address

GOODBYE_SECONDS = 0.5


class Link:
    """Safe for threads. `most` calls are in flight; a further one waits for a place."""

    def __init__(
        self, biller: str, address: Address, *, most: int, patience: Patience | None = None
    ) -> None:
        self.numbers = Numbers()
        self._biller = biller
        self._address = address
        self._most = most
        self._patience = patience or Patience()
        self._connection: Connection | None = None
        self.forget()
        _LINKS.add(self)

    def call(self, request: Fields, *, seconds: float) -> Fields:
        """The answer to a request, within `seconds` altogether.

        Raises WireError: `message_unwritable`, `too_many_in_flight`, `already_in_flight`,
        `connect_failed`, `connection_lost`, `timeout`.
        """
        deadline = time.monotonic() + seconds
        try:
            call = Call(request)
        except MessageError as error:
            raise WireError("message_unwritable") from error
        places = self._places
        if not places.acquire(timeout=seconds):
            raise WireError("too_many_in_flight")
        try:
            connection = self._standing()
            connection.send(call)
            call.ended.wait(max(0.0, deadline - time.monotonic()))
            connection.forget(call)
        finally:
            places.release()
        if call.answer is None:
            raise WireError(call.failure)
        return call.answer

    def close(self) -> None:
        """Sign off, and do not wait for it; the next call would open anew."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def join(self, seconds: float) -> None:
        if self._connection is not None:
            self._connection.join(seconds)

    def forget(self) -> None:
        """Begin anew, as in a forked child, where other threads' locks may stay locked for ever."""
        if self._connection is not None:
            self._connection.abandon()
        self._connection = None
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(self._most)
        self._failures = 0
        self._retry_at = 0.0

    def _standing(self) -> Connection:
        with self._lock:
            if self._connection is not None and not self._connection.is_over:
                return self._connection
            if time.monotonic() < self._retry_at:
                raise WireError("connect_failed")
            try:
                connection = Connection(
                    self._biller, self._address, self._patience, self.numbers, self._ended
                )
                connection.start()
            except (OSError, RuntimeError) as error:  # no socket or no thread to be had
                raise WireError("connect_failed") from error
            self._connection = connection
            return connection

    def _ended(self, stood: bool) -> None:
        with self._lock:
            self._failures = 0 if stood else self._failures + 1
            if self._failures:
                steps = self._patience.retry_seconds
                wait = steps[min(self._failures, len(steps)) - 1]
                self._retry_at = time.monotonic() + wait


_LINKS: WeakSet[Link] = WeakSet()


def _forget_all() -> None:
    for link in list(_LINKS):
        link.forget()


def close_all() -> None:
    """Sign off everywhere, and wait for that a little: the end of a process."""
    links = list(_LINKS)
    for link in links:
        link.close()
    until = time.monotonic() + GOODBYE_SECONDS
    for link in links:
        link.join(max(0.0, until - time.monotonic()))


os.register_at_fork(after_in_child=_forget_all)
atexit.register(close_all)
