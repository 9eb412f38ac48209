"""HTTP to billers: one request, bounded in time and size; no retry, no redirect, no cookie.

A retry of HTTP's own would be a request that `payments.requests` does not count, and the rule
"refused only by the answer to the very first request" hangs on that count.

urllib3's time-outs bound each wait for a byte, so a peer that drips could hold a thread for ever.
Hence the cutter: when the whole time is up it shuts the socket.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util import Timeout, make_headers, parse_url

CONNECT_SECONDS = 2.0
LARGEST_BODY_BYTES = 65_536
_call = threading.local()


class WireError(Exception):
    """No usable answer; `reason` is a constant name. The request may or may not have arrived."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer that could be read."""

    status: int
    body: dict[str, Any]


class Wire:
    """A bounded pool of connections to one biller; safe for threads. No proxy, whatever the
    environment says: who is paid is in the settings only.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        where = parse_url(url)
        if where.scheme not in ("http", "https") or not where.host:
            raise ValueError("a biller's url begins with http:// or https://")
        self._base = (where.path or "").rstrip("/")
        self._pool: urllib3.HTTPConnectionPool = (
            _TlsPool(
                where.host, where.port, maxsize=connections, retries=False,
                cert_reqs="CERT_REQUIRED", ca_certs=certifi.where(),
            )
            if where.scheme == "https"
            else _PlainPool(where.host, where.port, maxsize=connections, retries=False)
        )  # fmt: skip

    def post(self, path: str, body: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """The JSON object of a 200 answer, within `seconds` altogether. Raises WireError."""
        return self.call("POST", path, seconds=seconds, body=body).body

    def call(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        readable: Container[int] = (200,),
    ) -> Reply:
        """The JSON object of an answer whose HTTP status is `readable`, within `seconds` in all.

        What such a status means is the family's to judge: a proxy can send any. Raises WireError.
        """
        sent = {"User-Agent": "kibanda", "Accept": "application/json", **(headers or {})}
        if auth:
            sent |= make_headers(basic_auth=":".join(auth))
        if body is not None:
            sent["Content-Type"] = "application/json"
        with _Cutter(seconds) as cutter:
            try:
                response = self._pool.urlopen(
                    method, self._base + path, headers=sent,
                    body=None if body is None else json.dumps(body).encode(),
                    timeout=Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds),
                    retries=False, redirect=False, preload_content=False, decode_content=False,
                )  # fmt: skip
                try:
                    if response.status not in readable:
                        raise WireError(f"http_{response.status // 100}xx")
                    raw = _read(response)
                finally:
                    response.close()  # after an unread rest its connection serves nobody else
                    response.release_conn()
            except (HTTPError, OSError) as error:
                raise WireError(_reason(error, cut=cutter.has_cut)) from error
        return Reply(response.status, parse_object(raw))

    def close(self) -> None:
        self._pool.close()


def _reason(error: HTTPError | OSError, *, cut: bool) -> str:
    # A refused connection is one of a new connection, which urllib3 counts among the time-outs.
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return "connect_timeout"
    return "timeout" if cut or isinstance(error, ReadTimeoutError) else "connection_lost"


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    raw = bytearray()
    for chunk in response.stream(8192):
        raw += chunk
        if len(raw) > LARGEST_BODY_BYTES:
            raise WireError("body_too_large")
    return bytes(raw)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two values under one name: nobody knows which of them was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises WireError."""
    try:
        parsed = json.loads(raw, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise WireError("body_not_json") from error
    if not isinstance(parsed, dict):
        raise WireError("body_not_json")
    return parsed


class _Cutter:
    """Shuts the socket that this thread's call is using when the call's whole time is up."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._done = False
        self.has_cut = False

    def __enter__(self) -> _Cutter:
        _call.cutter = self
        return self

    def __exit__(self, *_: object) -> None:
        _call.cutter = None
        with self._lock:
            self._done = True
        if self._timer:
            self._timer.cancel()

    def watch(self, sock: socket.socket) -> None:
        """The request has been written to this socket; the answer must come in time."""
        left = max(0.0, self._deadline - time.monotonic())
        self._timer = threading.Timer(left, self._cut, (sock,))
        self._timer.daemon = True
        self._timer.start()

    def _cut(self, sock: socket.socket) -> None:
        with self._lock:  # once the call is over its socket may serve another one
            if self._done:
                return
            self.has_cut = True
            try:
                # Not SSLSocket.shutdown: it would wait for the peer's part of the TLS goodbye.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # already gone, which is what was wanted


def _watched(connection: HTTPConnection) -> None:
    cutter = getattr(_call, "cutter", None)
    if cutter and isinstance(connection.sock, socket.socket):
        cutter.watch(connection.sock)


class _PlainConnection(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        _watched(self)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        _watched(self)
        return super().getresponse()


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
