"""The till of one biller: what it sold, what it undid, and what it will never sell.

1. A reference is sold at most once: looking for it, judging the order and writing the sale happen
   under one lock.
2. A sale is on disk before any answer speaks of it, so a killed biller still knows what it sold.
   So is a sale that was undone, and a reference that was barred.
3. What becomes of a pending transaction is decided when it is formed, and told from its time on.
4. A fault that decides an outcome is used up by a new reference only.
"""

import secrets
import threading
import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sandbox import meters
from sandbox.billers import kinds
from sandbox.billers.transactions import (
    SOLD,
    Order,
    Transaction,
    from_record,
    record_of,
    shown,
    written,
)
from sandbox.faults import Fault, FaultBook
from sandbox.journal import Journal, Record, iso

DEPOSIT = Decimal(1_000_000_000)  # major units that we have prefunded
FOREVER = 1e12  # epoch seconds
BAD_TOKEN = "9" * 20
_OUTCOMES = (*kinds.OUTCOMES, *kinds.DUPLICATE_STAN)
_REFUSALS = ("refuse", "late_refusal")
_TOKENS_GIVEN = {"two_tokens": 2, "three_tokens": 3}


class NotFormedError(Exception):
    """Nothing was formed, and nothing is kept: a later try may succeed."""


class NoDepositError(NotFormedError):
    """Our deposit is too small for this."""


class BarredError(Exception):
    """This reference was reversed before it arrived; it is never sold."""


@dataclass(frozen=True)
class Sale:
    """What the till says to an order: the transaction, and the faults that came with a new one."""

    transaction: Transaction
    new: bool
    outcome: str = ""
    webhook: Fault | None = None


class Till:
    """The sales of one biller; safe for threads."""

    def __init__(self, code: str, journal: Journal, faults: FaultBook) -> None:
        self._target = f"biller:{code}"
        self._journal = journal
        self._faults = faults
        self._lock = threading.RLock()
        self._transactions: dict[str, Transaction] = {}
        self._of_customers: dict[tuple[str, str], list[str]] = {}
        self._by_fact: dict[tuple[str, str], str] = {}
        self._barred: set[str] = set()
        self._called_duplicate: dict[str, int] = {}  # reference → clearings while it counts
        self._saldo = DEPOSIT
        for record in journal.records():
            self._remember(record)

    def find(self, ref_id: str) -> Transaction | None:
        with self._lock:
            return self._transactions.get(ref_id)

    def find_by_fact(self, name: str, value: str) -> Transaction | None:
        """By one of the facts of its order, if no other has the same."""
        with self._lock:
            ref_id = self._by_fact.get((name, value))
            return self._transactions[ref_id] if ref_id else None

    def sell(self, order: Order) -> Sale:
        """Sell, or find what became of the first order of this reference.

        Raises NotFormedError and BarredError.
        """
        with self._lock:
            if order.ref_id in self._barred:
                raise BarredError
            first = self._transactions.get(order.ref_id)
            return self._form(order) if first is None else Sale(first, new=False)

    def undo(self, ref_id: str) -> None:
        """The sale is taken back; it stays known. Nothing for one that is undone already."""
        with self._lock:
            done = self._transactions[ref_id]
            if not done.undone_at:
                self._write({"undone": ref_id, "at": time.time()})

    def bar(self, ref_id: str) -> bool:
        """Never sell this reference. False when it is known, and nothing was barred."""
        with self._lock:
            if ref_id in self._transactions:
                return False
            if ref_id not in self._barred:
                self._write({"barred": ref_id, "at": time.time()})
            return True

    def is_called_duplicate(self, ref_id: str) -> bool:
        """Whether a fault makes every further request of this reference a duplicate."""
        return self._called_duplicate.get(ref_id) == self._faults.clearings

    def paid(self, sku: str, customer_no: str, since: float) -> Decimal:
        """What this customer has paid for this since then."""
        now = time.time()
        with self._lock:
            refs = self._of_customers.get((sku, customer_no), ())
            found = [self._transactions[ref] for ref in refs]
        paid = (one.amount for one in found if one.at >= since and one.rc_at(now) == SOLD)
        return sum(paid, Decimal(0))

    def sales(self) -> list[dict[str, Any]]:
        """What was really sold by now and not undone, oldest first; tokens are plain digits."""
        now = time.time()
        sold = [one for one in self._all() if one.rc_at(now) == SOLD]
        return [shown(one) for one in sorted(sold, key=lambda one: one.final_at)]

    def undone(self) -> list[dict[str, Any]]:
        """What had been sold and was undone, in the order of undoing."""
        undone = [one for one in self._all() if one.was_undone]
        return [
            {**shown(one), "undone_at": iso(one.undone_at)}
            for one in sorted(undone, key=lambda one: one.undone_at)
        ]

    def _all(self) -> list[Transaction]:
        with self._lock:
            return list(self._transactions.values())

    def _form(self, order: Order) -> Sale:
        rc = order.judge()
        if rc == SOLD and order.prefunded and order.amount > self._saldo:
            raise NoDepositError
        outcome = self._take(_OUTCOMES)
        if outcome and outcome.kind == "not_formed":
            raise NotFormedError
        webhook = self._take(tuple(kinds.WEBHOOKS))
        if rc == SOLD and outcome and outcome.kind in _REFUSALS:
            rc = order.refused
        self._write(record_of(self._decided(order, rc, _wait(order, outcome, webhook))))
        formed = self._transactions[order.ref_id]
        kind = outcome.kind if outcome else ""
        if kind == "refuse_after_lost_reply":
            self._called_duplicate[order.ref_id] = self._faults.clearings
        return Sale(formed, new=True, outcome=kind, webhook=webhook)

    def _decided(self, order: Order, rc: str, wait: float) -> Transaction:
        now = time.time()
        sold = rc == SOLD
        return Transaction(
            ref_id=order.ref_id,
            customer_no=order.customer_no,
            sku=order.sku,
            amount=order.amount,
            rc=rc,
            at=now,
            pending_until=min(now + wait, FOREVER) if wait else 0.0,
            saldo=self._saldo - order.amount if sold else self._saldo,
            tokens=self._new_tokens() if sold and order.gives_token else (),
            receipt=f"{secrets.randbelow(10**16):016d}" if sold else "",
            facts=order.facts,
        )

    def _new_tokens(self) -> tuple[str, ...]:
        fault = self._take(tuple(kinds.TOKENS))
        if fault and fault.kind == "bad_token":
            return (BAD_TOKEN,)
        count = _TOKENS_GIVEN[fault.kind] if fault else 1
        return tuple(meters.new_token() for _ in range(count))

    def _take(self, wanted: tuple[str, ...]) -> Fault | None:
        return self._faults.take(self._target, wanted, "transaction")

    def _write(self, record: Record) -> None:
        self._journal.append({name: _plain(value) for name, value in record.items()})
        self._remember(record)

    def _remember(self, record: Record) -> None:
        if "barred" in record:
            self._barred.add(record["barred"])
            return
        if "undone" in record:
            done = self._transactions[record["undone"]]
            self._transactions[done.ref_id] = replace(done, undone_at=record["at"])
            self._saldo += done.amount if done.rc == SOLD else 0
            return
        formed = from_record(record)
        self._transactions[formed.ref_id] = formed
        self._of_customers.setdefault((formed.sku, formed.customer_no), []).append(formed.ref_id)
        self._by_fact |= dict.fromkeys(formed.facts.items(), formed.ref_id)
        self._saldo -= formed.amount if formed.rc == SOLD else 0


def _wait(order: Order, outcome: Fault | None, webhook: Fault | None) -> float:
    """Seconds until the outcome is known."""
    if outcome and outcome.kind == "pending_forever":
        return FOREVER
    if outcome and outcome.kind in ("late_success", "late_refusal"):
        return outcome.seconds
    return 0.0 if webhook and webhook.kind == "early_webhook" else order.wait


def _plain(value: object) -> object:
    return written(value) if isinstance(value, Decimal) else value
