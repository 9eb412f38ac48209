"""Settings of the sandbox: its own environment, read in this one place."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import phonenumbers

from sandbox.billers.accounts import (
    AccountsError,
    BillerAccount,
    from_billers,
    from_credentials,
)

# Facts of the operator (contracts: 180 s a session, 15 s for our answer). A test may shorten them;
# nobody may lengthen them, since a gateway more patient than the real one would hide our faults.
LONGEST_SESSION_SECONDS = 180.0
LONGEST_ANSWER_SECONDS = 15.0

DEMO_CREDENTIALS = '{"stima": {"username": "kibanda", "api_key": "demo-stima-key"}}'
DEMO_PEOPLE = (
    ("Amina Wanjiru", "+254711000001"),
    ("Juma Otieno", "+254711000002"),
    ("Neema Kiosk (agent)", "+254711000101"),
    ("Zawadi Wholesale (super-agent)", "+254711000100"),
)


class SettingsError(Exception):
    """A variable of the environment that the sandbox cannot start with; the text names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that the sandbox is told from outside; durations are seconds."""

    port: int
    kibanda_url: str
    callback_token: str
    data: Path
    at_username: str
    at_api_key: str
    sender_id: str
    billers: Mapping[str, BillerAccount]
    service_code: str = "*384*123#"
    region: str = "KE"
    people: tuple[tuple[str, str], ...] = DEMO_PEOPLE
    timezone: str = "Africa/Nairobi"
    exponent: int = 2
    bank_currency: str = "KES"
    bank_opening: Decimal = Decimal("0.00")
    session_seconds: float = LONGEST_SESSION_SECONDS
    answer_seconds: float = LONGEST_ANSWER_SECONDS

    @property
    def ports(self) -> tuple[tuple[str, int], ...]:
        """Every port that it serves, and the variable that says so."""
        of_billers = (one.port for one in self.billers.values() if one.port)
        return (("SANDBOX_PORT", self.port), *(("SANDBOX_BILLERS", port) for port in of_billers))

    @property
    def country_code(self) -> str:
        """What stands for the 0 of a number dialled at home."""
        return str(phonenumbers.country_code_for_region(self.region))


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment, the demo market's by default; raises SettingsError."""
    return Settings(
        port=_port(environ.get("SANDBOX_PORT", "8001")),
        kibanda_url=environ.get("KIBANDA_URL", "http://127.0.0.1:8000").rstrip("/"),
        callback_token=environ.get("CALLBACK_TOKEN", "demo"),
        data=Path(environ.get("SANDBOX_DATA", "var/sandbox")),
        at_username=environ.get("AT_USERNAME", "sandbox"),
        at_api_key=environ.get("AT_API_KEY", "demo-at-key"),
        sender_id=environ.get("AT_SENDER_ID", "KIBANDA"),
        billers=_billers(environ),
        service_code=environ.get("SANDBOX_SERVICE_CODE", "*384*123#"),
        region=_region(environ.get("SANDBOX_REGION", "KE")),
        people=_people(environ.get("SANDBOX_PEOPLE")),
        timezone=_timezone(environ.get("SANDBOX_TIMEZONE", "Africa/Nairobi")),
        exponent=_exponent(environ.get("SANDBOX_EXPONENT", "2")),
        bank_currency=environ.get("SANDBOX_BANK_CURRENCY", "KES"),
        bank_opening=_opening(environ.get("SANDBOX_BANK_OPENING", "0.00")),
        session_seconds=_seconds(environ, "SANDBOX_SESSION_SECONDS", LONGEST_SESSION_SECONDS),
        answer_seconds=_seconds(environ, "SANDBOX_ANSWER_SECONDS", LONGEST_ANSWER_SECONDS),
    )


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise SettingsError(f"SANDBOX_PORT must be a port number from 1 to 65535, not {value!r}")
    return int(value)


def _seconds(environ: Mapping[str, str], name: str, longest: float) -> float:
    value = environ.get(name, str(longest))
    try:
        seconds = float(value)
    except ValueError:
        raise SettingsError(f"{name} must be a number of seconds, not {value!r}") from None
    if not 0 < seconds <= longest:
        raise SettingsError(f"{name} must be above 0 and at most {longest:g}, not {value!r}")
    return seconds


def _opening(value: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,13}\.[0-9]{2}", value):
        raise SettingsError(f"SANDBOX_BANK_OPENING must be an amount like 1500.00, not {value!r}")
    return Decimal(value)


def _region(value: str) -> str:
    if not phonenumbers.country_code_for_region(value):
        raise SettingsError(f"SANDBOX_REGION must be a country like KE, not {value!r}")
    return value


def _people(value: str | None) -> tuple[tuple[str, str], ...]:
    if not value:
        return DEMO_PEOPLE
    try:
        return tuple((str(one["name"]), str(one["msisdn"])) for one in json.loads(value))
    except (ValueError, KeyError, TypeError) as error:
        shape = '[{"name": …, "msisdn": …}]'
        raise SettingsError(f"SANDBOX_PEOPLE must be JSON like {shape}") from error


def _billers(environ: Mapping[str, str]) -> dict[str, BillerAccount]:
    """SANDBOX_BILLERS, or else Kibanda's own credentials as so many sellers of electricity."""
    name = "SANDBOX_BILLERS" if environ.get("SANDBOX_BILLERS") else "BILLER_CREDENTIALS"
    try:
        if name == "SANDBOX_BILLERS":
            return from_billers(environ[name])
        return from_credentials(environ.get(name) or DEMO_CREDENTIALS)
    except AccountsError as error:
        raise SettingsError(f"{name}: {error}") from error


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise SettingsError(
            f"SANDBOX_TIMEZONE must be a time zone like Africa/Nairobi, not {value!r}"
        ) from error
    return value


def _exponent(value: str) -> int:
    if value not in ("0", "2"):
        raise SettingsError(f"SANDBOX_EXPONENT must be 0 or 2, not {value!r}")
    return int(value)
