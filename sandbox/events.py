"""What the page hears at once: a stream of Server-Sent Events for every open page.

A page that reads too slowly loses its stream and opens a new one; then it asks for everything.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator

# Each stream holds one of the server's threads, so their number and their life are bounded.
MOST_STREAMS = 12
LONGEST_STREAM_SECONDS = 600.0
_WAITING_EVENTS = 256
_GLANCE_SECONDS = 0.25
_HEARTBEAT_SECONDS = 10.0


class TooManyStreamsError(Exception):
    """Every place for a page is taken; the page polls meanwhile."""


class Events:
    """Tells every open page the same thing; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[queue.Queue[str]] = set()

    def publish(self, name: str, data: object) -> None:
        message = _message(name, data)
        with self._lock:
            for stream in list(self._streams):
                try:
                    stream.put_nowait(message)
                except queue.Full:
                    self._streams.discard(stream)

    def stream(self, first: object, still_serving: Callable[[], bool]) -> Iterator[str]:
        """The events from now on, after `first`; raises TooManyStreamsError."""
        mine: queue.Queue[str] = queue.Queue(_WAITING_EVENTS)
        with self._lock:
            if len(self._streams) >= MOST_STREAMS:
                raise TooManyStreamsError
            self._streams.add(mine)
        return self._read(mine, _message("hello", first), still_serving)

    def _read(
        self, mine: queue.Queue[str], first: str, still_serving: Callable[[], bool]
    ) -> Iterator[str]:
        begin = heard = time.monotonic()
        try:
            yield first
            while still_serving() and mine in self._streams:
                try:
                    yield mine.get(timeout=_GLANCE_SECONDS)
                    heard = time.monotonic()
                except queue.Empty:
                    now = time.monotonic()
                    if now - begin > LONGEST_STREAM_SECONDS:
                        return
                    if now - heard > _HEARTBEAT_SECONDS:
                        heard = now
                        yield ": still here\n\n"
        finally:
            with self._lock:
                self._streams.discard(mine)


def _message(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
