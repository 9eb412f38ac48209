"""L3: the adapters that exist, by the names that a market file calls them."""

from __future__ import annotations

from collections.abc import Iterable

from app.gateways import africastalking
from app.gateways.wire import UssdGateway
from app.markets import MarketError

USSD = {gateway.name: gateway for gateway in (africastalking.GATEWAY,)}


def ussd_gateways(names: Iterable[str]) -> tuple[UssdGateway, ...]:
    """The gateways of those names. Raises MarketError for one without an adapter."""
    wanted = tuple(names)
    for name in wanted:
        if name not in USSD:
            known = ", ".join(USSD)
            raise MarketError(f"gateways: there is no adapter {name!r}, only {known}")
    return tuple(USSD[name] for name in wanted)
