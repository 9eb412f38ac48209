"""What a biller knows of its customers: who exists, what they are called, what they owe.

All of it follows from the customer number and the month, so that a demo needs no list and two
runs agree. What was paid this month is owed no more; next month there is a new bill.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sandbox import meters
from sandbox.billers.accounts import Product
from sandbox.billers.till import Till

# The public test numbers of Digiflazz and IAK → whether such a sale succeeds, and whether at once.
TEST_NUMBERS = {
    "087800001230": (True, False),
    "087800001232": (False, False),
    "087800001233": (True, True),
    "087800001234": (False, True),
}
TEST_PENDING_SECONDS = 1.0
_NUMBER = re.compile(r"\+?[0-9A-Za-z][0-9A-Za-z/-]{1,18}[0-8A-Za-z]", re.ASCII)
_PHONE = re.compile(r"\+?[0-9]{9,15}", re.ASCII)
_PAID_UP = "08"
_SCALES = {"ID": 100}  # of amounts, beside those of Kenya
_PENALTY_PART = 20

# Category → what its bill is made of: a name, the least of it and its step.
_LINES: dict[str, tuple[tuple[str, int, int], ...]] = {
    "school": (("Tuition", 600, 4), ("Meals", 100, 1), ("Bus", 80, 1)),
    "health": (("Consultation", 100, 1), ("Medicine", 50, 2)),
    "insurance": (("Premium", 200, 2),),
    "government": (("Permit", 150, 3),),
    "tv": (("Subscription", 200, 1),),
}
_MONTHLY = ("electricity", "water")


@dataclass(frozen=True, kw_only=True)
class Country:
    """Where a biller is: its region, its time zone, its currency and how many decimals that has."""

    region: str
    timezone: str
    currency: str
    exponent: int


@dataclass(frozen=True)
class Line:
    """One line of a bill, in major units; `period` like 202608, or empty."""

    name: str
    period: str
    amount: Decimal
    penalty: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.amount + self.penalty


class Customers:
    """The customers of one biller."""

    def __init__(self, till: Till, country: Country) -> None:
        self._till = till
        self._zone = ZoneInfo(country.timezone)
        self.region = country.region
        self.currency = country.currency

    def today(self) -> date:
        """The biller's local day."""
        return datetime.now(self._zone).date()

    def exists(self, product: Product, customer_no: str) -> bool:
        if product.luhn:
            return meters.exists(customer_no)
        if product.category == "data":
            return _PHONE.fullmatch(customer_no) is not None
        return _NUMBER.fullmatch(customer_no) is not None

    def name(self, customer_no: str) -> str:
        return meters.owner(customer_no, self.region)

    def owed(self, product: Product, customer_no: str) -> tuple[Line, ...]:
        """The lines that are open now, the oldest first; none when all is paid."""
        if not product.owes:
            return ()
        first = datetime.now(self._zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        lines = bill(product.category, customer_no, first.date(), self.region)
        return _after(lines, self._till.paid(product.sku, customer_no, first.timestamp()))

    def owes(self, product: Product, customer_no: str) -> Decimal:
        return total(self.owed(product, customer_no))


def total(lines: tuple[Line, ...]) -> Decimal:
    return sum((line.total for line in lines), Decimal(0))


def bill(category: str, customer_no: str, month: date, region: str) -> tuple[Line, ...]:
    """The whole bill of a customer as it stands in that month, before anything is paid."""
    if customer_no.endswith(_PAID_UP):
        return ()
    seed = hashlib.sha256(f"bill {category} {customer_no}".encode()).digest()
    scale = _SCALES.get(region, 1)
    if category in _MONTHLY:
        return _months(seed, month, scale)
    lines = _LINES.get(category, (("Bill", 150, 2),))
    period = f"{month:%Y%m}" if category == "insurance" else ""
    return tuple(
        Line(name, period, Decimal((least + seed[index] * step) * scale))
        for index, (name, least, step) in enumerate(lines)
    )


def _months(seed: bytes, month: date, scale: int) -> tuple[Line, ...]:
    """One to three months before this one; all but the last of them are overdue."""
    count = 1 + seed[0] % 3
    lines = []
    for back in range(count, 0, -1):
        amount = (120 + seed[back] * 2) * scale
        penalty = amount // _PENALTY_PART if back > 1 else 0
        period = _month_before(month, back)
        lines.append(Line("Bill", period, Decimal(amount), Decimal(penalty)))
    return tuple(lines)


def _month_before(month: date, back: int) -> str:
    months = month.year * 12 + month.month - 1 - back
    return f"{months // 12:04d}{months % 12 + 1:02d}"


def _after(lines: tuple[Line, ...], paid: Decimal) -> tuple[Line, ...]:
    """The lines that are left when so much was paid: the oldest first, its penalty last."""
    left = []
    for line in lines:
        part = min(paid, line.total)
        paid -= part
        of_amount = min(part, line.amount)
        rest = replace(
            line, amount=line.amount - of_amount, penalty=line.penalty - (part - of_amount)
        )
        if rest.total:
            left.append(rest)
    return tuple(left)
