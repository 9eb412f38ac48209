"""A socket to a switch: TCP, and TLS where the address says so, within one time altogether."""

from __future__ import annotations

import select
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

UNTAKEN_BYTES = 32_768  # what waits in a deep buffer can no more be kept from leaving late


class LostError(Exception):
    """A connection is of no use any more; `cause` is a constant name."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Address:
    """Where a switch listens."""

    host: str
    port: int
    tls: bool


def address_of(url: str) -> Address:
    """Host and port of `tls://host:port` or `tcp://host:port`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("tls", "tcp") or not parts.hostname or parts.port is None:
        raise ValueError("the url of an ISO 8583 biller is tls://host:port")
    return Address(parts.hostname, parts.port, parts.scheme == "tls")


def opened(address: Address, seconds: float) -> socket.socket:
    """A connected socket that never blocks. Raises OSError, LostError."""
    deadline = time.monotonic() + seconds
    sock = socket.create_connection((address.host, address.port), seconds)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNTAKEN_BYTES)
        sock.setblocking(False)
        return _secured(sock, address.host, deadline) if address.tls else sock
    except BaseException:
        sock.close()
        raise


def _secured(sock: socket.socket, host: str, deadline: float) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        _shake_hands(wrapped, deadline)
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _shake_hands(sock: ssl.SSLSocket, deadline: float) -> None:
    poll = select.poll()
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            poll.register(sock, select.POLLIN)
        except ssl.SSLWantWriteError:
            poll.register(sock, select.POLLOUT)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise LostError("handshake_unfinished")
