"""Addresses from which wrong tokens come: how many they may try.

Only a caller who was refused is looked at here, so nobody with the right token is ever held up,
also from an address that strangers use: behind a proxy or a gateway all callers have the same few.
The counts are of this process: asking Redis would cost more than the refusal, and would let a
stranger load what the honest need.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict

WINDOW_SECONDS = 60.0
ADDRESSES_MOST = 10_000
NETWORK_BITS = 64  # what one IPv6 subscriber has


class Strangers:
    """Counts refusals by address, an IPv6 network counting as one. Safe for threads."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def tried(self, written: str | None) -> bool:
        """Count a refusal; whether this address has had more than it may within the minute."""
        address, now = _network(written), time.monotonic()
        with self._lock:
            since, tries = self._seen.pop(address, (now, 0))
            if now - since >= WINDOW_SECONDS:
                since, tries = now, 0
            self._seen[address] = since, tries + 1
            if len(self._seen) > ADDRESSES_MOST:
                self._seen.popitem(last=False)
            return tries >= self._tries


def _network(written: str | None) -> str:
    try:
        address = ipaddress.ip_address(written or "")
    except ValueError:  # what a proxy may write instead of one
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))
