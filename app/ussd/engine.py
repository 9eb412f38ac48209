"""L6: one hop of a USSD session, from request to screen.

    begin (lock, load) ─▶ classify ─┬─ repeated, astray ──▶ the stored answer, nothing runs
                                    ├─ foreign ───────────▶ refused
                                    └─ new, input ──▶ walk ─┬─ screen ─▶ finish (save, unlock)
                                                            └─ Wait ───▶ finish, then poll ─▶ save

1. At most two Redis round trips a hop; a third one stores the outcome after a Wait.
2. An input runs at most once while the session lives: the lock serialises hops, `redelivery`
   knows what was answered, compare-and-set catches whoever came after an expired lock.
3. While an outcome is waited for, nothing is held. Whoever waited and saves the outcome first
   decides the bytes; everybody else answers the same. A repeat without a free place to wait
   says `late` for itself only: it decides nothing, and later repeats get the stored bytes.
4. After a commit the answer is given whatever happens to the session, and stored over whatever
   another hop made of it meanwhile; a failure after it is "not known yet", never "failed".
5. A hop of a number that floods, or a new session beyond what the gateway may begin, is answered
   with a sentence; nothing runs, and its session stays as it is (`floods`).
6. Redis or PostgreSQL away: a sentence, and the session ends. No input is ever logged, nor an
   exception's text, which may quote one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic

from app.gateways.wire import Screen, UssdRequest
from app.telemetry import observe
from app.ussd.floods import OVER, told
from app.ussd.hop import S, Surroundings
from app.ussd.menubook import MenuBook
from app.ussd.onehop import OneHop
from app.ussd.parts import Parts
from app.ussd.screens import Composer
from app.ussd.session import SessionsAway, SessionStore
from app.ussd.waits import Waits, longest_wait, pauses

LOCK_WAIT_SECONDS = 3.0


class Engine(Generic[S]):
    """Answers hops. `books` are the current menus and, across a release, the previous ones.

    `overlap_seconds`: how long after the current menus were first used anywhere new sessions still
    begin with the previous ones: their next hop may reach a process of the release before, which
    knows no others. When they were first used stands in Redis, so that a later start does not
    count; without that it counts again, which costs nobody anything.
    `wait_places`: how many hops may wait at a time, a quarter of the web threads. `strict`
    raises what would otherwise end a session with a sentence; for tests of menus.
    """

    def __init__(
        self,
        books: Sequence[MenuBook[S]],
        around: Surroundings[S],
        store: SessionStore,
        *,
        wait_places: int,
        overlap_seconds: float = 0.0,
        strict: bool = False,
    ) -> None:
        self.around = around
        self.book = books[0]
        self.books = {book.version: book for book in books}
        self._opening = books[-1]
        self._overlap_ms = int(overlap_seconds * 1000)
        self._overlap_ends_ms: int | None = None
        self._store = store
        self._waits = Waits(wait_places)
        self._parts = Parts(
            books=self.books,
            opening=self._opens_with,
            around=around,
            store=store,
            composer=Composer(around.catalogues, around.market),
            waits=self._waits,
            strict=strict,
        )

    def step(self, request: UssdRequest) -> Screen:
        """The screen that answers a hop. Raises nothing that a person can cause."""
        began = time.perf_counter()
        try:
            result, screen = self._step(request)
        except SessionsAway:
            result, screen = "redis_away", self._parts.sentence("away")
        observe(request.gateway.name, result, screen.name, time.perf_counter() - began)
        return screen

    def _opens_with(self) -> MenuBook[S]:
        """The menus that a new session begins with."""
        if self._opening is not self.book:
            now_ms = int(self.around.clock().timestamp() * 1000)
            if self._overlap_ends_ms is None:
                seen_ms = self._store.first_seen(self.book.version, now_ms)
                self._overlap_ends_ms = seen_ms + self._overlap_ms
            if now_ms >= self._overlap_ends_ms:
                self._opening = self.book
        return self._opening

    def _step(self, request: UssdRequest) -> tuple[str, Screen]:
        if request.event in ("end", "timeout"):
            return "end", Screen("", open=False)
        session_hash = self._store.hash_of(request.gateway.name, request.session_id)
        taken = self._take(session_hash, request)
        if taken is None:
            return "busy", self._parts.sentence("busy")
        if taken[1] and taken[1].startswith(OVER):
            name, language = told(taken[1], gateway=request.gateway.name, msisdn=request.msisdn)
            return name, self._parts.sentence(name, language)
        one = OneHop(self._parts, request, session_hash, taken[0])
        try:
            return one.run(taken[1])
        finally:
            one.release()

    def _take(self, session_hash: bytes, request: UssdRequest) -> tuple[str, bytes | None] | None:
        """Lock and load; None when another hop of this session kept us waiting too long."""
        taken = self._store.arrive(session_hash, request.msisdn, request.gateway.name)
        if taken:
            return taken
        with self._waits.place_for_lock() as free:
            if free:
                for _ in pauses(longest_wait(LOCK_WAIT_SECONDS, request.gateway)):
                    taken = self._store.begin(session_hash, request.msisdn)
                    if taken:
                        return taken
        return None
