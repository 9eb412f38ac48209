"""Numbers of people and meters that no other test uses."""

from __future__ import annotations

import itertools
import secrets

from app.luhn import passes_luhn

# Among thousands of random ones some would be alike; this walks through all, each once.
_FIRST, _STEP = secrets.randbelow(10**8), 61_803_399
_numbers = itertools.count()


def fresh_msisdn(region: str = "KE") -> str:
    """A mobile number of the demo market in that country."""
    network, digits = {"KE": ("+2547", 8), "ID": ("+62812", 8)}[region]
    number = (_FIRST + next(_numbers) * _STEP) % 10**digits
    return f"{network}{number:0{digits}d}"


def fresh_meter() -> str:
    """A valid meter number: eleven digits that pass Luhn."""
    body = f"54{secrets.randbelow(10**8):08d}"
    return next(body + str(check) for check in range(10) if passes_luhn(body + str(check)))
