"""L6: which hop is this? A new input, one that was answered already, or one out of order.

What was typed is compared by length and keyed hash only. In accumulated mode the new input is
what follows the text we saw, by length: it may hold `*` itself.
"""

from __future__ import annotations

from base64 import b64encode
from enum import Enum
from typing import Final

from app.gateways.wire import UssdRequest
from app.sealing import keyed_hash
from app.ussd.live import Live

SAME_INPUT_MS: Final = 1_000  # a `window` gateway repeats itself within this
SAME_DIAL_MS: Final = 10_000  # a first hop on an ended id repeats the old dial within this


class Kind(Enum):
    """What to do with a hop."""

    NEW = "new"
    INPUT = "input"
    REPEATED = "repeated"
    ASTRAY = "astray"
    FOREIGN = "foreign"


def digest(key: bytes, session_hash: bytes, text: str) -> str:
    """8 bytes that tell a text of this session again, and tell nothing else."""
    return b64encode(keyed_hash(key, session_hash + text.encode())).decode()


def classify(
    request: UssdRequest, live: Live | None, *, now_ms: int, key: bytes, session_hash: bytes
) -> tuple[Kind, str, str]:
    """The kind of a hop, its new input, and the digest to remember it by."""
    text = request.text
    own = digest(key, session_hash, text)
    if live is None:
        return Kind.NEW, "", own
    if live.msisdn != request.msisdn:
        return Kind.FOREIGN, "", own
    if request.gateway.mode == "accumulated":
        kind, extra = _accumulated(text, own, live, now_ms, key, session_hash)
    else:
        kind, extra = _latest(request, own, live, now_ms)
    if kind is Kind.INPUT and not (live.open or live.pending):
        return Kind.REPEATED, "", own  # ended: there is no question that this could answer
    return kind, extra, own


def _accumulated(
    text: str, own: str, live: Live, now_ms: int, key: bytes, session_hash: bytes
) -> tuple[Kind, str]:
    length, (last_length, last_digest) = len(text), live.seen[-2:]
    if length > last_length and _extends(text, last_length, last_digest, key, session_hash):
        return Kind.INPUT, text[last_length + 1 :] if last_length else text
    ended = not (live.open or live.pending)
    if live.seen[:2] == [length, own] and ended and now_ms - live.answered_ms >= SAME_DIAL_MS:
        return Kind.NEW, ""
    for at in range(0, len(live.seen), 2):
        if live.seen[at] == length and live.seen[at + 1] == own:
            return Kind.REPEATED, ""
    return Kind.ASTRAY, ""


def _extends(
    text: str, last_length: int, last_digest: str, key: bytes, session_hash: bytes
) -> bool:
    if last_length and text[last_length] != "*":
        return False
    return digest(key, session_hash, text[:last_length]) == last_digest


def _latest(request: UssdRequest, own: str, live: Live, now_ms: int) -> tuple[Kind, str]:
    since_ms = now_ms - live.answered_ms
    if request.event == "new":
        return (Kind.REPEATED if since_ms < SAME_DIAL_MS else Kind.NEW), ""
    if own == live.seen[-1] and (since_ms < SAME_INPUT_MS or live.pending):
        return Kind.REPEATED, ""
    return Kind.INPUT, request.text
