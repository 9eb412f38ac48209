"""Numbers of people and meters that no other test uses."""

from __future__ import annotations

import secrets

from app.luhn import passes_luhn


def fresh_msisdn(region: str = "KE") -> str:
    """A mobile number of the demo market in that country."""
    network, digits = {"KE": ("+2547", 8), "ID": ("+62812", 8)}[region]
    return f"{network}{secrets.randbelow(10**digits):0{digits}d}"


def fresh_meter() -> str:
    """A valid meter number: eleven digits that pass Luhn."""
    body = f"54{secrets.randbelow(10**8):08d}"
    return next(body + str(check) for check in range(10) if passes_luhn(body + str(check)))
