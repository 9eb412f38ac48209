"""The family that is paid by file at the day's end: it watches our folder and answers into its own.

    out/<stem>.csv            ours: what people have paid
    in/<stem>.answer.csv      theirs: which of it they booked, and which not
    in/customers.csv          theirs: who their customers are and what they owe

1. A line is booked once by its reference, whatever file it comes in.
2. What is booked is on disk before the answer is; the answer appears whole or not at all.
3. An answer that was lost or spoiled comes again, rightly, once the faults are cleared.
"""

import csv
import io
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.family import Biller, World
from sandbox.billers.kinds import BATCHES
from sandbox.billers.transactions import SOLD, Order, Transaction
from sandbox.faults import Fault

GLANCE_SECONDS = 0.2
REFUSED, BAD_AMOUNT, NO_CUSTOMER = "CLOSED", "AMOUNT", "UNKNOWN"
_MOST_CUSTOMERS = 200
_NONSENSE = "Dear customer, our new fee structure is attached.\n"
_SPOILING = ("wrong_body", "malformed", "wrong_amount", "lost_reply")
_log = logging.getLogger(__name__)

Row = tuple[str, ...]


class BatchError(Exception):
    """A file of ours that cannot be booked; the text says why."""


@dataclass(frozen=True)
class Payment:
    """A line of our file."""

    ref: str
    customer_no: str
    amount: Decimal
    sku: str


class Batches(Biller):
    """A biller that takes files."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._ours, self._theirs = Path(account.folder) / "out", Path(account.folder) / "in"
        self._done = self._inquiries(world)
        self._left: dict[str, int] = {}  # stem → the clearing until which it is left
        self._listed: dict[str, Product] = {}
        self._changed = world.changed
        self._decimals = world.country.exponent

    def open(self) -> None:
        """Make the folders, tell who our customers are, and watch from now on."""
        for folder in (self._ours, self._theirs):
            folder.mkdir(parents=True, exist_ok=True)
        self._listed = _numbered(self.account.products)
        self._list_customers()
        threading.Thread(target=self._watch, daemon=True, name=f"files-{self.code}").start()

    def _watch(self) -> None:
        day = self.customers.today()
        while True:
            for path in sorted(self._ours.glob("*.csv")):
                self._glance(path)
            if day != self.customers.today():
                day = self.customers.today()
                self._list_customers()
            time.sleep(GLANCE_SECONDS)

    def _glance(self, path: Path) -> None:
        waiting = self._left.get(path.stem) == self.faults.clearings
        if waiting or (path.stem not in self._left and self._done.get(path.stem)):
            return
        fault = self.faults.take(self.target, tuple(BATCHES), "transaction")
        self._left.pop(path.stem, None)
        if fault and (fault.kind == "no_answer" or fault.kind in _SPOILING):
            self._left[path.stem] = self.faults.clearings
        try:
            self._book(path, fault)
        except (BatchError, OSError) as error:
            _log.warning("%s is left lying: %s", path.name, error)
            self._left[path.stem] = self.faults.clearings

    def _book(self, path: Path, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "no_answer":
            return
        if kind == "slow" and fault:
            time.sleep(fault.seconds)
        batch, payments = read_batch(path.read_text(encoding="utf-8"))
        booked: list[Transaction] = []
        if kind != "wrong_body":
            kept = payments[1:] if kind == "missing_line" else payments
            booked = [self._sold(one, whim=kind == "refuse") for one in kept]
        if kind != "lost_reply":
            self._answer(path.stem, _spoiled(self._written(batch, booked), kind))
        self._list_customers()
        self._done.keep(path.stem, {"batch": batch})
        self._changed(self.code)

    def _sold(self, payment: Payment, *, whim: bool) -> Transaction:
        order = Order(
            ref_id=payment.ref,
            customer_no=payment.customer_no,
            sku=payment.sku,
            amount=payment.amount,
            refused=REFUSED,
            judge=lambda: REFUSED if whim else self._judged(payment),
            prefunded=False,
        )
        return self.till.sell(order).transaction

    def _judged(self, payment: Payment) -> str:
        product = self.account.product(payment.sku)
        if product is None or self._listed.get(payment.customer_no) != product:
            return NO_CUSTOMER
        owed = self.customers.owes(product, payment.customer_no)
        too_much = product.pay in ("exact", "partial") and payment.amount > owed
        return BAD_AMOUNT if too_much or payment.amount <= 0 else SOLD

    def _written(self, batch: str, booked: Sequence[Transaction]) -> list[Row]:
        lines = [self._line(one) for one in booked]
        total = sum((one.amount for one in booked if one.rc == SOLD), Decimal(0))
        end = ("T", str(len(lines)), self._amount(total))
        return [("H", self.code, batch), *lines, end]

    def _line(self, done: Transaction) -> Row:
        said = ("ACCEPTED", done.receipt) if done.rc == SOLD else ("REJECTED", done.rc)
        return ("A", done.ref_id, self._amount(done.amount), *said)

    def _amount(self, amount: Decimal) -> str:
        return f"{amount:.{self._decimals}f}"

    def _answer(self, stem: str, text: str) -> None:
        _put(self._theirs / f"{stem}.answer.csv", text)

    def _list_customers(self) -> None:
        rows: list[Row] = [("customer_no", "name", "owed")]
        for number, product in self._listed.items():
            owed = self._amount(self.customers.owes(product, number)) if product.owes else ""
            rows.append((number, self.customers.name(number), owed))
        _put(self._theirs / "customers.csv", _csv(rows))


def read_batch(text: str) -> tuple[str, list[Payment]]:
    """The batch's name and its payments. Raises BatchError."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(rows) < 2 or rows[0][0] != "H" or len(rows[0]) != 6 or rows[-1][0] != "T":
        raise BatchError("it does not begin with H and end with T")
    payments = [_payment(row) for row in rows[1:-1]]
    total = sum((one.amount for one in payments), Decimal(0))
    if not _tells(rows[-1], len(payments), total):
        raise BatchError("its last line tells another count or total")
    return rows[0][3], payments


def _tells(end: Sequence[str], count: int, total: Decimal) -> bool:
    """Whether the last line has this count and total."""
    if len(end) != 3 or end[1] != str(count):
        return False
    try:
        return Decimal(end[2]) == total
    except InvalidOperation:
        return False


def _payment(row: Sequence[str]) -> Payment:
    if len(row) != 6 or row[0] != "D":
        raise BatchError(f"this is no line of a payment: {','.join(row)}")
    try:
        return Payment(row[1], row[2], Decimal(row[3]), row[5])
    except InvalidOperation:
        raise BatchError(f"this is no amount: {row[3]}") from None


def _spoiled(rows: list[Row], kind: str) -> str:
    if kind == "wrong_body":
        return _NONSENSE
    if kind == "wrong_amount" and len(rows) > 2:
        first = rows[1]
        rows = [rows[0], (*first[:2], str(Decimal(first[2]) + 1), *first[3:]), *rows[2:]]
    text = _csv(rows)
    return text[: len(text) // 2] if kind == "malformed" else text


def _numbered(products: Sequence[Product]) -> dict[str, Product]:
    """Which customer numbers there are: 1 and so many digits for each product in turn."""
    listed: dict[str, Product] = {}
    for index, product in enumerate(products):
        first = 10 ** (product.digits - 1) + index * _MOST_CUSTOMERS
        numbers = (str(first + n) for n in range(1, _MOST_CUSTOMERS + 1))
        listed |= {number: product for number in numbers if not number.endswith("9")}
    return listed


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _put(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees a part of it."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
