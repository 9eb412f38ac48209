"""L6: the few places for hops that wait, so that those who wait never take every thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Waits:
    """At most `places` hops of this process wait at a time: for an outcome, a biller or a lock."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there was a free place; it is given back at the end."""
        free = self._places.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._places.release()
