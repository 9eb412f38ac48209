"""Keys of postings and holds: UUIDv7, so that a key tells its age and new ones lie together.

The ledger keeps a key at least 400 days and refuses an older one as expired; a derived key has the
time of what it is derived from, hence expires with it.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

_RANDOM_BITS = 80
_TIME_MASK = ((1 << 48) - 1) << _RANDOM_BITS
_UNIT_SEPARATOR = "\x1f"


def new_key() -> UUID:
    """A fresh key of this millisecond (RFC 9562, version 7)."""
    return _version_7(time.time_ns() // 1_000_000, secrets.randbits(_RANDOM_BITS))


def derived_key(parent: UUID, *parts: str) -> UUID:
    """The key of a step of something that has a key: the same parts give the same key for ever."""
    return _version_7((parent.int & _TIME_MASK) >> _RANDOM_BITS, _hashed(str(parent), *parts))


def period_key(kind: str, subject: str, period_start: datetime) -> UUID:
    """The key of what a schedule does once for a subject in a period; `period_start` is aware."""
    if period_start.tzinfo is None:
        raise ValueError("period_start needs a time zone")
    milliseconds = int(period_start.timestamp() * 1000)
    return _version_7(milliseconds, _hashed(kind, subject, str(milliseconds)))


def oldest_key(at: datetime) -> UUID:
    """No key of that millisecond or later is smaller."""
    return UUID(int=int(at.timestamp() * 1000) << _RANDOM_BITS)


def _hashed(*parts: str) -> int:
    for part in parts:
        if _UNIT_SEPARATOR in part:
            raise ValueError("a part of a key holds the separator")
    digest = blake2b(_UNIT_SEPARATOR.join(parts).encode(), digest_size=_RANDOM_BITS // 8)
    return int.from_bytes(digest.digest(), "big")


def _version_7(milliseconds: int, random_bits: int) -> UUID:
    value = (milliseconds << _RANDOM_BITS) | random_bits
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0x3 << 62) | 2 << 62  # variant
    return UUID(int=value)
