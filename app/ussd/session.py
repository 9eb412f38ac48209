"""L6: live sessions in Redis: two keys a session, a lock and compare-and-set.

1. Two round trips a hop: `begin` takes the lock and loads, `finish` saves and gives the lock back.
2. The lock is a key of its own, taken before the session exists; it expires by itself.
3. A save succeeds only over the revision that was loaded. On a conflict the caller gets what is
   stored now; finding exactly its own bytes there means that its save had succeeded.
4. Every key has a time to live; a key is a keyed hash of gateway and session id.
5. No hidden retry: a command is sent again only when a kept connection proved stale, and once.
   Both scripts may be run twice without harm.

A connection belongs to one thread and is used below redis-py: two bare commands through its
layers cost more than the rest of a hop.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha1
from itertools import count
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from app.sealing import keyed_hash
from app.ussd.live import Live

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 0.7
READ_BYTES = 65_536
CRLF = b"\r\n"
NILS = (b"$-1\r\n", b"_\r\n")  # in RESP2 and RESP3
LOCK_MS = 15_000  # longer than any hop; a killed process blocks its session no longer than this

# Each answers with one string or nil, which is the quickest to read: nothing for `begin` while
# another hop holds the lock, for `finish` when the session is gone; "" is no session, and saved.
BEGIN = b"""
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
    or redis.call('GET', KEYS[2]) == ARGV[1] then
  return redis.call('GET', KEYS[1]) or ''
end
return false
"""
FINISH = b"""
local answer = ''
if ARGV[4] ~= '' then
  local stored = redis.call('GET', KEYS[1])
  local revision = stored and string.match(stored, '^%[(%d+)') or '0'
  if revision == ARGV[2] then
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
  else
    answer = stored
  end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return answer
"""


class SessionsAway(Exception):
    """Redis did not answer in time, or not at all."""


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
            protocol=2,  # RESP3 would let the server push messages between answers
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
        token = f"{self._token_base}.{os.getpid()}.{next(self._token_count)}"
        stored = self._run(_BEGIN, self._keys(session_hash), token.encode(), b"%d" % LOCK_MS)
        return None if stored is None else (token, stored or None)

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
        if answer != b"" and answer != encoded:
            return answer or b""
        if live:
            live.revision += 1
        return None

    def ping(self) -> None:
        """Raises RedisError when Redis does not answer."""
        Redis(connection_pool=self._pool).ping()

    def close(self) -> None:
        """Close this thread's connection; a later command opens another."""
        self._kept.__dict__.pop("line", None)

    def _keys(self, session_hash: bytes) -> tuple[bytes, bytes]:
        key = f"{self._prefix}{session_hash.hex()}".encode()
        return key, key + b":lock"

    def _run(self, script: _Script, keys: tuple[bytes, bytes], *arguments: bytes) -> bytes | None:
        line: _Line | None = self._kept.__dict__.get("line")
        if line:
            try:
                return script.run(line, keys, arguments)
            except TimeoutError as error:
                self.close()
                raise SessionsAway from error
            except (RedisError, OSError):
                self.close()
        try:
            self._kept.line = line = _Line(self._pool.make_connection())
            return script.run(line, keys, arguments)
        except (RedisError, OSError) as error:
            self.close()
            raise SessionsAway from error


class _Line:
    """A thread's connection, closed when the thread ends or the store lets go of it.

    redis-py connects, authenticates and chooses the database; from then on the socket is ours.
    """

    __slots__ = ("_connection", "_socket")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        connection.connect()
        self._socket = connection._sock  # noqa: SLF001 - it has no public name

    def ask(self, command: bytes) -> bytes | None:
        """Send a command, read its one string or nil. Raises RedisError or OSError."""
        self._socket.sendall(command)
        answer: bytes = self._more(b"")
        while (end := answer.find(CRLF)) < 0:
            answer = self._more(answer)
        if answer[:1] == b"$" and answer[1:2] != b"-":
            start, size = end + 2, int(answer[1:end])
            while len(answer) < start + size + 2:
                answer = self._more(answer)
            return answer[start : start + size]
        if answer in NILS:
            return None
        if answer.startswith(b"-NOSCRIPT"):
            raise NoScriptError
        raise RedisError(answer[:end].decode(errors="replace"))

    def _more(self, answer: bytes) -> bytes:
        read: bytes = self._socket.recv(READ_BYTES)
        if not read:
            raise ConnectionResetError("Redis closed the connection")
        return answer + read

    def __del__(self) -> None:
        self._connection.disconnect()


class _Script:
    """A Lua script of two keys, and its commands as Redis reads them (RESP arrays)."""

    def __init__(self, body: bytes, arguments: int) -> None:
        size = arguments + 5
        sha = sha1(body, usedforsecurity=False).hexdigest().encode()
        self._by_sha = _head(size, b"EVALSHA", sha)
        self._by_body = _head(size, b"EVAL", body)

    def run(
        self, line: _Line, keys: tuple[bytes, bytes], arguments: tuple[bytes, ...]
    ) -> bytes | None:
        tail = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in (*keys, *arguments)])
        try:
            return line.ask(self._by_sha + tail)
        except NoScriptError:
            return line.ask(self._by_body + tail)


def _head(size: int, command: bytes, script: bytes) -> bytes:
    words = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in (command, script, b"2"))
    return b"*%d\r\n%b" % (size, words)


_BEGIN = _Script(BEGIN, 2)
_FINISH = _Script(FINISH, 4)
