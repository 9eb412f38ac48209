"""What staff prove themselves with: a password and a code that changes every 30 seconds.

A password is kept as argon2id. The code is TOTP (RFC 6238: SHA-1, 30 s, 6 digits), from a secret
that is sealed under PIN_KEYS for this one account; a code of the step before or after is taken too,
because clocks differ. That each step is used once is `sessions`' doing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from pyotp.exceptions import OTPVerificationError

from app.errors import DomainError
from app.sealing import Sealer, subkeys

# The low-memory choice of RFC 9106: 64 MiB, three passes. Staff log in a few times a day.
HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
PASSWORD_LEAST, PASSWORD_MOST = 12, 200
STEPS_APART = 1
ISSUER = "Kibanda"
DEMO_PASSWORD = "kibanda-demo-staff"  # noqa: S105 - published; opens nothing outside a demo market


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is stored of a password and a TOTP secret."""

    password: str
    totp_secret: bytes


def sealer(pin_keys: Mapping[int, bytes]) -> Sealer:
    """What seals TOTP secrets: keys of their own, derived from PIN_KEYS."""
    return Sealer(subkeys(pin_keys, "staff totp"))


def new_secret() -> str:
    """A TOTP secret of 160 bits, in base 32 as the phone apps take it."""
    return pyotp.random_base32()


def uri(name: str, secret: str) -> str:
    """The `otpauth://` address that a phone app reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def code_at(secret: str, at: datetime) -> str:
    """The code that a phone app shows at an instant."""
    return pyotp.TOTP(secret).at(at)


def kept(seals: Sealer, staff_id: UUID, password: str, secret: str) -> Credentials:
    """What to store; CPU work, to be done outside a transaction."""
    return Credentials(HASHER.hash(password), seals.seal(secret.encode(), staff_id.bytes))


def refuse_weak(name: str, password: str) -> None:
    """Raises DomainError `password_length` with `least` and `most`, or `password_guessable`."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise DomainError("password_length", least=PASSWORD_LEAST, most=PASSWORD_MOST)
    if not password.casefold().replace(name, "").strip() or password == DEMO_PASSWORD:
        raise DomainError("password_guessable")


def password_fits(stored: str | None, typed: str) -> bool:
    """Whether this is the password; where there is no account it takes as long to say no."""
    try:
        return HASHER.verify(stored or _nobodys(), typed) and stored is not None
    except VerifyMismatchError:
        return False


def step_of(seals: Sealer, staff_id: UUID, sealed: bytes, code: str, at: datetime) -> int | None:
    """The time step whose code this is, or None. Raises ValueError where no key unseals."""
    totp = pyotp.TOTP(seals.unseal(sealed, staff_id.bytes).decode())
    try:
        return totp.verify_and_get_timecode(
            code.replace(" ", ""), for_time=at, valid_window=STEPS_APART
        )
    except OTPVerificationError:
        return None


@cache
def _nobodys() -> str:
    return HASHER.hash(secrets.token_urlsafe(PASSWORD_LEAST))
