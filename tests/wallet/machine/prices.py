"""Fees, worked out again from the numbers of the price list."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from app.markets.model import Market
from app.markets.tariffs import Operation


@dataclass(frozen=True)
class Price:
    """A fee and what becomes of it. `earned` is all commission, `above` the super-agent's of it."""

    fee: int = 0
    tax: int = 0
    earned: int = 0
    funded: int = 0
    above: int = 0

    @property
    def shares(self) -> list[tuple[str, int]]:
        """To which house account goes what."""
        rest = self.fee - self.tax - self.funded
        parts = [("tax", self.tax), ("commission", self.funded), ("fees", rest)]
        return [(account, minor) for account, minor in parts if minor]


def price(
    market: Market, operation: Operation, amount: int, *, agent: bool = False, above: bool = False
) -> Price:
    """Of an amount that the newest price list reaches."""
    tariff = market.tariffs[operation][-1]
    band = next(band for band in tariff.bands if amount <= band.up_to_minor)
    bps = tariff.tax_in_fee_bps
    tax = floor(Fraction(band.fee_minor * bps, 10_000 + bps) + Fraction(1, 2))
    if not agent:
        return Price(band.fee_minor, tax)
    rest = band.fee_minor - tax
    earned = band.commission_minor
    if earned is None:
        earned = rest * tariff.commission_bps // 10_000
    return Price(
        fee=band.fee_minor,
        tax=tax,
        earned=earned,
        funded=min(earned, rest),
        above=earned * tariff.super_agent_bps // 10_000 if above else 0,
    )
