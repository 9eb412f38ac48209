"""One file a wire family: our order → their words → our answer. The only HTTP clients here."""

from __future__ import annotations

from collections.abc import Callable

from app.billers.protocols.answers import Family
from app.billers.protocols.digiflazz import DigiflazzPrepaid
from app.billers.protocols.digiflazz_postpaid import DigiflazzPostpaid
from app.billers.protocols.files import DayFiles
from app.billers.protocols.iak import IakPrepaid
from app.billers.protocols.iak_postpaid import IakPostpaid
from app.billers.protocols.iso8583 import Iso8583
from app.billers.protocols.xendit import Xendit
from app.markets.billers import Biller
from app.markets.families import FamilyName
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials, Settings

__all__ = ["Family", "credentials_name", "refuse_missing_credentials", "wires"]

Make = Callable[[str, Biller, BillerCredentials, Currency], Family]
MAKE: dict[FamilyName, Make] = {
    "digiflazz_prepaid": DigiflazzPrepaid,
    "digiflazz_postpaid": DigiflazzPostpaid,
    "iak_prepaid": IakPrepaid,
    "iak_postpaid": IakPostpaid,
    "iso8583": Iso8583,
    "xendit": Xendit,
    "file": DayFiles,
}
SECURE = ("https://", "tls://", "file://")


def credentials_name(code: str, rules: Biller) -> str:
    """The entry of BILLER_CREDENTIALS that a biller uses; two billers may share an account."""
    return rules.credentials or code


def wires(market: Market, settings: Settings) -> dict[str, Family]:
    """A wire for every biller of the market that has credentials; nothing is sent yet.

    Raises ValueError for an address that anybody could read along, outside the demo.
    """
    made: dict[str, Family] = {}
    for code, rules in market.billers.items():
        name = credentials_name(code, rules)
        credentials = settings.biller_credentials.get(name)
        if credentials is None:
            continue
        if not credentials.url.startswith(SECURE) and not market.demo:
            raise ValueError(f"BILLER_CREDENTIALS: the url of {name!r} must begin with https://")
        made[code] = MAKE[rules.family](code, rules, credentials, market.currency)
    return made


def refuse_missing_credentials(market: Market, settings: Settings) -> None:
    """For whoever must reach billers. Raises ValueError naming those without credentials."""
    names = {credentials_name(code, rules) for code, rules in market.billers.items()}
    missing = sorted(names - set(settings.biller_credentials))
    if missing:
        raise ValueError(f"BILLER_CREDENTIALS has no entry for {', '.join(missing)}")
