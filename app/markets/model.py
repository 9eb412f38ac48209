"""L1: the shape of a market file, checked when it is read."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from app.errors import DomainError
from app.markets.rules import Agents, Limits, People, PinRules, Stops, Vouchers
from app.markets.tables import Code, Seconds, Table
from app.markets.tariffs import Operation, Tariff, refuse_disorder
from app.money import Currency


def _no_key(number: str) -> str:
    if number == "98":
        raise ValueError("98 turns a page and can be no shortcut")
    return number


# Two digits or more, so that it is no key of a menu; 98 turns a page.
ShortcutNumber = Annotated[str, Field(pattern=r"^[1-9]\d{1,3}$"), AfterValidator(_no_key)]


class CurrencyTable(Table):
    code: str = Field(pattern=r"^[A-Z]{3}$")
    exponent: int = Field(ge=0, le=3)


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
    tariffs: dict[Operation, tuple[Tariff, ...]]
    people: People
    vouchers: Vouchers
    stops: Stops
    agents: Agents
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

    def tariff(self, operation: Operation, at: datetime) -> Tariff:
        """The price list of an operation at an instant: the last that began by that local day.

        Raises DomainError `not_offered_yet` before the first.
        """
        today = at.astimezone(self.zone).date()
        began = [one for one in self.tariffs[operation] if one.effective_from <= today]
        if not began:
            raise DomainError("not_offered_yet")
        return began[-1]

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
        for name, tier in (
            ("default_tier", self.default_tier),
            ("people.assisted_tier", self.people.assisted_tier),
        ):
            if tier not in self.tiers:
                raise ValueError(f"{name} {tier!r} is not among the tiers")
        self._refuse_unpriced()
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
        for biller in self.billers.values():
            for product in biller.products:
                if product.step_minor % self.currency.minor_per_major:
                    # This family writes amounts in whole currency units.
                    raise ValueError(f"step_minor of {product.code} is not whole units")
        return self

    def _refuse_unpriced(self) -> None:
        """Every operation has a price for every amount that can be asked for."""
        operations: tuple[Operation, ...] = get_args(Operation)
        for operation in operations:
            if operation not in self.tariffs:
                raise ValueError(f"tariffs.{operation} is missing")
            refuse_disorder(operation, self.tariffs[operation])
        bills = [*self.tariffs["bill_payment"], *self.tariffs["agent_bill"]]
        top = min(tariff.most_minor for tariff in bills)
        for biller in self.billers.values():
            for product in biller.products:
                if product.max_minor > top:
                    raise ValueError(f"no fee band reaches the max_minor of {product.code}")
        most = max(tier.per_transaction_minor for tier in self.tiers.values())
        for operation in ("send", "voucher", "cash_in", "cash_out"):
            for tariff in self.tariffs[operation]:
                if tariff.most_minor < most:
                    raise ValueError(f"no fee band of tariffs.{operation} reaches {most}")
