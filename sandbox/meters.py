"""What the power company knows of a meter: whether it exists, whose it is, the tokens it takes.

Every 11-digit number that passes Luhn is a meter here, and all about it follows from its number, so
that a demo needs no list and two runs agree.
"""

import hashlib
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class _Country:
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    kwh_price: int  # of a unit, in hundredths of the currency


_KENYA = _Country(
    first_names=(
        *("GRACE", "PETER", "MERCY", "BRIAN", "FAITH"),
        *("DENNIS", "ESTHER", "KEVIN", "LUCY", "HALIMA"),
    ),
    last_names=(
        *("ODHIAMBO", "KAMAU", "NJERI", "MUTUA", "CHEBET"),
        *("BARASA", "WAIRIMU", "KIPTOO", "MOHAMED"),
    ),
    kwh_price=2_480,
)
_INDONESIA = _Country(
    first_names=("SRI", "AGUS", "DEWI", "BUDI", "RINA", "JOKO", "WATI", "HENDRA", "YUNI", "ASEP"),
    last_names=(
        *("WIJAYA", "LESTARI", "SANTOSO", "HIDAYAT", "SIREGAR"),
        *("PERTIWI", "NUGROHO", "SARI", "SIMANJUNTAK"),
    ),
    kwh_price=144_470,
)
_COUNTRIES = {"KE": _KENYA, "ID": _INDONESIA}
_SEGMENTS = (("R1", 900), ("R1", 1300), ("R1", 2200), ("R2", 3500))


def exists(meter: str) -> bool:
    """True for 11 ASCII digits with a right Luhn check digit."""
    if len(meter) != 11 or not (meter.isascii() and meter.isdecimal()):
        return False
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(meter)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def owner(meter: str, region: str = "KE") -> str:
    first, last = _country(region).first_names, _country(region).last_names
    seed = _seed(meter)
    return f"{first[seed[0] % len(first)]} {last[seed[1] % len(last)]}"


def segment(meter: str) -> tuple[str, int]:
    """Tariff segment and power in VA, e.g. ("R1", 1300)."""
    return _SEGMENTS[_seed(meter)[2] % len(_SEGMENTS)]


def subscriber(meter: str) -> str:
    """The customer number, which is not the meter number: 12 digits."""
    return f"5{int.from_bytes(_seed(meter)[3:8]) % 10**11:011d}"


def units(amount: int, region: str = "KE") -> str:
    """kWh that an amount of whole currency units buys, cut to one decimal."""
    tenths = amount * 100 * 10 // _country(region).kwh_price
    return f"{tenths // 10}.{tenths % 10}"


def new_token() -> str:
    """A fresh STS token: 66 bits as 20 digits (IEC 62055-41)."""
    return f"{secrets.randbelow(1 << 66):020d}"


def grouped(token: str) -> str:
    return "-".join(token[start : start + 4] for start in range(0, 20, 4))


def _country(region: str) -> _Country:
    """Names and price of a country; those of Kenya where we have none."""
    return _COUNTRIES.get(region, _KENYA)


def _seed(meter: str) -> bytes:
    return hashlib.sha256(f"meter {meter}".encode()).digest()
