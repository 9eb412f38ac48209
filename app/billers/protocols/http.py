"""HTTP to billers: one request, bounded in time and size; no retry, no redirect, no cookie.

A retry of HTTP's own would be a request that `payments.requests` does not count, and the rule
"refused only by the answer to the very first request" hangs on that count.

The timeouts of `requests` bound each wait for a byte, so a peer that drips could hold a thread
for ever. Hence the cutter: when the whole time is up it shuts the socket.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

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
    """A bounded pool of connections to one biller; safe for threads."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc: who is paid is in the settings only
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

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
        timeout = (min(CONNECT_SECONDS, seconds), seconds)
        with _Cutter(seconds) as cutter:
            try:
                with self._session.request(
                    method, self._url + path, json=body, headers=headers, auth=auth,
                    timeout=timeout, stream=True, allow_redirects=False,
                ) as response:  # fmt: skip
                    if response.status_code not in readable:
                        raise WireError(f"http_{response.status_code // 100}xx")
                    raw = _read(response)
            except requests.ConnectTimeout as error:
                raise WireError("connect_timeout") from error
            except requests.Timeout as error:
                raise WireError("timeout") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise WireError("timeout" if cutter.has_cut else "connection_lost") from error
        return Reply(response.status_code, parse_object(raw))

    def close(self) -> None:
        self._session.close()


def _read(response: requests.Response) -> bytes:
    raw = bytearray()
    for chunk in response.iter_content(8192):
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


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
