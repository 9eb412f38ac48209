"""Ports for the servers that tests start."""

from __future__ import annotations

import secrets
import socket

# Below those that Linux gives to outgoing connections, of which a busy run has thousands: one of
# these would be taken between the look here and the start of the server.
FIRST, PORTS, TRIES = 11_000, 20_000, 100


def free_port() -> int:
    """One that nobody listens at. Raises OSError when TRIES ports were all taken."""
    for _ in range(TRIES):
        port = FIRST + secrets.randbelow(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"{TRIES} ports from {FIRST} on are taken")
