"""STS tokens of prepaid electricity (IEC 62055-41): 66 bits, written as 20 decimal digits."""

from __future__ import annotations

import re

DIGITS = 20
MOST = 3  # of one sale: two of a key change, one of credit (IEC 62055-41)
LARGEST = 2**66 - 1
_WRITTEN = re.compile(r"\d{20}\Z|\d{4}(?:[- ]\d{4}){4}\Z", re.ASCII)


def parse(written: str) -> str | None:
    """The 20 digits of a token as billers write it, plain or in groups of four; None if not one."""
    if not _WRITTEN.match(written):
        return None
    digits = re.sub(r"\D", "", written)
    return digits if int(digits) <= LARGEST else None


def parse_all(written: str, separator: str = ";") -> tuple[str, ...] | None:
    """One to three tokens of a sale, in the order in which a meter wants them; None if any is none.

    A change of the meter's keys takes two tokens before the one of the credit.
    """
    parts = [part.strip() for part in written.split(separator)]
    found = [parse(part) for part in parts]
    if len(parts) > MOST or None in found or len(set(found)) < len(found):
        return None
    return tuple(token for token in found if token)


def grouped(digits: str) -> str:
    """As people type it into a meter: `1234-5678-9012-3456-7890`."""
    return "-".join(digits[start : start + 4] for start in range(0, DIGITS, 4))
