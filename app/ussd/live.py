"""L6: what a live session holds, and its stored form: one JSON list, at most `SESSION_BYTES`.

What was typed is kept, per hop, as length and 8 bytes of a keyed hash; a secret is kept in no
form, except the sealed first of two PINs. The list begins with the revision, which the store's
compare-and-set reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from app.gateways.wire import Screen

SESSION_BYTES = 1024
PATH_MOST = 40  # screens; what comes later is not in the funnel
SEEN_MOST = 6  # the first text and the latest ones; older ones are only known not to extend
STACK_MOST = 6
_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class SessionTooLarge(Exception):
    """The menus keep too much in `hop.data`."""


@dataclass(slots=True)
class Live:
    """A session. `revision` is the one in Redis, 0 when there is none.

    `seen` holds (length, hash) pairs of texts, flat, the base text first; `stack` the states that
    `0` leads back through; `shown` the lines of a Pick on the screen: the first number, then a
    digest each; `led` the hash of the input that led to a Secret; `person` id, name and role.
    `top` means that home is where `stack` begins, so that an empty stack needs no key to it.
    `page` is -1 where a refusal stands above the first of several. `pending` means confirmed: the
    reply is still being waited for, since `answered_ms`.
    `spent`: a PIN was tried or something committed since home, so nobody may resume this.
    `search` are the letters that a Pick is narrowed to; `path` the screens that were shown, by
    their places in the book; `left` the session that a Resume offers to continue (see `resume`).
    """

    version: str
    msisdn: str
    state: str
    language: str
    revision: int = 0
    person: list[str] | None = None
    stack: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    tries: int = 0
    page: int = 0
    more: bool = False
    top: bool = True
    shown: list[int] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    led: str = ""
    reply: str = ""
    open: bool = True
    pending: bool = False
    answered_ms: int = 0
    spent: bool = False
    search: str = ""
    path: list[int] = field(default_factory=list)
    left: list[Any] | None = None

    def note(self, length: int, digest: str) -> None:
        """Remember a text; the oldest but the first is forgotten."""
        self.seen += (length, digest)
        if len(self.seen) > 2 * SEEN_MOST:
            del self.seen[2:4]

    def screen(self) -> Screen:
        """What was answered last."""
        return Screen(self.reply, self.open, self.state)

    def showed(self, place: int) -> None:
        """Note a screen in the path; one that is shown again at once is the same step."""
        if len(self.path) < PATH_MOST and self.path[-1:] != [place]:
            self.path.append(place)

    def leave(self, name: str) -> None:
        """`0` will lead back to this state; one that is on the way back already cuts a loop."""
        if name in self.stack:
            del self.stack[self.stack.index(name) :]
        self.stack.append(name)
        del self.stack[:-STACK_MOST]

    def encode(self) -> bytes:
        """The bytes of the next revision. Raises SessionTooLarge."""
        flags = self.open | self.pending << 1 | self.more << 2 | self.top << 3 | self.spent << 4
        encoded = _encode(
            [
                self.revision + 1,
                self.version,
                self.msisdn,
                self.state,
                self.language,
                self.person,
                self.stack,
                self.data,
                self.tries,
                self.page,
                self.shown,
                self.seen,
                self.led,
                self.reply,
                flags,
                self.answered_ms,
                self.search,
                self.path,
                self.left,
            ]
        ).encode()
        if len(encoded) > SESSION_BYTES:
            raise SessionTooLarge(f"state {self.state}: {len(encoded)} bytes")
        return encoded


def decode(stored: bytes) -> Live:
    """The session of stored bytes, those of the release before and after too, which lack fields
    at the end or have more. Raises ValueError for bytes that are none of ours."""
    (
        revision,
        version,
        msisdn,
        state,
        language,
        person,
        stack,
        data,
        tries,
        page,
        shown,
        seen,
        led,
        reply,
        flags,
        answered_ms,
        *later,
    ) = _decode(stored.decode())[0]
    search, path, left = later[:3] if later else ("", [], None)
    return Live(
        version,
        msisdn,
        state,
        language,
        revision,
        person,
        stack,
        data,
        tries,
        page,
        bool(flags & 4),
        bool(flags & 8),
        shown,
        seen,
        led,
        reply,
        bool(flags & 1),
        bool(flags & 2),
        answered_ms,
        bool(flags & 16),
        search,
        path,
        left,
    )
