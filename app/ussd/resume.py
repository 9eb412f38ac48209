"""L6: going on after a session was cut off.

1. The first hop of a session finds the latest session of its number, unless a hop of that one is
   running (`session.BEGIN`).
2. It is worth continuing when it is open, of the same menu version and person, not older than the
   market's window, and something was typed in it: it asks a question, or one is on the way back.
3. Nobody continues onto a Secret: whoever was cut off there goes to its `resume` state, and
   without one starts again. Nobody continues after a PIN was tried or something committed (`spent`,
   `pending`), nor a private screen: there the menus tell the outcome of the last intent.
4. What was offered is kept in the new session; the old one lives on until the person chooses to
   continue. Saving that choice ends it in the same instant (`session.FINISH_RESUMED`); if it has
   moved on meanwhile, the choice is answered with "dial again".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from app.ussd.hop import SEALED
from app.ussd.live import Live, decode
from app.ussd.menubook import MenuBook
from app.ussd.session import LEFT
from app.ussd.states import Ask, Menu, Pick, Resume, Secret, State

MILLISECONDS = 1000
DATA_BYTES_MOST = 450  # beside the offer's own in one session of at most 1 KiB


@dataclass(frozen=True, slots=True)
class Left:
    """What a session that was cut off leaves: its key and revision in Redis, and where to go on.

    It is passed on when the offer itself is cut off, but never beyond the window of `cut_off_ms`.
    """

    key: str
    revision: int
    state: str
    stack: list[str]
    data: dict[str, Any]
    language: str
    cut_off_ms: int
    person: str | None

    def kept(self) -> list[Any]:
        """As `Live.left` keeps it."""
        return [
            self.key,
            self.revision,
            self.state,
            self.stack,
            self.data,
            self.language,
            self.cut_off_ms,
        ]


def cut_off(stored: bytes, book: MenuBook[Any], *, now_ms: int, window_seconds: int) -> Left | None:
    """What can be continued of LEFT bytes, None when nothing can."""
    at = stored.index(b"[")
    try:
        old = decode(stored[at:])
    except (ValueError, TypeError):
        return None
    if not old.open or old.pending or old.spent or old.version != book.version:
        return None
    state = book.states.get(old.state)
    offered = old.left if isinstance(state, Resume) else None
    cut_off_ms = offered[-1] if offered else old.answered_ms
    if now_ms - cut_off_ms > window_seconds * MILLISECONDS:
        return None
    person = old.person[0] if old.person else None
    if offered:
        key, revision, state_name, stack, data, language, _ = offered
        return Left(key, revision, state_name, stack, data, language, cut_off_ms, person)
    where = _where(book, state, old)
    if where is None:
        return None
    data = {
        name: value
        for name, value in old.data.items()
        if not name.startswith(SEALED) and name not in book.fresh
    }
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > DATA_BYTES_MOST:
        return None
    key = stored[len(LEFT) : at].decode()
    return Left(key, old.revision, where, old.stack, data, old.language, cut_off_ms, person)


def _where(book: MenuBook[Any], state: State[Any] | None, old: Live) -> str | None:
    """The state to go on at."""
    if isinstance(state, Secret):
        return state.resume
    if isinstance(state, Ask) and not state.private:
        return state.name
    typed = any(isinstance(book.states.get(name), Ask) for name in old.stack)
    if typed and isinstance(state, Menu | Pick) and not state.private:
        return state.name
    return None
