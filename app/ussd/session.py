"""L6: live sessions in Redis: two keys a session, a lock and compare-and-set.

1. Two round trips a hop: `begin` takes the lock and loads, `finish` saves and gives the lock back.
   The first save of a session also points to it from its number, and the save that continues a
   cut-off session ends that one in the same instant, unless it has moved on meanwhile.
2. The lock is a key of its own, taken before the session exists; it expires by itself.
3. A save succeeds only over the revision that was loaded. On a conflict the caller gets what is
   stored now; finding exactly its own bytes there means that its save had succeeded.
4. Every key has a time to live; a key is a keyed hash of gateway and session id.
5. No hidden retry: a command is sent again only when a kept connection proved stale, and once.
   Both scripts may be run twice without harm.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.sealing import keyed_hash
from app.ussd.floods import COUNT, Most
from app.ussd.line import Line, Script
from app.ussd.live import Live, decode

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 0.7
LOCK_MS = 15_000  # longer than any hop; a killed process blocks its session no longer than this

MOVED = b"-"  # then a language: this session was continued by another one
LEFT = b"+"  # then the key of a session and the session: what this number dialled last

# Each answers with one string or nil, which is the quickest to read: nothing for `begin` while
# another hop holds the lock, for `finish` when the session is gone; "" is no session, and saved.
BEGIN = b"""
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
    or redis.call('GET', KEYS[2]) == ARGV[1] then
  local stored = redis.call('GET', KEYS[1])
  if stored then return stored end
  local last = redis.call('GET', KEYS[3])
  if last and last ~= KEYS[1] and redis.call('EXISTS', last .. ':lock') == 0 then
    local left = redis.call('GET', last)
    if left and string.byte(left) == 91 then return '+' .. last .. left end
  end
  return ''
end
return false
"""
_FINISH_WITH = b"""
local answer = ''
if ARGV[4] ~= '' then
  local stored = redis.call('GET', KEYS[1])
  local revision = stored and string.match(stored, '^%[(%d+)') or '0'
  if revision == ARGV[2] then
    SAVE
  else
    answer = stored
  end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return answer
"""
_SET = b"redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])"
# KEYS[3] is the pointer from a number to its latest session, ARGV[5] how long it lives.
_SET_AND_POINT = _SET + b"\n    redis.call('SET', KEYS[3], KEYS[1], 'PX', ARGV[5])"
# KEYS[3] is the session to continue, ARGV[5] its revision, ARGV[6] what it is from now on.
# A session that is gone may have paid meanwhile: its private answer lives shortest. The lock is
# kept for the save of the refusal, so that a copy of the hop finds that.
_SET_AND_MOVE = b"""
    local old = redis.call('GET', KEYS[3])
    if not old or string.match(old, '^%[(%d+)') ~= ARGV[5]
        or redis.call('EXISTS', KEYS[3] .. ':lock') == 1 then
      return ARGV[6]
    end
    SET
    redis.call('SET', KEYS[3], ARGV[6], 'KEEPTTL')""".replace(b"SET\n", _SET + b"\n")
FINISH, FINISH_FIRST, FINISH_RESUMED = (
    _FINISH_WITH.replace(b"SAVE", save) for save in (_SET, _SET_AND_POINT, _SET_AND_MOVE)
)


VERSION_MS = 30 * 24 * 3600 * 1000
FIRST_SEEN = b"""
redis.call('SET', KEYS[1], ARGV[1], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('GET', KEYS[1])
"""


class SessionsAway(Exception):
    """Redis did not answer in time, or not at all."""


class SessionStore:
    """The sessions of one Redis; safe for threads. `key` hashes what may not be kept.

    `prefix` stands before every key, so that several can share a Redis. `most`: what `arrive`
    lets in, everything without it.
    """

    def __init__(
        self, redis_url: str, key: bytes, *, prefix: str = "ussd:", most: Most | None = None
    ) -> None:
        self.key = key
        self._most = most.arguments() if most else None
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

    def begin(self, session_hash: bytes, msisdn: str = "") -> tuple[str, bytes | None] | None:
        """Take the lock: its token and the stored session, or None when another hop holds it.

        Stored is also MOVED and a language, or, for a new session, LEFT and the latest one of
        this number unless a hop of it is running. Raises SessionsAway.
        """
        token = self._new_token()
        keys = (*self._keys(session_hash), self._pointer(msisdn))
        stored = self._run(_BEGIN, keys, token.encode(), b"%d" % LOCK_MS)
        return None if stored is None else (token, stored or None)

    def arrive(
        self, session_hash: bytes, msisdn: str, gateway: str
    ) -> tuple[str, bytes | None] | None:
        """`begin` for a hop that has just come, which counts: stored is also OVER and what
        `floods.told` reads; then no lock is held.
        """
        if self._most is None:
            return self.begin(session_hash, msisdn)
        token = self._new_token()
        dials = f"{self._prefix}dials:{gateway}".encode()
        keys = (*self._keys(session_hash), self._pointer(msisdn), dials)
        stored = self._run(_ARRIVE, keys, token.encode(), b"%d" % LOCK_MS, *self._most)
        return None if stored is None else (token, stored or None)

    def first_seen(self, version: str, now_ms: int) -> int:
        """When a menu version was first used here, in ms: now, if it never was. Raises
        SessionsAway."""
        key = f"{self._prefix}menus:{version}".encode()
        found = self._run(_FIRST_SEEN, (key,), b"%d" % now_ms, b"%d" % VERSION_MS)
        return int(found or now_ms)

    def peek(self, session_hash: bytes) -> Live | None:
        """A session as it is stored, without its lock; None when there is none.

        Raises SessionsAway, and ValueError for bytes that are none of ours.
        """
        stored = self._run(_PEEK, self._keys(session_hash)[:1])
        return decode(stored) if stored and not stored.startswith(MOVED) else None

    def finish(
        self,
        session_hash: bytes,
        token: str,
        live: Live | None = None,
        ttl_seconds: int = 0,
        *,
        point_seconds: int = 0,
        continues: tuple[str, int] | None = None,
    ) -> bytes | None:
        """Save, if `live` is given, and give the lock back, if `token` still holds it.

        `point_seconds`: the number's latest session is this one, for so long. `continues`: key and
        revision of the session that this one takes over, in the same instant.

        None: done. Else the conflict: what is stored now, b"" when nothing is, MOVED when the
        session to be continued has moved on or a hop of it runs; then the lock is kept.
        Raises SessionsAway and SessionTooLarge.
        """
        encoded = live.encode() if live else b""
        script = _FINISH
        keys: tuple[bytes, ...] = self._keys(session_hash)
        more: tuple[bytes, ...] = ()
        if live and continues:
            script, keys = _FINISH_RESUMED, (*keys, continues[0].encode())
            more = (b"%d" % continues[1], MOVED + live.language.encode())
        elif live and point_seconds:
            script, keys = _FINISH_FIRST, (*keys, self._pointer(live.msisdn))
            more = (b"%d" % (point_seconds * 1000),)
        answer = self._run(
            script,
            keys,
            token.encode(),
            b"%d" % (live.revision if live else 0),
            b"%d" % (ttl_seconds * 1000),
            encoded,
            *more,
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

    def _new_token(self) -> str:
        return f"{self._token_base}.{os.getpid()}.{next(self._token_count)}"

    def _new_connection(self) -> Any:
        """Not the pool's own way: that counts what it makes, and we give nothing back."""
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def _pointer(self, msisdn: str) -> bytes:
        name = keyed_hash(self.key, b"msisdn\0" + msisdn.encode(), 16)
        return f"{self._prefix}of:{name.hex()}".encode()

    def _run(self, script: Script, keys: tuple[bytes, ...], *arguments: bytes) -> bytes | None:
        line: Line | None = self._kept.__dict__.get("line")
        if line:
            try:
                return script.run(line, keys, arguments)
            except TimeoutError as error:
                self.close()
                raise SessionsAway from error
            except (RedisError, OSError):
                self.close()
        try:
            self._kept.line = line = Line(self._new_connection())
            return script.run(line, keys, arguments)
        except (RedisError, OSError) as error:
            self.close()
            raise SessionsAway from error


_BEGIN = Script(BEGIN, keys=3, arguments=2)
_ARRIVE = Script(COUNT + BEGIN, keys=4, arguments=5)
_FINISH = Script(FINISH, keys=2, arguments=4)
_FINISH_FIRST = Script(FINISH_FIRST, keys=3, arguments=5)
_FINISH_RESUMED = Script(FINISH_RESUMED, keys=3, arguments=6)
_FIRST_SEEN = Script(FIRST_SEEN, keys=1, arguments=2)
_PEEK = Script(b"return redis.call('GET', KEYS[1])", keys=1, arguments=0)
