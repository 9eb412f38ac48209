"""What every wire family is asked, and the only things it may answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """`REFUSED`: the biller's record of our reference says failed. `REFUSED_FIRST`: a refusal only
    as the answer to the very first request; later it judges the repetition and is unknown."""

    PAID = "paid"
    REFUSED = "refused"
    REFUSED_FIRST = "refused_first"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """One purchase; `biller_ref` is the same however often it is sent."""

    biller_ref: str
    sku: str
    customer_no: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request told us. `code` is the biller's own, `reason` a constant name of ours.

    `in_format` says that the biller itself spoke, so its breaker need not count a failure.
    """

    outcome: Outcome
    reason: str
    code: str = ""
    in_format: bool = False
    tokens: tuple[str, ...] = ()
    deposit_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Who the biller says a customer number belongs to."""

    customer_no: str
    name: str


class InquiryError(Exception):
    """An inquiry that named nobody. `slow`: it ran out of time.

    `in_format`: the biller itself spoke, with `code`, so its breaker need not count a failure.
    """

    def __init__(
        self, reason: str, *, slow: bool = False, in_format: bool = False, code: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.slow = slow
        self.in_format = in_format
        self.code = code


class Family(Protocol):
    """A biller's wire. Calls are bounded in time and size, and are made outside transactions."""

    def pay(self, order: Order) -> Answer:
        """Send the purchase for the first time. Never raises for anything the wire does."""

    def ask(self, order: Order) -> Answer:
        """Find out what became of an order that may have been sent. Never buys it twice."""

    def inquire(self, customer_no: str) -> Customer | None:
        """Whose number this is, None if the biller knows none. Raises InquiryError."""
