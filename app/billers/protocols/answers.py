"""What every wire family is asked, and the only things it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from app.markets.billers import Product


class Outcome(StrEnum):
    """`REFUSED`: the biller's record of our reference says failed. `REFUSED_FIRST`: a refusal only
    as the answer to the very first request; later it judges the repetition and is unknown.
    `ABSENT`: the biller says that it never had our reference, which alone decides nothing.
    """

    PAID = "paid"
    REFUSED = "refused"
    REFUSED_FIRST = "refused_first"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """One purchase; `biller_ref` is the same however often it is sent.

    `bill_ref` is the biller's own name for the inquiry that it follows, `biller_txn` for the
    transaction, as far as it has told them. `serial` counts our payments, for wires that number
    their messages; `request` counts the requests about this one, the present one included.
    `first_sent_at` is None only in what was never sent.
    """

    biller_ref: str
    sku: str
    customer_no: str
    amount_minor: int
    sells_token: bool = True
    owes: bool = False
    bill_ref: str = ""
    biller_txn: str = ""
    serial: int = 0
    request: int = 1
    first_sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request told us. `code` is the biller's own, `reason` a constant name of ours.

    `in_format` says that the biller itself spoke, so its breaker need not count a failure.
    `receipt_no` is the biller's own for a sale, `biller_txn` its name for the transaction.
    """

    outcome: Outcome
    reason: str
    code: str = ""
    in_format: bool = False
    tokens: tuple[str, ...] = ()
    deposit_minor: int | None = None
    receipt_no: str = ""
    biller_txn: str = ""


# What answers another question, or none: it need not be the biller who spoke.
ANYBODYS = ("other_reference", "body_foreign")


def about_another(answer: Answer, other: str) -> Answer:
    """The same answer where it is about `other` than was ordered: nobody knows what it means.

    The tokens of a sale of another amount are kept, for staff.
    """
    unknown = Answer(Outcome.UNKNOWN, other, answer.code, in_format=other not in ANYBODYS)
    return replace(unknown, tokens=answer.tokens) if other == "other_amount" else unknown


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: a month that is open, or what a school asks for; minor units.

    `label` is a month as `08/2026`, or the biller's words. The penalty is beside the amount.
    """

    label: str
    amount_minor: int
    penalty_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.amount_minor + self.penalty_minor


@dataclass(frozen=True, slots=True)
class Bill:
    """What the biller says of a customer number: whose it is, and what is owed.

    `owed_minor` None: nothing is owed, as for a prepaid meter, or the biller did not say.
    `bill_ref` is the biller's name for this inquiry, `biller_ref` ours, which the payment keeps.
    `asked_on` is the local day of the inquiry.
    """

    customer_no: str
    name: str
    owed_minor: int | None = None
    lines: tuple[Line, ...] = ()
    bill_ref: str = ""
    biller_ref: str = ""
    asked_on: date | None = None


class InquiryError(Exception):
    """An inquiry that named nobody. `slow`: it ran out of time; `nothing_owed`: no bill is open.

    `in_format`: the biller itself spoke, with `code`, so its breaker need not count a failure.
    """

    def __init__(
        self,
        reason: str,
        *,
        slow: bool = False,
        in_format: bool = False,
        code: str = "",
        nothing_owed: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.slow = slow
        self.in_format = in_format
        self.code = code
        self.nothing_owed = nothing_owed


class WebhookError(Exception):
    """A webhook that is not the biller's, or that cannot be read; `reason` is a constant name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook: about which reference, and what it says of that order.

    `judge` None: its signature does not cover what it says, so the biller must be asked.
    """

    biller_ref: str
    judge: Callable[[Order], Answer] | None = None


class Family(Protocol):
    """A biller's wire. Calls are bounded in time and size, and are made outside transactions."""

    def pay(self, order: Order) -> Answer:
        """Send the purchase for the first time. Never raises for anything the wire does."""

    def follow_up(self, order: Order) -> Answer:
        """End the doubt about an order that may have been sent, by the file's `silence_policy`:
        ask what became of it, advise it once more, or reverse it. Never buys it twice."""

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:
        """Whose number this is and what is owed; None if the biller knows none.

        `biller_ref`: what a payment that follows will be called. Raises InquiryError.
        """

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:
        """Read a webhook. `headers` by their names in small letters. Raises WebhookError."""
