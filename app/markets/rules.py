"""L1: a market's rules about people and agents: tiers, PINs, codes, vouchers, stops, floats."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from app.markets.tables import Minor, Seconds, Table


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
        if not self.per_transaction_minor <= self.per_day_minor <= self.per_month_minor:
            raise ValueError("per_transaction_minor, per_day_minor, per_month_minor must rise")
        return self


class People(Table):
    """Registration and one-time codes of people."""

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
            raise ValueError("least_minor must be a multiple of step_minor")
        return self
