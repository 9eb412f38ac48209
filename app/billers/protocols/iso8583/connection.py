"""One TCP or TLS connection to a biller's switch, and the only thread that touches its socket.

    connect ─▶ TLS ─▶ sign-on 0800/0810 ─▶ requests and answers in any order ─▶ lost | closed

1. Callers leave a call and ring; they neither read nor write. So a peer that does not read, drips
   or says rubbish costs nobody but this thread, and this one its patience only.
2. No call leaves before the sign-on is answered. One whose caller has gone leaves no more: what is
   late could meet the request of another worker.
3. An answer belongs to the call of its key (type, STAN, RRN). One for nobody is counted, dropped.
4. What is no message, and what takes too long, ends the connection, and all callers hear so at
   once: behind half a frame nothing can be trusted.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import Counter

from app.billers.protocols.http import WireError
from app.billers.protocols.iso8583 import messages
from app.billers.protocols.iso8583.frames import FrameError, Frames, framed
from app.billers.protocols.iso8583.messages import Fields, Key, MessageError, Numbers
from app.billers.protocols.iso8583.opening import Address, LostError, opened
from app.telemetry import log

CHUNK_BYTES = 16_384  # a whole TLS record: none stays behind where poll cannot see it
STRAYS = Counter(
    "kibanda_biller_stray_answers_total", "Answers that nobody waited for any more", ["biller"]
)
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may take. `frame_seconds`: a message that has begun to arrive, and one that
    the peer does not take; `idle_seconds`: nothing heard, until an echo is asked for."""

    connect_seconds: float = 2.0
    network_seconds: float = 5.0
    frame_seconds: float = 5.0
    idle_seconds: float = 20.0
    retry_seconds: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)


class Call:
    """One request on its way, and where its caller waits. Raises MessageError."""

    def __init__(self, request: Fields) -> None:
        self.frame = framed(messages.encode(request))
        self.key = messages.answer_key(request)
        self.answer: Fields | None = None
        self.failure = "timeout"
        self.ended = threading.Event()


class Connection:
    """Opens at once in its own thread; `ended` hears, before any caller, whether it ever stood."""

    def __init__(
        self,
        biller: str,
        address: Address,
        patience: Patience,
        numbers: Numbers,
        ended: Callable[[bool], None],
    ) -> None:
        self.is_over = False
        self._biller = biller
        self._address = address
        self._patience = patience
        self._numbers = numbers
        self._tell_end = ended
        self._lock = threading.Lock()
        self._pending: dict[Key, Call] = {}
        self._waiting: deque[Call] = deque()
        self._closing = False
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"iso8583-{biller}", daemon=True)
        # From here on the thread's alone.
        self._signed_on = False
        self._frames = Frames()
        self._out = bytearray()
        self._network: tuple[Key, float] | None = None
        self._heard_at = self._moved_at = self._began_at = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def send(self, call: Call) -> None:
        """Let a call leave as soon as it may. Raises WireError."""
        with self._lock:
            if self.is_over:
                raise WireError("connection_lost")
            if call.key in self._pending:
                raise WireError("already_in_flight")
            self._pending[call.key] = call
            self._waiting.append(call)
            self._ring()

    def forget(self, call: Call) -> None:
        """Its caller waits no more."""
        with self._lock:
            if self._pending.get(call.key) is call:
                del self._pending[call.key]

    def close(self) -> None:
        """Sign off and end, soon."""
        with self._lock:
            self._closing = True
            if not self.is_over:
                self._ring()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def abandon(self) -> None:
        """In a forked child, which has the sockets but not the thread: let go, say nothing."""
        for sock in (self._sock, self._bell, self._ear):
            if sock is not None:
                sock.close()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of rings: the thread will look anyway
            self._bell.send(b"\0")

    def _run(self) -> None:
        cause = "broken"
        try:
            self._sock = opened(self._address, self._patience.connect_seconds)
            self._serve(self._sock)
            cause = "closed"
        except (LostError, FrameError, MessageError, OSError) as error:
            cause = error.cause if isinstance(error, LostError) else type(error).__name__
        except Exception:  # noqa: BLE001 - the thread's end: callers must hear of it all the same
            log.error("biller_link_broken", biller=self._biller, exc_info=True)
        finally:
            self._end(cause)

    def _serve(self, sock: socket.socket) -> None:
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        self._heard_at = time.monotonic()
        self._ask(messages.SIGN_ON)
        self._write(sock)
        while not self._closing:
            poll.register(sock, select.POLLIN | (select.POLLOUT if self._out else 0))
            poll.poll(max(0.0, self._next_look() - time.monotonic()) * 1000 + 1)
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
            self._read(sock)
            self._write(sock)
            self._lose_patience()
        self._sign_off(sock)

    def _sign_off(self, sock: socket.socket) -> None:
        """As far as it can be said without waiting."""
        if self._signed_on:
            self._ask(messages.SIGN_OFF)
            self._write(sock)

    def _ask(self, code: str) -> None:
        fields = messages.network(code, self._numbers.stan(), datetime.now(UTC))
        until = time.monotonic() + self._patience.network_seconds
        self._network = (messages.answer_key(fields), until)
        self._put(framed(messages.encode(fields)))

    def _put(self, frame: bytes) -> None:
        if not self._out:
            self._moved_at = time.monotonic()
        self._out += frame

    def _read(self, sock: socket.socket) -> None:
        try:
            chunk = sock.recv(CHUNK_BYTES)
        except _WOULD_BLOCK:
            return
        if not chunk:
            raise LostError("hung_up")
        if not self._frames.unfinished:
            self._began_at = time.monotonic()
        for message in self._frames.feed(chunk):
            self._began_at = time.monotonic()
            self._take(messages.decode(message))

    def _take(self, answer: Fields) -> None:
        self._heard_at = time.monotonic()
        key = messages.key(answer)
        if self._network is not None and self._network[0] == key:
            self._take_network(answer)
            return
        with self._lock:
            call = self._pending.pop(key, None)
        if call is None:
            STRAYS.labels(self._biller).inc()
            return
        if answer.get("39") == messages.NOT_SIGNED_ON and self._network is None:
            self._ask(messages.SIGN_ON)  # it may have forgotten us
        call.answer = answer
        call.ended.set()

    def _take_network(self, answer: Fields) -> None:
        if answer.get("39") != messages.DONE:
            raise LostError("network_refused")
        self._network = None
        if not self._signed_on:
            self._signed_on = True
            log.info("biller_link_up", biller=self._biller)

    def _write(self, sock: socket.socket) -> None:
        while self._out or self._fill():
            try:
                sent = sock.send(self._out)
            except _WOULD_BLOCK:
                return
            del self._out[:sent]
            self._moved_at = time.monotonic()

    def _fill(self) -> bool:
        """The next call whose caller still waits; one at a time, so that the others can go."""
        while self._signed_on:
            with self._lock:
                if not self._waiting:
                    return False
                call = self._waiting.popleft()
                wanted = self._pending.get(call.key) is call
            if wanted:
                self._put(call.frame)
                return True
        return False

    def _deadlines(self) -> list[tuple[float, str]]:
        patience = self._patience
        found = []
        if self._network is not None:
            found.append((self._network[1], "network_unanswered"))
        if self._frames.unfinished:
            found.append((self._began_at + patience.frame_seconds, "frame_unfinished"))
        if self._out:
            found.append((self._moved_at + patience.frame_seconds, "not_read"))
        return found

    def _next_look(self) -> float:
        idle = self._heard_at + self._patience.idle_seconds
        ends = [at for at, _ in self._deadlines()]
        return min(ends if self._network else [idle, *ends])

    def _lose_patience(self) -> None:
        now = time.monotonic()
        for at, cause in self._deadlines():
            if now >= at:
                raise LostError(cause)
        if self._network is None and now >= self._heard_at + self._patience.idle_seconds:
            self._ask(messages.ECHO)

    def _end(self, cause: str) -> None:
        self._tell_end(self._signed_on)
        with self._lock:
            self.is_over = True
            calls = list(self._pending.values())
            self._pending.clear()
            self._waiting.clear()
            self.abandon()
        level = "info" if cause == "closed" else "warning"
        getattr(log, level)("biller_link_ended", biller=self._biller, cause=cause)
        for call in calls:
            call.failure = "connection_lost" if self._signed_on else "connect_failed"
            call.ended.set()
