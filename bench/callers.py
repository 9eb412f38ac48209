"""Many callers at once on kept connections, from one thread that waits for whoever is answered.

A session is a generator: it yields hops, is sent the body of each answer, and raises WrongScreen
when that is not what it must be. Threads would make the callers wait for each other; here an
answer waits only while the loop reads the others that came with it, and that is within its time.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from bench.web import answer_of

ANSWER_SECONDS = 20.0  # longer than any gateway waits
READ_BYTES = 65_536
OK = 200


class WrongScreen(Exception):
    """A body that is not the one that this hop must get."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What is sent next. `kind` names the group in which its time is counted."""

    request: bytes
    kind: str


Session = Generator[Hop, str, None]


@dataclass
class Played:
    """What came of a round: seconds of each hop by kind, what was wrong, and what it cost us."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    took: float = 0.0
    client_cpu: float = 0.0

    @property
    def hops(self) -> int:
        return sum(map(len, self.seconds.values()))

    @property
    def rate(self) -> float:
        return self.hops / self.took


class _Caller:
    """One connection and the sessions that are played on it, one after the other."""

    def __init__(self, port: int, sessions: Iterable[Session]) -> None:
        self._port = port
        self._waiting = deque(sessions)
        self._session: Session | None = None
        self.line = self._connect()
        self._received = b""
        self._hop: Hop | None = None
        self._sent = 0.0

    def go_on(self, body: str | None, played: Played) -> bool:
        """Send the next hop; False when all sessions are over."""
        while True:
            try:
                if self._session is None:
                    if not self._waiting:
                        return False
                    self._session, body = self._waiting.popleft(), None
                self._hop = self._session.send(body) if body else next(self._session)
            except StopIteration:
                self._session = None
            except WrongScreen as wrong:
                played.wrong.append(str(wrong))
                self._session = None
            else:
                self._sent = time.perf_counter()
                self.line.sendall(self._hop.request)
                return True

    def take(self) -> tuple[int, str] | None:
        """Read what came: status and body of the answer, or None while it is not whole.

        Raises ConnectionError.
        """
        more = self.line.recv(READ_BYTES)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        self._received += more
        answer = answer_of(self._received)
        if answer:
            self._received = b""
        return answer

    def answered(self, answer: tuple[int, str], now: float, played: Played) -> bool:
        """Count an answer that came at `now` and go on."""
        assert self._hop
        status, body = answer
        if status != OK:
            played.errors.append(f"HTTP {status}: {body[:80]!r}")
            self._session = None
            return self.go_on(None, played)
        played.seconds.setdefault(self._hop.kind, []).append(now - self._sent)
        return self.go_on(body, played)

    def broken(self, error: str, played: Played) -> bool:
        """A lost connection loses its session; the next one gets a new connection."""
        played.errors.append(error)
        self.line.close()
        self.line, self._received, self._session = self._connect(), b"", None
        return self.go_on(None, played)

    def _connect(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line


def play(port: int, callers: Iterable[Iterable[Session]]) -> Played:
    """Play every caller's sessions, all callers at the same time."""
    played, lines = Played(), selectors.DefaultSelector()
    ready = [_Caller(port, sessions) for sessions in callers]
    began, cpu = time.perf_counter(), time.process_time()
    for caller in ready:
        if caller.go_on(None, played):
            lines.register(caller.line, selectors.EVENT_READ, caller)
    while lines.get_map():
        events = lines.select(ANSWER_SECONDS)
        if not events:
            played.errors.append(f"{len(lines.get_map())} callers without an answer")
            break
        _hear([key.data for key, _ in events], lines, played)
    played.took = time.perf_counter() - began
    played.client_cpu = time.process_time() - cpu
    for caller in ready:
        caller.line.close()
    lines.close()
    return played


def _hear(ready: list[_Caller], lines: selectors.BaseSelector, played: Played) -> None:
    """First read all that came, then act on it: nobody's time is spent on another's next hop."""
    heard: list[tuple[_Caller, tuple[int, str], float]] = []
    for caller in ready:
        try:
            answer = caller.take()
        except OSError as error:
            lines.unregister(caller.line)
            if caller.broken(f"{type(error).__name__}: {error}", played):
                lines.register(caller.line, selectors.EVENT_READ, caller)
            continue
        if answer:
            heard.append((caller, answer, time.perf_counter()))
    for caller, answer, now in heard:
        if not caller.answered(answer, now, played):
            lines.unregister(caller.line)
