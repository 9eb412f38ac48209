"""One file a wire family: our order → their words → our answer. The only HTTP clients here."""

from __future__ import annotations

from app.billers.protocols.answers import Family
from app.billers.protocols.digiflazz import DigiflazzPrepaid
from app.markets.model import Market
from app.settings import Settings

__all__ = ["Family", "refuse_missing_credentials", "wires"]


def wires(market: Market, settings: Settings) -> dict[str, Family]:
    """A wire for every biller of the market that has credentials; nothing is sent yet.

    Raises ValueError for an address without https outside the demo.
    """
    made: dict[str, Family] = {}
    for code, rules in market.billers.items():
        credentials = settings.biller_credentials.get(code)
        if credentials is None:
            continue
        if not credentials.url.startswith("https://") and not market.demo:
            raise ValueError(f"BILLER_CREDENTIALS: the url of {code!r} must begin with https://")
        made[code] = DigiflazzPrepaid(code, rules, credentials, market.currency)
    return made


def refuse_missing_credentials(market: Market, settings: Settings) -> None:
    """For whoever must reach billers. Raises ValueError naming those without credentials."""
    missing = sorted(set(market.billers) - set(settings.biller_credentials))
    if missing:
        raise ValueError(f"BILLER_CREDENTIALS has no entry for {', '.join(missing)}")
