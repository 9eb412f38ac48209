"""Things to do later, each once, by a few threads: the earliest first, however late it was added.

It is in memory: what a killed biller had promised to tell, it never tells.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_THREADS = 8
_MOST_WAITING = 100_000
_log = logging.getLogger(__name__)

Act = Callable[[], None]


class Agenda:
    """Safe for threads. An act that raises is logged and over."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Act]] = []
        self._changed = threading.Condition()
        for _ in range(_THREADS):
            threading.Thread(target=self._run, daemon=True, name="agenda").start()

    def at(self, epoch_seconds: float, act: Act) -> None:
        """Do this then, or at once when it is past; lost when too much is waiting."""
        with self._changed:
            if len(self._due) >= _MOST_WAITING:
                _log.warning("too much is waiting on the agenda; a thing is lost")
                return
            heapq.heappush(self._due, (epoch_seconds, next(self._numbers), act))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            act = self._next()
            try:
                act()
            except Exception:  # noqa: BLE001 - its thread has other things to do
                _log.exception("a thing on the agenda failed")

    def _next(self) -> Act:
        with self._changed:
            while True:
                wait = self._due[0][0] - time.time() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
