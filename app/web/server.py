"""The web server's worker: gunicorn's threads, which a request takes only when it is whole.

As gunicorn has it, a client that sends one byte a second, or nothing, keeps a thread for as long as
it likes, and one that does not hang up after its answer stops the accepting of all others for two
seconds. Sixteen of the first, or one of the second, and no phone is served. So here:

    accepted ─▶ coming ─▶ with a thread ─▶ kept alive ─▶ coming …
                  └─▶ hung up                └─▶ leaving ─▶ closed

1. A request is collected by the event loop, and takes a thread when it is whole. Who has not sent
   it within `COME_SECONDS`, however it trickles, is hung up on.
2. Nothing is kept of more than a head of `HEAD_BYTES_MOST` and a body of the application's own
   most: a larger head is refused, a larger body goes to the application, which refuses it unread.
3. An answer that nobody reads ends with `ANSWER_SECONDS`; that is longer than any gateway waits.
4. Who is leaving has `LEAVE_SECONDS` to hang up, and nobody waits for it.
5. When there is no room for another connection, the one that has been coming longest makes room.

TLS is the proxy's: this worker speaks HTTP/1 only.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from app.telemetry import HUNG_UP, Seldom
from app.web import BODY_BYTES_MOST

COME_SECONDS, ANSWER_SECONDS, LEAVE_SECONDS = 10.0, 30.0, 2.0
CROWDED_SECONDS = 0.5  # who has been coming for less is not taken for slow
HEAD_BYTES_MOST = 32 * 1024
LEAVE_BYTES_MOST = 1024 * 1024
READ_BYTES = 65_536
HEAD_END = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r\n")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding[ \t]*:")
_EXPECTS = re.compile(rb"(?i)\r\nexpect[ \t]*:[ \t]*100-continue")

_hung_up = Seldom("connection_hung_up")


@dataclass
class Coming:
    """A request on its way. `needs`: how many bytes it has, None while its head is not there."""

    until: float
    heard: bytearray = field(default_factory=bytearray)
    needs: int | None = None
    chunked: bool = False
    too_large: bool = False

    def add(self, data: bytes) -> None:
        begins = max(0, len(self.heard) - len(HEAD_END) + 1)
        self.heard += data
        if self.needs is None and (end := self.heard.find(HEAD_END, begins)) >= 0:
            self._read_head(bytes(self.heard[: end + 2]), end + len(HEAD_END))

    @property
    def is_whole(self) -> bool:
        """Whether a thread can have it; what contradicts itself it can refuse at once."""
        if self.needs is None:
            return False
        if self.chunked and self.heard.endswith(CHUNKS_END):
            return True
        return len(self.heard) >= self.needs

    @property
    def has_its_end(self) -> bool:
        """Whether all of its body is here, so that nothing of it comes before the next request."""
        if self.chunked:
            return self.heard.endswith(CHUNKS_END)
        return self.is_whole and not self.too_large

    @property
    def has_no_end(self) -> bool:
        return self.needs is None and len(self.heard) > HEAD_BYTES_MOST

    def _read_head(self, head: bytes, size: int) -> None:
        lengths = _LENGTH.findall(head)
        self.chunked = _CHUNKED.search(head) is not None
        if self.chunked:
            self.needs = size + BODY_BYTES_MOST + 1
        elif len(lengths) == 1 and int(lengths[0]) <= BODY_BYTES_MOST:
            self.needs = size + int(lengths[0])
        else:
            self.needs, self.too_large = size, bool(lengths)


class WholeRequestWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module. Everything here but `handle` runs in the event loop, and never waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Each in the order of its ends, for all of one kind have the same time.
        self._coming: dict[Any, Coming] = {}
        self._answered_until: dict[Any, float] = {}
        self._leaving: dict[Any, list[float]] = {}

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self._come(TConn(self.cfg, client, address, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._come(conn)
        self._hear(conn, client)

    def finish_request(self, conn: Any, done: Any) -> None:
        self._answered_until.pop(conn, None)
        if done.cancelled() or done.exception() is not None or not done.result():
            self._leave(conn)
            return
        read_ahead = conn.parser.unreader.take_buffered()
        if read_ahead:
            self._come(conn)
            self._heard(conn, read_ahead)
        else:
            super().finish_request(conn, done)

    def murder_pending(self) -> None:
        """The loop's own round, at least once a second: everybody's time is looked at."""
        now = time.monotonic()
        for conn in [one for one, coming in self._coming.items() if coming.until <= now]:
            self._hang_up(conn, "slow")
        for conn in [one for one, until in self._answered_until.items() if until <= now]:
            del self._answered_until[conn]
            HUNG_UP.labels("unread").inc()
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)  # its thread wakes up and ends it
        for conn in [one for one, (until, _) in self._leaving.items() if until <= now]:
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """A stop waits no longer for what is coming than for those that are kept alive."""
        super()._cap_keepalive(deadline)
        for coming in self._coming.values():
            coming.until = min(coming.until, deadline)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """In the thread: gunicorn's own would wait five seconds for a body that nobody wants."""
        return keepalive and conn.has_its_end and bool(conn.parser.finish_body())

    def _come(self, conn: Any) -> None:
        """Wait for a request of this connection."""
        conn.sock.setblocking(False)
        self._coming[conn] = Coming(time.monotonic() + COME_SECONDS)
        self._watch(conn, self._hear)

    def _hear(self, conn: Any, client: socket.socket) -> None:
        try:
            data = client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._heard(conn, data)
        elif self._coming[conn].heard:
            self._give(conn)  # it broke off: its last request is refused
        else:
            self._close(conn)

    def _heard(self, conn: Any, data: bytes) -> None:
        coming = self._coming[conn]
        had_head = coming.needs is not None
        coming.add(data)
        if coming.is_whole:
            self._give(conn)
        elif coming.has_no_end:
            with contextlib.suppress(OSError):
                conn.sock.send(TOO_LARGE)
            self._hang_up(conn, "head")
        elif coming.needs is not None and not had_head and _EXPECTS.search(coming.heard):
            with contextlib.suppress(OSError):
                conn.sock.send(CONTINUE)

    def _give(self, conn: Any) -> None:
        """Give a request to a thread."""
        self._unwatch(conn)
        coming = self._coming.pop(conn)
        conn.has_its_end = coming.has_its_end
        conn.init()
        conn.parser.unreader.unread(bytes(coming.heard))
        self._answered_until[conn] = time.monotonic() + ANSWER_SECONDS
        self.enqueue_req(conn)

    def _make_room(self) -> None:
        oldest = next(iter(self._coming), None)
        if oldest is None:
            return
        since = self._coming[oldest].until - COME_SECONDS
        if time.monotonic() - since >= CROWDED_SECONDS:
            self._hang_up(oldest, "crowded")

    def _hang_up(self, conn: Any, reason: str) -> None:
        HUNG_UP.labels(reason).inc()
        _hung_up.warning(reason, reason=reason)
        self._unwatch(conn)
        del self._coming[conn]
        self._leave(conn)

    def _leave(self, conn: Any) -> None:
        """Say that we are done, and read what still comes: else it would lose our last answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            conn.close()
            return
        self._leaving[conn] = [time.monotonic() + LEAVE_SECONDS, LEAVE_BYTES_MOST]
        self._watch(conn, self._hear_leaving)

    def _hear_leaving(self, conn: Any, client: socket.socket) -> None:
        try:
            read = len(client.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            read = 0
        self._leaving[conn][1] -= read
        if not read or self._leaving[conn][1] <= 0:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self._unwatch(conn)
        self._coming.pop(conn, None)
        self._leaving.pop(conn, None)
        self.nr_conns -= 1
        conn.close()

    def _watch(self, conn: Any, hear: Callable[[Any, socket.socket], None]) -> None:
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(hear, conn))

    def _unwatch(self, conn: Any) -> None:
        with contextlib.suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
