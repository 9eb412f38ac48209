"""Who may call back: the secret in the address and, if set, the list of addresses.

Africa's Talking signs none of its callbacks, so the address itself is the secret; it is compared
in constant time and never logged. Whoever has it passes, however many strangers call from the same
address; a stranger who goes on is answered with 429.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable

from flask import Request, Response

from app.settings import Settings
from app.telemetry import CALLBACKS_REFUSED, Seldom
from app.web.strangers import Strangers

TOO_MANY_HEADERS = {"Retry-After": "60"}
_refused, _strangers = Seldom("callback_refused", lines=5), Seldom("strangers_flood")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def callback_guard(settings: Settings) -> Callable[[Request], Response | None]:
    """A function that answers 403 for a caller who may not call back, None for one who may."""
    expected = settings.callback_token.get_secret_value().encode()
    networks = [ipaddress.ip_network(part, strict=False) for part in settings.callback_allowed_ips]

    strangers = Strangers(settings.stranger_tries_a_minute)

    def refused(reason: str, request: Request) -> Response:
        too_many = strangers.tried(request.remote_addr)
        CALLBACKS_REFUSED.labels("stranger" if too_many else reason).inc()
        if too_many:
            _strangers.error(address=request.remote_addr)
            return Response("too many\n", 429, TOO_MANY_HEADERS, mimetype="text/plain")
        _refused.warning(reason, reason=reason, endpoint=request.endpoint)
        return Response("forbidden\n", 403, mimetype="text/plain")

    def check(request: Request) -> Response | None:
        # The usual query is the token alone: compared whole, it need not be parsed on every hop.
        if not hmac.compare_digest(request.query_string, b"token=" + expected):
            given = request.args.get("token", "").encode()
            if not hmac.compare_digest(given, expected):
                return refused("token", request)
        if networks and not _is_within(request.remote_addr, networks):
            return refused("address", request)
        return None

    return check


def _is_within(written: str | None, networks: list[Network]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none."""
    try:
        address = ipaddress.ip_address(written or "")
    except ValueError:  # a proxy may write `unknown`, or add a port
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in networks)
