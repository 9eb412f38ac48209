"""L1: a biller in a market file: its wire family, what its codes mean, what it sells.

A new biller of a known family is a table here and nothing else. What could buy twice, or keep
somebody's money for ever, is refused with the reason.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from app.markets.customer_numbers import CustomerNumber
from app.markets.families import DAY_SECONDS, FAMILIES, FamilyName, Pay, Policy, Traits
from app.markets.parties import BankParty
from app.markets.reports import Report
from app.markets.tables import (
    Code,
    Fault,
    LocalTime,
    Seconds,
    Table,
    one_line,
    unlike,
    written,
)
from app.markets.tariffs import Operation, Tariff

# Two digits or more, so that it is no key of a menu.
ShortcutNumber = Annotated[
    str,
    written(r"[1-9]\d{1,3}", "2 to 4 digits, the first no 0"),
    AfterValidator(unlike("98", "98 turns a page and can be no shortcut")),
]
Category = Literal[
    "electricity", "water", "school", "health", "insurance", "tv", "data", "government"
]
CATEGORIES: tuple[Category, ...] = (
    "electricity", "water", "school", "health", "insurance", "tv", "data", "government",
)  # fmt: skip
BILLS: tuple[Operation, ...] = ("bill_payment", "agent_bill")
LONGEST_DOUBT_SECONDS = 30 * DAY_SECONDS
MOST_QUESTIONS = 1000
LARGEST_MINOR = 999_999_999_999  # twelve digits are all that a wire has for an amount
Sku = Annotated[str, written(r"[!-~]{1,20}", "1 to 20 signs without spaces")]
Name = Annotated[str, Field(min_length=1, max_length=20), AfterValidator(one_line)]
AmountMinor = Annotated[int, Field(gt=0, le=LARGEST_MINOR)]


class Product(Table):
    """Something that a biller sells.

    `pay` any: as much as the customer types, from `min_minor` to `max_minor` in steps; fixed:
    `price_minor`; exact: just what is owed; partial: up to what is owed; over: more than that too.
    A sale of a `token` counts only with one that a meter would take.
    """

    code: Code
    sku: Sku
    category: Category
    name: Name
    sells: Literal["token", "service"] = "service"
    inquiry: bool = True
    pay: Pay
    price_minor: AmountMinor | None = None
    min_minor: AmountMinor | None = None
    max_minor: AmountMinor | None = None
    step_minor: int = Field(1, gt=0)
    customer: CustomerNumber
    shortcut: ShortcutNumber | None = None

    @property
    def least_minor(self) -> int:
        return self.price_minor or self.min_minor or 1

    @property
    def most_minor(self) -> int:
        most = self.price_minor or self.max_minor
        assert most is not None, "a checked product has a price or a most"
        return most

    @property
    def owes(self) -> bool:
        """Whether the biller is asked what the customer owes."""
        return self.pay in ("exact", "partial", "over")

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if (self.pay == "fixed") != (self.price_minor is not None):
            raise Fault("is given where pay is 'fixed', and only there", "price_minor")
        if self.pay == "fixed":
            if self.min_minor or self.max_minor:
                raise Fault("a fixed price has no other amounts", "min_minor")
            return self
        for key in ("min_minor", "max_minor"):
            if getattr(self, key) is None:
                raise Fault("is missing", key)
        if self.least_minor > self.most_minor:
            raise Fault("must be at most max_minor", "min_minor")
        if self.least_minor % self.step_minor:
            raise Fault("must be a multiple of step_minor", "min_minor")
        if self.owes and not self.inquiry:
            raise Fault("what is owed is known only by asking", "inquiry")
        return self


class Biller(Table):
    """One biller: its wire family, its codes, its hours, and what to do when it is silent.

    `price_is_amount`: the `price` in its answers is what the customer pays, and another one leaves
    the outcome unknown; false where a biller tells there what it takes from our deposit.

    `refused_codes`: the biller's record of our reference says that nothing was sold; a transaction
    was formed and has failed. `refused_first_codes` form no transaction: a refusal as the answer
    to the very first request only. Every other code leaves the outcome unknown.
    """

    family: FamilyName
    name: Name
    credentials: Code | None = None
    inquiry_timeout_seconds: float = Field(ge=0.1, le=2)
    timeout_seconds: float = Field(ge=0.1, le=20)  # a worker's claim lasts 30 s and must outlive it
    refused_codes: tuple[str, ...] = Field(min_length=1)
    refused_first_codes: tuple[str, ...] = ()
    silence_policy: Policy
    when_absent: Literal["ask_again", "buy_again"] = "ask_again"
    ask_after_seconds: tuple[Seconds, ...] = Field(min_length=1)
    ask_horizon_seconds: Seconds
    manual_after_seconds: Seconds
    same_day: bool = False
    price_is_amount: bool = True
    opens: LocalTime | None = None
    cut_off: LocalTime | None = None
    concurrency: int = Field(ge=1, le=256)
    breaker_failures: int = Field(ge=1, le=100)
    breaker_open_seconds: int = Field(ge=1, le=3600)
    tariffs: dict[Operation, tuple[Tariff, ...]] = Field(default_factory=dict)
    report: Report | None = None
    payee: BankParty | None = None
    products: tuple[Product, ...] = Field(min_length=1)

    @property
    def traits(self) -> Traits:
        return FAMILIES[self.family]

    @model_validator(mode="after")
    def _never_buys_twice(self) -> Self:
        traits = self.traits
        if self.silence_policy not in traits.policies:
            known = " or ".join(repr(one) for one in traits.policies)
            raise Fault(f"this family knows {known} only", "silence_policy")
        for key in ("refused_codes", "refused_first_codes"):
            self._refuse_codes(key, traits)
        if set(self.refused_codes) & set(self.refused_first_codes):
            raise Fault("a code stands in refused_codes too", "refused_first_codes")
        if self.when_absent == "buy_again" and not traits.repeats_safely:
            raise Fault("this family could sell one reference twice", "when_absent")
        if not self.price_is_amount and not traits.price_may_be_cost:
            reason = "must be true: this family's answers name what the customer pays"
            raise Fault(reason, "price_is_amount")
        if traits.same_day and not self.same_day:
            reason = "must be true: past midnight this family knows the inquiry no more"
            raise Fault(reason, "same_day")
        return self

    def _refuse_codes(self, key: str, traits: Traits) -> None:
        codes = getattr(self, key)
        form, like = traits.codes
        for code in codes:
            if not re.fullmatch(form, code, re.ASCII):
                raise Fault(f"{code!r} is no code of this family; they are like {like}", key)
        if set(codes) & (traits.sold | traits.pending):
            raise Fault("a pending or successful code cannot mean refused", key)
        judging = sorted(set(codes) & traits.judges_repetition)
        if judging:
            reason = f"{judging[0]}, a duplicate reference, says nothing about the first request"
            raise Fault(reason, key)
        fleeting = sorted(set(codes) & (traits.forms_nothing | traits.absent))
        if fleeting and key == "refused_codes":
            reason = (
                f"{fleeting[0]} forms no transaction, so it may judge a repeated request and not "
                "the first; it belongs to refused_first_codes"
            )
            raise Fault(reason, key)

    @model_validator(mode="after")
    def _ends(self) -> Self:
        # Asking a Digiflazz-like biller IS sending the purchase again; past its horizon the
        # same reference buys anew, so our asking must have ended long before.
        if self.manual_after_seconds >= self.ask_horizon_seconds:
            raise Fault("must end before ask_horizon_seconds", "manual_after_seconds")
        anew = self.traits.buys_anew_seconds
        if anew is not None and self.ask_horizon_seconds > anew - DAY_SECONDS:
            days = anew // DAY_SECONDS
            reason = f"after {days} days asking buys again; must end a day before that"
            raise Fault(reason, "ask_horizon_seconds")
        if self.manual_after_seconds > LONGEST_DOUBT_SECONDS:
            raise Fault("keeps people's money longer than 30 days", "manual_after_seconds")
        if self.manual_after_seconds <= self.ask_after_seconds[0]:
            raise Fault("ends before the biller is asked once", "manual_after_seconds")
        return self

    @model_validator(mode="after")
    def _asks_within_reason(self) -> Self:
        longest = self.manual_after_seconds
        if longest // self.ask_after_seconds[-1] > MOST_QUESTIONS:
            reason = f"its last step asks more than {MOST_QUESTIONS} times until all is manual"
            raise Fault(reason, "ask_after_seconds")
        if self.when_absent == "buy_again" and longest > DAY_SECONDS:
            reason = "with buy_again at most a day: later the biller may have forgotten a sale"
            raise Fault(reason, "manual_after_seconds")
        if self.silence_policy == "wait" and longest < DAY_SECONDS:
            raise Fault("must leave the biller a day for its answer file", "manual_after_seconds")
        return self

    @model_validator(mode="after")
    def _has_hours(self) -> Self:
        if self.family == "file" and self.cut_off is None:
            raise Fault("is missing: the day's file is written then", "cut_off")
        if self.family == "file" and self.opens is not None:
            raise Fault("a biller that is paid by file takes payments at any time", "opens")
        if self.family != "file" and (self.opens is None) != (self.cut_off is None):
            raise Fault("opens and cut_off belong together", "opens")
        if self.opens is not None and self.cut_off is not None and self.opens >= self.cut_off:
            raise Fault("must be before cut_off", "opens")
        return self

    @model_validator(mode="after")
    def _sells_what_it_can(self) -> Self:
        for index, product in enumerate(self.products):
            self._refuse_product(product, self.traits, "products", index)
        for operation in self.tariffs:
            if operation not in BILLS:
                raise Fault("is no price of a bill", "tariffs", operation)
        return self

    def _refuse_product(self, product: Product, traits: Traits, *place: str | int) -> None:
        if product.pay not in traits.pays:
            known = ", ".join(traits.pays)
            raise Fault(f"this family takes {known} only", *place, "pay")
        if traits.needs_inquiry and not product.inquiry:
            raise Fault("this family pays only what was inquired", *place, "inquiry")
        if product.inquiry and traits.inquires and product.category not in traits.inquires:
            known = " and ".join(traits.inquires)
            raise Fault(f"this family knows the names of {known} only", *place, "inquiry")
        if product.sells == "token" and not traits.sells_tokens:
            raise Fault("this family sells no tokens", *place, "sells")
        if len(product.sku) > traits.sku_most:
            reason = f"must have at most {traits.sku_most} characters in this family"
            raise Fault(reason, *place, "sku")
