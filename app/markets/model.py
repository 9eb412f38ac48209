"""L1: the shape of a market file, checked when it is read."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.money import Currency, part_included, round_down, round_half_up, share


def _no_key(number: str) -> str:
    if number == "98":
        raise ValueError("98 turns a page and can be no shortcut")
    return number


Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
Minor = Annotated[int, Field(ge=0)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[int, Field(gt=0)]
# Two digits or more, so that it is no key of a menu; 98 turns a page.
ShortcutNumber = Annotated[str, Field(pattern=r"^[1-9]\d{1,3}$"), AfterValidator(_no_key)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CurrencyTable(Table):
    code: str = Field(pattern=r"^[A-Z]{3}$")
    exponent: int = Field(ge=0, le=3)


class PinRules(Table):
    """Market data, so that leak tests can run with PINs of ten digits."""

    length: int = Field(ge=4, le=12)
    tries: int = Field(ge=3, le=5)
    lock_seconds: Seconds


class Limits(Table):
    """Ceilings of one KYC tier, in minor units, days in the market's local time."""

    per_transaction_minor: Minor
    per_day_minor: Minor
    balance_minor: Minor


class Band(Table):
    up_to_minor: int = Field(gt=0)
    fee_minor: Minor


class Fee(Table):
    """What a person pays for an operation, and how it is divided."""

    total_minor: int
    tax_minor: int
    commission_minor: int

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.tax_minor - self.commission_minor


class Tariff(Table):
    """Bands by amount. A fee includes its tax; the commission is a share of what is left."""

    tax_in_fee_bps: BasisPoints
    commission_bps: BasisPoints
    bands: tuple[Band, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        tops = [band.up_to_minor for band in self.bands]
        if tops != sorted(set(tops)):
            raise ValueError("bands must rise in up_to_minor")
        return self

    def fee(self, amount_minor: int) -> Fee:
        """The fee of an amount. Raises ValueError above the last band."""
        for band in self.bands:
            if amount_minor <= band.up_to_minor:
                total = band.fee_minor
                tax = part_included(total, self.tax_in_fee_bps, round_half_up)
                commission = share(total - tax, self.commission_bps, round_down)
                return Fee(total_minor=total, tax_minor=tax, commission_minor=commission)
        raise ValueError("amount above the last band")


class Product(Table):
    code: Code
    sku: str = Field(min_length=1)
    category: Literal["electricity"]
    name: str = Field(max_length=20)
    customer_digits: int = Field(ge=4, le=20)
    customer_luhn: bool
    min_minor: int = Field(gt=0)
    max_minor: int = Field(gt=0)
    step_minor: int = Field(gt=0)
    shortcut: ShortcutNumber | None = None

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_minor > self.max_minor or self.min_minor % self.step_minor:
            raise ValueError("min_minor must be a multiple of step_minor and at most max_minor")
        return self


class Biller(Table):
    """One biller: its wire family, its codes, and what to do when it is silent."""

    family: Literal["digiflazz_prepaid"]
    name: str = Field(max_length=20)
    inquiry_timeout_seconds: float = Field(gt=0, le=2)
    timeout_seconds: float = Field(gt=0, le=20)  # a worker's claim lasts 30 s and must outlive it
    refused_codes: tuple[str, ...] = Field(min_length=1)
    refused_first_codes: tuple[str, ...] = ()
    silence_policy: Literal["ask"]
    ask_after_seconds: tuple[Seconds, ...] = Field(min_length=1)
    ask_horizon_seconds: Seconds
    manual_after_seconds: Seconds
    concurrency: int = Field(ge=1, le=256)
    breaker_failures: int = Field(ge=1)
    breaker_open_seconds: Seconds
    products: tuple[Product, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _never_buys_twice(self) -> Self:
        # Asking a Digiflazz-like biller IS sending the purchase again; past its horizon the
        # same reference buys anew, so our asking must have ended long before.
        if self.manual_after_seconds >= self.ask_horizon_seconds:
            raise ValueError("manual_after_seconds must end before ask_horizon_seconds")
        refusals = {*self.refused_codes, *self.refused_first_codes}
        if refusals & {"00", "03"}:
            raise ValueError("a pending or successful code cannot mean refused")
        if "49" in refusals:
            raise ValueError("49, a duplicate reference, says nothing about the first request")
        if set(self.refused_codes) & set(self.refused_first_codes):
            raise ValueError("a code stands in refused_codes and in refused_first_codes")
        return self


class Market(Table):
    """A country as Kibanda sees it."""

    code: Code
    name: str
    demo: bool = False
    region: str = Field(pattern=r"^[A-Z]{2}$")
    timezone: str
    languages: tuple[str, ...] = Field(min_length=1)
    care_number: str = Field(max_length=15)
    service_codes: tuple[str, ...] = Field(min_length=1)
    gateways: tuple[Code, ...] = Field(min_length=1)  # app/gateways/table.py knows which exist
    currency_table: CurrencyTable = Field(alias="currency")
    pin: PinRules
    retired_shortcuts: tuple[ShortcutNumber, ...] = ()
    resume_seconds: int = Field(ge=0, le=900)
    repeat_seconds: int = Field(ge=0, le=86_400)
    confirm_seconds: Seconds
    hold_seconds: Seconds
    default_tier: str
    tiers: dict[str, Limits]
    tariffs: dict[Literal["bill_payment"], Tariff]
    billers: dict[Code, Biller]

    @property
    def currency(self) -> Currency:
        return Currency(self.currency_table.code, self.currency_table.exponent)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def default_language(self) -> str:
        return self.languages[0]

    @property
    def shortcuts(self) -> dict[str, str]:
        """Product codes by the number of their shortcut."""
        products = [product for biller in self.billers.values() for product in biller.products]
        return {product.shortcut: product.code for product in products if product.shortcut}

    def product(self, code: str) -> tuple[str, Biller, Product]:
        """Biller code, biller and product of a product code. Raises KeyError."""
        for biller_code, biller in self.billers.items():
            for product in biller.products:
                if product.code == code:
                    return biller_code, biller, product
        raise KeyError(code)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _ = self.zone
        if self.default_tier not in self.tiers:
            raise ValueError(f"default_tier {self.default_tier!r} is not among the tiers")
        for code in self.service_codes:
            if not re.fullmatch(r"\*\d+(\*\d+)*#", code):
                raise ValueError(f"service code {code!r} is not of the form *384*123#")
        products = [product for biller in self.billers.values() for product in biller.products]
        codes = [product.code for product in products]
        if len(codes) != len(set(codes)):
            raise ValueError("a product code stands in two billers")
        shortcuts = [product.shortcut for product in products if product.shortcut]
        shortcuts += self.retired_shortcuts
        if len(shortcuts) != len(set(shortcuts)):
            raise ValueError("a shortcut stands twice or was retired: printed codes keep their use")
        top = self.tariffs["bill_payment"].bands[-1].up_to_minor
        for biller in self.billers.values():
            for product in biller.products:
                if product.max_minor > top:
                    raise ValueError(f"no fee band reaches the max_minor of {product.code}")
                if product.step_minor % self.currency.minor_per_major:
                    # This family writes amounts in whole currency units.
                    raise ValueError(f"step_minor of {product.code} is not whole units")
        return self
