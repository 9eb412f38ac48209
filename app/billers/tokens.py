"""STS tokens of prepaid electricity (IEC 62055-41): 66 bits, written as 20 decimal digits."""

from __future__ import annotations

import re

DIGITS = 20
LARGEST = 2**66 - 1
_WRITTEN = re.compile(r"\d{20}\Z|\d{4}(?:[- ]\d{4}){4}\Z", re.ASCII)


def parse(written: str) -> str | None:
    """The 20 digits of a token as billers write it, plain or in groups of four; None if not one."""
    if not _WRITTEN.match(written):
        return None
    digits = re.sub(r"\D", "", written)
    return digits if int(digits) <= LARGEST else None


def grouped(digits: str) -> str:
    """As people type it into a meter: `1234-5678-9012-3456-7890`."""
    return "-".join(digits[start : start + 4] for start in range(0, DIGITS, 4))
