"""L1: the check digit of ISO/IEC 7812-1, annex B, which finds one wrong digit and most swaps."""

from __future__ import annotations


def passes_luhn(digits: str) -> bool:
    """Whether the last digit checks the others."""
    return _total(digits) % 10 == 0


def check_digit(body: str) -> str:
    """The digit that makes `body` pass when it is appended."""
    return str(-_total(body + "0") % 10)


def _total(digits: str) -> int:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total
