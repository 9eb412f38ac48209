"""L6: the few places for hops that wait, so that those who wait never take every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.gateways.wire import UssdGateway

ANSWER_MARGIN_SECONDS = 2.0  # what stays of the gateway's deadline after any wait
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, GROWTH = 0.02, 0.2, 1.5


class Waits:
    """At most `places` hops of this process wait at a time: for an outcome, a biller or a lock."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._places_for_locks = threading.BoundedSemaphore(max(1, places // 2))
        self._places_for_wrong_pins = threading.BoundedSemaphore(max(1, places // 4))

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there was a free place; it is given back at the end."""
        with _one_of(self._places) as free:
            yield free

    @contextmanager
    def place_for_lock(self) -> Iterator[bool]:
        """The same for a hop that waits for its session's lock.

        Such hops get half of the places, so that the copies of a confirmation never crowd out the
        hop that waits for its outcome.
        """
        with self._also_of(self._places_for_locks) as free:
            yield free

    @contextmanager
    def place_for_wrong_pin(self) -> Iterator[bool]:
        """The same for the answer to a wrong PIN, which waits while PINs are sprayed: a quarter."""
        with self._also_of(self._places_for_wrong_pins) as free:
            yield free

    @contextmanager
    def _also_of(self, few: threading.BoundedSemaphore) -> Iterator[bool]:
        """A place that is one of few, too."""
        with _one_of(few) as allowed:
            if not allowed:
                yield False
                return
            with self.place() as free:
                yield free


@contextmanager
def _one_of(places: threading.BoundedSemaphore) -> Iterator[bool]:
    free = places.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            places.release()


def longest_wait(seconds: float, gateway: UssdGateway) -> float:
    """`seconds`, or less where the gateway does not wait that long for us."""
    return min(seconds, gateway.answer_seconds - ANSWER_MARGIN_SECONDS)


def pauses(seconds: float) -> Iterator[None]:
    """Sleep and yield, again and again with growing sleeps, until `seconds` are over."""
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        yield
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)
