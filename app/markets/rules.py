"""L1: a market's rules about people and agents: tiers, PINs, codes, vouchers, stops, floats."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.markets.parties import BankParty
from app.markets.tables import Code, Fault, Minor, Seconds, Table, written


class PinRules(Table):
    """Market data, so that leak tests can run with PINs of ten digits."""

    length: int = Field(ge=4, le=12)
    tries: int = Field(ge=3, le=5)
    lock_seconds: Seconds


class Limits(Table):
    """Ceilings of one KYC tier, in minor units, days and months in the market's local time.

    What leaves a person counts, without its fee; `balance_minor` is the most that may be in a
    wallet after money came in.
    """

    per_transaction_minor: Minor
    per_day_minor: Minor
    per_month_minor: Minor
    balance_minor: Minor

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if self.per_day_minor < self.per_transaction_minor:
            raise Fault("must be at least per_transaction_minor", "per_day_minor")
        if self.per_month_minor < self.per_day_minor:
            raise Fault("must be at least per_day_minor", "per_month_minor")
        return self


class IdKind(Table):
    """One sort of identity document: how long its number is, in letters and digits."""

    least_chars: int = Field(ge=4, le=40)
    most_chars: int = Field(ge=4, le=40)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.least_chars > self.most_chars:
            raise Fault("must be at most most_chars", "least_chars")
        return self


class People(Table):
    """Registration and one-time codes of people."""

    id_kinds: dict[Code, IdKind] = Field(min_length=1)
    assisted_tier: str  # of whom an agent registers with an identity document
    dormant_days: int = Field(ge=30, le=3650)
    otp_seconds: int = Field(gt=0, le=600)
    otps_per_hour: int = Field(ge=1, le=20)


class Vouchers(Table):
    """Money for a number that is not registered; it goes back by itself after `seconds`."""

    seconds: int = Field(ge=3600, le=90 * 86_400)


class Stops(Table):
    """Asking for a sent amount back: how long it may be asked for, how long staff may take."""

    window_seconds: Seconds
    hold_seconds: Seconds


class Splitting(Table):
    """When deposits look split to earn the commission of small bands: see `flask agent splits`."""

    window_seconds: Seconds
    least_deposits: int = Field(ge=2, le=50)


class Agents(Table):
    """The agent network. Amounts of `least_minor` and `step_minor` hold for cash and for floats."""

    least_minor: int = Field(gt=0)
    step_minor: int = Field(gt=0)
    low_float_minor: Minor
    withdrawal_code_seconds: int = Field(gt=0, le=600)
    float_request_seconds: Seconds
    commission_days: int = Field(ge=1, le=31)
    splitting: Splitting

    @model_validator(mode="after")
    def _step(self) -> Self:
        if self.least_minor % self.step_minor:
            raise Fault("must be a multiple of step_minor", "least_minor")
        return self


class TrustAccount(Table):
    """When what should have moved on by itself becomes an alarm: see `flask trust`."""

    unmatched_alarm_days: int = Field(ge=1, le=90)  # lines of the bank's statement
    suspense_alarm_days: int = Field(ge=1, le=90)  # suspense, deposits and payouts on their way
    account: BankParty | None = None  # who pays in a payment order: see `flask settlement`


class DemoPerson(Table):
    """Somebody of a demo market; an agent's balance is its float."""

    msisdn: Annotated[str, written(r"\+[1-9]\d{6,14}", "a number such as +254711000001")]
    name: str = Field(min_length=2, max_length=40)
    language: str
    role: Literal["customer", "agent", "super_agent"] = "customer"
    balance_minor: Minor
