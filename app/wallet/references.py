"""References: what people and staff call a movement of money by."""

from __future__ import annotations

import secrets
from collections.abc import Callable

# Crockford's base 32 has no I, L, O, U: nothing that is misread on a small screen or by phone.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 8
TRIES = 5


def draw(taken: Callable[[str], bool]) -> str:
    """A reference that `taken` does not know. Two drawn in the same instant could still be the same
    one of 2^40; the unique constraint of their table then undoes the later one, with nothing taken.
    """
    for _ in range(TRIES):
        reference = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        if not taken(reference):
            return reference
    raise AssertionError(f"{TRIES} random references were all taken")


def written(typed: str) -> str:
    """A reference as it is kept, typed in any case."""
    return typed.strip().upper()
