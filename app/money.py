"""L1: integer minor units of one currency, and rounding by name. No float anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import DomainError

BASIS_POINTS = 10_000
_AMOUNT = re.compile(r"(\d{1,12})(?:[.](\d+))?\Z")
_SEPARATORS = re.compile(r"(?<=\d)[, '](?=\d{3}(?:\D|\Z))")

Rounding = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency: its code and how many decimal digits its minor unit has."""

    code: str
    exponent: int

    @property
    def minor_per_major(self) -> int:
        return int(10**self.exponent)

    def format(self, amount_minor: int) -> str:
        """`KES 1,200.50`; a negative amount carries its sign before the digits."""
        sign = "-" if amount_minor < 0 else ""
        major, minor = divmod(abs(amount_minor), self.minor_per_major)
        decimals = f".{minor:0{self.exponent}d}" if self.exponent else ""
        return f"{self.code} {sign}{major:,}{decimals}"

    def parse(self, text: str) -> int:
        """Minor units of an amount typed by a person: `200`, `1,200.50`, `KES 200`.

        Raises DomainError `amount_not_a_number`.
        """
        cleaned = text.strip().upper().removeprefix(self.code).strip()
        cleaned = _SEPARATORS.sub("", cleaned)
        match = _AMOUNT.match(cleaned)
        if not match or not cleaned.isascii():
            raise DomainError("amount_not_a_number")
        decimals = match[2] or ""
        if len(decimals) > self.exponent:
            raise DomainError("amount_not_a_number")
        return int(match[1]) * self.minor_per_major + int(decimals.ljust(self.exponent, "0") or "0")


def round_down(numerator: int, denominator: int) -> int:
    """Toward zero, for shares that may never exceed the whole; both arguments positive."""
    return numerator // denominator


def round_half_up(numerator: int, denominator: int) -> int:
    """The rounding that tax offices ask for; both arguments positive."""
    return (2 * numerator + denominator) // (2 * denominator)


def share(amount_minor: int, basis_points: int, rounding: Rounding) -> int:
    """`basis_points` ten-thousandths of an amount, in minor units."""
    return rounding(amount_minor * basis_points, BASIS_POINTS)


def part_included(gross_minor: int, basis_points: int, rounding: Rounding) -> int:
    """The tax contained in a tax-inclusive amount: gross x rate / (1 + rate)."""
    return rounding(gross_minor * basis_points, BASIS_POINTS + basis_points)
