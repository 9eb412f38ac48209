"""What a till keeps: an order, and the transaction that was formed of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sandbox.journal import Record, iso

# The till's own words, in every family; all others are the family's, and mean refused.
SOLD, PENDING, UNDONE = "00", "pending", "undone"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be sold. `judge` says SOLD or the family's word of refusal, under the lock.

    `refused` is the family's word for a refusal by whim; `wait` how long it is always pending;
    `prefunded` whether our deposit must suffice.
    """

    ref_id: str
    customer_no: str
    sku: str
    amount: Decimal
    refused: str
    judge: Callable[[], str] = lambda: SOLD
    wait: float = 0.0
    gives_token: bool = False
    prefunded: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One formed transaction: `rc` for ever, but pending before `pending_until`.

    Times are epoch seconds; 0 for one that was never pending or undone, so that a clock set back
    cannot take a final answer away.
    """

    ref_id: str
    customer_no: str
    sku: str
    amount: Decimal
    rc: str
    at: float
    pending_until: float
    saldo: Decimal
    tokens: tuple[str, ...] = ()
    receipt: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    undone_at: float = 0.0

    def rc_at(self, now: float) -> str:
        if self.undone_at:
            return UNDONE
        return self.rc if now >= self.pending_until else PENDING

    @property
    def final_at(self) -> float:
        return max(self.at, self.pending_until)

    @property
    def was_undone(self) -> bool:
        """Whether it had been sold, and was taken back after that."""
        return self.rc == SOLD and self.undone_at > self.pending_until


def written(amount: Decimal) -> int | str:
    """An amount for JSON: a whole number of major units, or text like 12.50."""
    return int(amount) if amount == amount.to_integral_value() else f"{amount:.2f}"


def record_of(formed: Transaction) -> Record:
    names = (
        *("ref_id", "customer_no", "sku", "amount", "rc", "at", "pending_until", "saldo"),
        *("tokens", "receipt", "facts"),
    )
    return {name: getattr(formed, name) for name in names}


def from_record(record: Record) -> Transaction:
    """From its line in the journal; an old one has one token, or an empty one."""
    kept = dict(record)
    token = kept.pop("token", "")
    kept["tokens"] = tuple(kept.get("tokens") or ([token] if token else []))
    kept["amount"], kept["saldo"] = Decimal(kept["amount"]), Decimal(kept["saldo"])
    return Transaction(**kept)


def shown(sale: Transaction) -> dict[str, Any]:
    return {
        "ref_id": sale.ref_id,
        "customer_no": sale.customer_no,
        "sku": sale.sku,
        "amount": written(sale.amount),
        "token": sale.tokens[0] if sale.tokens else "",
        "tokens": list(sale.tokens),
        "receipt": sale.receipt,
        "at": iso(sale.final_at),
    }
