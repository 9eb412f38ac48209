"""L6: the live session in Redis: one small JSON list, a lock, and compare-and-set.

1. Two round trips a hop: `begin` takes the lock and loads, `finish` saves and gives the lock back.
2. The lock is a key of its own, taken before the session exists; it expires by itself.
3. A save succeeds only over the revision that was loaded. On a conflict the caller gets what is
   stored now; finding exactly its own bytes there means that its save had succeeded.
4. Every key has a time to live. A session is at most `SESSION_BYTES`.
5. A key is a keyed hash of gateway and session id. What was typed is kept, per hop, as length and
   8 bytes of a keyed hash; a secret is kept in no form, except the sealed first of two PINs.
6. No hidden retry: a command is sent again only when a kept connection proved stale, and once.
   Both scripts may be run twice without harm.

A connection belongs to one thread and is used below redis-py's command layer: two bare commands
through that layer cost more than the rest of a hop.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from hashlib import sha1
from itertools import count
from typing import Any

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from app.sealing import keyed_hash

SESSION_BYTES = 1024
CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 0.7
LOCK_MS = 15_000  # longer than any hop; a killed process blocks its session no longer than this
SEEN_MOST = 8  # the first text and the latest ones; older ones are only known not to extend

BEGIN = b"""
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
    or redis.call('GET', KEYS[2]) == ARGV[1] then
  return {1, redis.call('GET', KEYS[1])}
end
return {0}
"""
FINISH = b"""
local own = redis.call('GET', KEYS[2]) == ARGV[1]
local answer = 1
if ARGV[4] ~= '' then
  local stored = redis.call('GET', KEYS[1])
  local revision = stored and string.match(stored, '^%[(%d+)') or '0'
  if revision == ARGV[2] then
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
  else
    answer = stored
  end
end
if own then redis.call('DEL', KEYS[2]) end
return answer
"""
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class SessionsAway(Exception):
    """Redis did not answer in time, or not at all."""


class SessionTooLarge(Exception):
    """The menus keep too much in `hop.data`."""


@dataclass(slots=True)
class Live:
    """A session. `revision` is the one in Redis, 0 when there is none.

    `seen` holds (length, hash) pairs of texts, flat, the base text first; `stack` the states that
    `0` leads back through; `shown` the lines of a Pick on the screen: the first number, then a
    digest each; `led` the hash of the input that led to a Secret; `person` id, name and role.
    `pending` means confirmed: the reply is still being waited for, since `answered_ms`.
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

    def note(self, length: int, digest: str) -> None:
        """Remember a text; the oldest but the first is forgotten."""
        self.seen += (length, digest)
        if len(self.seen) > 2 * SEEN_MOST:
            del self.seen[2:4]

    def encode(self) -> bytes:
        """The bytes of the next revision. Raises SessionTooLarge."""
        flags = self.open | self.pending << 1 | self.more << 2 | self.top << 3
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
            ]
        ).encode()
        if len(encoded) > SESSION_BYTES:
            raise SessionTooLarge(f"state {self.state}: {len(encoded)} bytes")
        return encoded


def decode(stored: bytes) -> Live:
    """The session of stored bytes. Raises ValueError for bytes that are none of ours."""
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
    ) = json.loads(stored)
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
    )


class SessionStore:
    """The sessions of one Redis; safe for threads. `key` hashes what may not be kept.

    `prefix` stands before every key, so that several can share a Redis.
    """

    def __init__(self, redis_url: str, key: bytes, *, prefix: str = "ussd:") -> None:
        self.key = key
        self._pool = ConnectionPool.from_url(
            redis_url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._kept = threading.local()
        self._prefix = prefix
        self._token_base = os.urandom(8).hex()
        self._token_count = count()

    def hash_of(self, gateway: str, session_id: str) -> bytes:
        """The 16 bytes that name a session everywhere else."""
        return keyed_hash(self.key, f"{gateway}\0{session_id}".encode(), 16)

    def begin(self, session_hash: bytes) -> tuple[str, bytes | None] | None:
        """Take the lock: its token and the stored session, or None when another hop holds it.

        Raises SessionsAway.
        """
        token = f"{self._token_base}{next(self._token_count)}"
        answer = self._run(_BEGIN, self._keys(session_hash), token.encode(), b"%d" % LOCK_MS)
        return (token, answer[1]) if answer[0] else None

    def finish(
        self, session_hash: bytes, token: str, live: Live | None = None, ttl_seconds: int = 0
    ) -> bytes | None:
        """Save, if `live` is given, and give the lock back, if `token` still holds it.

        None: done. Else the conflict: what is stored now, b"" when nothing is. Raises SessionsAway
        and SessionTooLarge.
        """
        encoded = live.encode() if live else b""
        answer = self._run(
            _FINISH,
            self._keys(session_hash),
            token.encode(),
            b"%d" % (live.revision if live else 0),
            b"%d" % (ttl_seconds * 1000),
            encoded,
        )
        if live and (answer == 1 or answer == encoded):
            live.revision += 1
            return None
        return None if answer == 1 else answer or b""

    def close(self) -> None:
        """Close this thread's connection."""
        connection = self._kept.__dict__.pop("connection", None)
        if connection:
            connection.disconnect()

    def _keys(self, session_hash: bytes) -> tuple[bytes, bytes]:
        key = f"{self._prefix}{session_hash.hex()}".encode()
        return key, key + b":lock"

    def _run(self, script: _Script, keys: tuple[bytes, bytes], *arguments: bytes) -> Any:
        connection: AbstractConnection | None = self._kept.__dict__.get("connection")
        if connection:
            try:
                return script.run(connection, keys, arguments)
            except RedisTimeout as error:
                self.close()
                raise SessionsAway from error
            except (RedisError, OSError):
                self.close()
        try:
            connection = self._pool.make_connection()
            connection.connect()
            self._kept.connection = connection
            return script.run(connection, keys, arguments)
        except (RedisError, OSError) as error:
            self.close()
            raise SessionsAway from error


class _Script:
    """A Lua script of two keys, and its commands as Redis reads them (RESP arrays)."""

    def __init__(self, body: bytes, arguments: int) -> None:
        size = arguments + 5
        sha = sha1(body, usedforsecurity=False).hexdigest().encode()
        self._by_sha = _head(size, b"EVALSHA", sha)
        self._by_body = _head(size, b"EVAL", body)

    def run(
        self, connection: AbstractConnection, keys: tuple[bytes, bytes], arguments: tuple[bytes, ...]
    ) -> Any:
        tail = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in (*keys, *arguments)])
        connection.send_packed_command([self._by_sha + tail], check_health=False)
        try:
            return connection.read_response()
        except NoScriptError:
            connection.send_packed_command([self._by_body + tail], check_health=False)
            return connection.read_response()


def _head(size: int, command: bytes, script: bytes) -> bytes:
    return b"*%d\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$1\r\n2\r\n" % (
        size,
        len(command),
        command,
        len(script),
        script,
    )


_BEGIN = _Script(BEGIN, 2)
_FINISH = _Script(FINISH, 4)
