"""L6: a connection to Redis that belongs to one thread, and the Lua scripts that run on it.

It is used below redis-py: two bare commands through its layers cost more than the rest of a hop.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError, RedisError

READ_BYTES = 65_536
CRLF = b"\r\n"
NILS = (b"$-1\r\n", b"_\r\n")  # in RESP2 and RESP3


class Line:
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


class Script:
    """A Lua script, and its commands as Redis reads them (RESP arrays)."""

    def __init__(self, body: bytes, *, keys: int, arguments: int) -> None:
        sha = sha1(body, usedforsecurity=False).hexdigest().encode()
        self._by_sha = _head(b"EVALSHA", sha, keys, arguments)
        self._by_body = _head(b"EVAL", body, keys, arguments)

    def run(
        self, line: Line, keys: tuple[bytes, ...], arguments: tuple[bytes, ...]
    ) -> bytes | None:
        tail = b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in (*keys, *arguments)])
        try:
            return line.ask(self._by_sha + tail)
        except NoScriptError:
            return line.ask(self._by_body + tail)


def _head(command: bytes, script: bytes, keys: int, arguments: int) -> bytes:
    given = (command, script, b"%d" % keys)
    words = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in given)
    return b"*%d\r\n%b" % (len(given) + keys + arguments, words)
