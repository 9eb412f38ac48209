"""L1: the shape of a market file, checked when it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from pydantic import AfterValidator, Field, model_validator

from app.errors import DomainError
from app.markets.places import Place
from app.markets.rules import (
    Agents,
    DemoPerson,
    Limits,
    People,
    PinRules,
    Stops,
    TrustAccount,
    Vouchers,
)
from app.markets.tables import Code, Fault, Minor, Seconds, Table, unlike, written
from app.markets.tariffs import Operation, Tariff, refuse_disorder
from app.money import Currency

# Two digits or more, so that it is no key of a menu.
ShortcutNumber = Annotated[
    str,
    written(r"[1-9]\d{1,3}", "2 to 4 digits, the first no 0"),
    AfterValidator(unlike("98", "98 turns a page and can be no shortcut")),
]
ServiceCode = Annotated[str, written(r"\*\d+(\*\d+)*#", "of the form *384*123#")]
BILLS: tuple[Operation, ...] = ("bill_payment", "agent_bill")
HIGHEST_PRICED: tuple[Operation, ...] = ("send", "voucher", "cash_in", "cash_out")


class CurrencyTable(Table):
    code: Annotated[str, written(r"[A-Z]{3}", "an ISO 4217 code such as KES")]
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
        if self.min_minor > self.max_minor:
            raise Fault("must be at most max_minor", "min_minor")
        if self.min_minor % self.step_minor:
            raise Fault("must be a multiple of step_minor", "min_minor")
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
            raise Fault("must end before ask_horizon_seconds", "manual_after_seconds")
        for key in ("refused_codes", "refused_first_codes"):
            codes: tuple[str, ...] = getattr(self, key)
            if {*codes} & {"00", "03"}:
                raise Fault("a pending or successful code cannot mean refused", key)
            if "49" in codes:
                raise Fault("49, a duplicate reference, says nothing about the first request", key)
        if set(self.refused_codes) & set(self.refused_first_codes):
            raise Fault("a code stands in refused_codes too", "refused_first_codes")
        return self


class Market(Table):
    """A country as Kibanda sees it."""

    code: Code
    name: str
    demo: bool = False
    region: str
    timezone: str
    languages: tuple[str, ...] = Field(min_length=1)
    care_number: str = Field(max_length=15)
    service_codes: tuple[ServiceCode, ...] = Field(min_length=1)
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
    trust: TrustAccount
    billers: dict[Code, Biller]
    demo_people: tuple[DemoPerson, ...] = ()
    demo_operator_minor: Minor = 0

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
        self._refuse_nowhere()
        for place in (("default_tier",), ("people", "assisted_tier")):
            tier = self.people.assisted_tier if len(place) == 2 else self.default_tier
            if tier not in self.tiers:
                raise Fault(f"{tier!r} is not among the tiers", *place)
        for index, person in enumerate(self.demo_people):
            if person.language not in self.languages:
                raise Fault("is none of the languages", "demo_people", index, "language")
        self._refuse_unpriced()
        self._refuse_odd_products()
        return self

    def _refuse_nowhere(self) -> None:
        try:
            _ = self.zone
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Fault("must be a time zone such as Africa/Nairobi", "timezone") from error
        if not phonenumbers.country_code_for_region(self.region):
            raise Fault("must be an ISO 3166 country such as KE", "region")

    def _refuse_unpriced(self) -> None:
        """Every operation has a price for every amount that can be asked for."""
        operations: tuple[Operation, ...] = get_args(Operation)
        for operation in operations:
            if operation not in self.tariffs:
                raise Fault("is missing", "tariffs", operation)
            refuse_disorder(operation, self.tariffs[operation])
        most = max(tier.per_transaction_minor for tier in self.tiers.values())
        for operation in HIGHEST_PRICED:
            self._refuse_below(most, operation, "the largest per_transaction_minor")
        for operation in BILLS:
            for index, tariff in enumerate(self.tariffs[operation]):
                if tariff.payer != "sender":
                    reason = "must be 'sender': a biller gets the whole amount"
                    raise Fault(reason, "tariffs", operation, index, "payer")
            for _, product in self._placed_products():
                self._refuse_below(product.max_minor, operation, f"max_minor of {product.code}")

    def _refuse_below(self, amount_minor: int, operation: Operation, what: str) -> None:
        for index, tariff in enumerate(self.tariffs[operation]):
            if tariff.most_minor < amount_minor:
                reason = f"no band reaches {amount_minor}, {what}"
                raise Fault(reason, "tariffs", operation, index, "bands")

    def _refuse_odd_products(self) -> None:
        codes: Counter[str] = Counter()
        shortcuts = Counter(self.retired_shortcuts)
        for place, product in self._placed_products():
            codes[product.code] += 1
            shortcuts[product.shortcut or ""] += product.shortcut is not None
            if codes[product.code] > 1:
                raise Fault("another product has this code", *place, "code")
            if shortcuts[product.shortcut or ""] > 1:
                reason = "is in use or was retired: printed codes keep their use"
                raise Fault(reason, *place, "shortcut")
            if product.step_minor % self.currency.minor_per_major:
                # This family writes amounts in whole currency units.
                raise Fault(f"must be whole {self.currency.code}", *place, "step_minor")

    def _placed_products(self) -> Iterator[tuple[Place, Product]]:
        for code, biller in self.billers.items():
            for index, product in enumerate(biller.products):
                yield ("billers", code, "products", index), product
