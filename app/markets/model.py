"""L1: the shape of a market file, checked when it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from pydantic import Field, model_validator

from app.errors import DomainError
from app.markets.billers import BILLS, Biller, Product, ShortcutNumber
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
from app.markets.tables import Code, Fault, Minor, Seconds, Table, written
from app.markets.tariffs import Operation, Tariff, refuse_disorder
from app.money import Currency

ServiceCode = Annotated[str, written(r"\*\d+(\*\d+)*#", "of the form *384*123#")]
HIGHEST_PRICED: tuple[Operation, ...] = ("send", "voucher", "cash_in", "cash_out")


class CurrencyTable(Table):
    code: Annotated[str, written(r"[A-Z]{3}", "an ISO 4217 code such as KES")]
    exponent: int = Field(ge=0, le=3)


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
        return self._began(self.tariffs[operation], at)

    def _began(self, lists: Sequence[Tariff], at: datetime) -> Tariff:
        today = at.astimezone(self.zone).date()
        began = [one for one in lists if one.effective_from <= today]
        if not began:
            raise DomainError("not_offered_yet")
        return began[-1]

    def bill_tariff(self, biller: str, operation: Operation, at: datetime) -> Tariff:
        """The price list of a biller's bills: its own where it has one, else the market's.

        Raises DomainError `not_offered_yet` before the first.
        """
        own = self.billers[biller].tariffs.get(operation)
        return self._began(own or self.tariffs[operation], at)

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
        self._refuse_odd_accounts()
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
            refuse_disorder(self.tariffs[operation], "tariffs", operation)
        most = max(tier.per_transaction_minor for tier in self.tiers.values())
        for operation in HIGHEST_PRICED:
            self._refuse_below(most, operation, "the largest per_transaction_minor")
        for operation in BILLS:
            self._refuse_payer(self.tariffs[operation], "tariffs", operation)
            for place, product in self._placed_products():
                code = str(place[1])
                lists = self.billers[code].tariffs.get(operation)
                what = f"the most for {product.code}"
                if lists is None:
                    self._refuse_below(product.most_minor, operation, what)
                    continue
                own = ("billers", code, "tariffs", operation)
                refuse_disorder(lists, *own)
                self._refuse_payer(lists, *own)
                self._refuse_short(product.most_minor, lists, what, *own)

    def _refuse_payer(self, lists: Sequence[Tariff], *place: str | int) -> None:
        for index, tariff in enumerate(lists):
            if tariff.payer != "sender":
                reason = "must be 'sender': a biller gets the whole amount"
                raise Fault(reason, *place, index, "payer")

    def _refuse_below(self, amount_minor: int, operation: Operation, what: str) -> None:
        lists = self.tariffs[operation]
        self._refuse_short(amount_minor, lists, what, "tariffs", operation)

    def _refuse_short(
        self, amount_minor: int, lists: Sequence[Tariff], what: str, *place: str | int
    ) -> None:
        for index, tariff in enumerate(lists):
            if tariff.most_minor < amount_minor:
                reason = f"no band reaches {amount_minor}, {what}"
                raise Fault(reason, *place, index, "bands")

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
            self._refuse_service_code(place, product)
            self._refuse_unaffordable(place, product)
            self._refuse_parts_of_units(place, product)
            for language in self.languages:
                if language not in product.customer.hint:
                    raise Fault(f"has none in {language!r}", *place, "customer", "hint")

    def _refuse_service_code(self, place: Place, product: Product) -> None:
        """`*384*123*51*…` is either a code of ours or a product's shortcut, not both."""
        for code in self.service_codes if product.shortcut else ():
            longer = code.removesuffix("#") + f"*{product.shortcut}"
            for other in self.service_codes:
                if f"{other.removesuffix('#')}*".startswith(f"{longer}*"):
                    raise Fault(f"is dialled as the service code {other}", *place, "shortcut")

    def _refuse_unaffordable(self, place: Place, product: Product) -> None:
        most = max(tier.per_transaction_minor for tier in self.tiers.values())
        if product.least_minor > most:
            key = "price_minor" if product.price_minor else "min_minor"
            raise Fault(f"no tier may pay more than {most} at once", *place, key)

    def _refuse_odd_accounts(self) -> None:
        """Billers that share credentials are one account: one provider, and each sku once."""
        owners = {code: code for code, one in self.billers.items() if one.credentials is None}
        for code, biller in self.billers.items():
            other = owners.setdefault(biller.credentials or code, code)
            provider = biller.family.partition("_")[0]
            if provider != self.billers[other].family.partition("_")[0]:
                reason = f"{other} has these credentials too, and speaks another family"
                raise Fault(reason, "billers", code, "credentials")
        skus: set[tuple[str, str]] = set()
        for place, product in self._placed_products():
            code = str(place[1])
            sku = (self.billers[code].credentials or code, product.sku)
            if sku in skus:
                raise Fault("another product of this account has this sku", *place, "sku")
            skus.add(sku)

    def _refuse_parts_of_units(self, place: Place, product: Product) -> None:
        """Some families write amounts in whole currency units."""
        if not self.billers[str(place[1])].traits.whole_units:
            return
        key = "price_minor" if product.price_minor else "step_minor"
        in_steps = product.price_minor or product.step_minor
        if in_steps % self.currency.minor_per_major and product.pay != "exact":
            raise Fault(f"must be whole {self.currency.code}", *place, key)

    def _placed_products(self) -> Iterator[tuple[Place, Product]]:
        for code, biller in self.billers.items():
            for index, product in enumerate(biller.products):
                yield ("billers", code, "products", index), product
