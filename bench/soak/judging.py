"""What the sandbox sold beside what the ledger captured, one to one; and what people were told.

1. A sale of the sandbox is one captured payment of the same reference, customer, amount and tokens,
   and the ledger moved that amount to the biller, once.
2. A sale that was undone is `returned`, its amount in suspense; or it was never captured. Where the
   biller's word is not signed nobody has heard of it: such a one waits for the biller's daily file.
3. What was not sold is given back. Nothing is `paid_late`.
4. A hold is left of `manual` payments only, and no more of those are there than faults that leave
   a doubt for ever.
5. Each payment has one final SMS, which says what became of it and the amount; and one more where
   the biller took the sale back.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.runtime import Runtime
from app.wallet import ledger
from bench.soak.purchases import Purchase
from tests.world import World

SHOWN_MOST = 20
FINAL = re.compile(
    r"(?P<paid>^Paid KES (?P<amount>[\d,.]+) )|(?P<back> was not paid\. |cancelled\. )"
    r"|(?P<manual>^We are checking )|(?P<taken> took back your payment )"
)
REFERENCE = re.compile(r"\b[Rr]ef ([0-9A-HJKMNP-TV-Z]{8})\b")
SAID_OF = {
    "captured": ["paid"], "returned": ["paid", "taken"], "released": ["back"],
    "cancelled": ["back"], "manual": ["manual"],
}  # fmt: skip
# Faults after which a biller never says anything that counts.
DOUBTFUL = ("pending_forever", "bad_token", "refuse_after_lost_reply")

_PAYMENTS = text("""
    SELECT p.reference, p.biller, p.biller_ref, p.serial, p.state, p.product, p.customer_no,
           p.amount_minor, p.tokens, h.state AS hold, m.state AS message,
           extract(epoch FROM p.settled_at - p.created_at)::float AS seconds
    FROM payments p JOIN holds h ON h.id = p.hold_id
    LEFT JOIN messages m ON m.subject = p.id AND m.kind IN (
        'payment_paid', 'payment_refused', 'payment_manual', 'payment_cancelled')
""")
# What the ledger itself says that a biller got for a payment.
_CAPTURES = text("""
    SELECT p.reference, a.kind, m.amount_minor FROM postings p
    JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
    JOIN accounts a ON a.id = m.credit
    WHERE p.kind = 'bill_payment' AND a.kind LIKE 'settlement:%'
""")


@dataclass
class Verdict:
    """What was found. `faults` must not be; `unheard` was undone by a biller that cannot say so."""

    faults: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def check(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


@dataclass(frozen=True)
class Seconds:
    """From the first confirmation until all had left for their billers, and until all was over."""

    paying: float
    whole: float


@dataclass(frozen=True)
class Sold:
    """What the sandbox says that it sold, and what it undid, by biller and reference."""

    sales: dict[tuple[str, str], dict[str, Any]]
    undone: dict[tuple[str, str], dict[str, Any]]


def judge(
    world: World, parts: Runtime, bought: Sequence[Purchase], *, seed: int, seconds: Seconds
) -> Verdict:
    """Compare everything, and say how quick it was."""
    verdict = Verdict()
    payments = _rows(parts, _PAYMENTS)
    verdict.check(len(payments) == len(bought), f"{len(payments)} payments of {len(bought)}")
    sold = _sold(world, list(parts.market.billers))
    _judge_sales(verdict, parts, payments, sold)
    _judge_ledger(verdict, parts, payments)
    _judge_manual(verdict, payments, bought)
    _judge_messages(verdict, world, payments)
    for command in ("verify", "trial-balance"):
        answer = world.flask(command)
        verdict.check(answer.returncode == 0, f"{command}: {answer.stdout[-300:]}")
    verdict.lines += _told(parts, payments, bought, sold, seconds)
    if verdict.unheard:
        verdict.lines.append(f"undone and not heard of: {', '.join(verdict.unheard)}")
    verdict.lines += verdict.faults[:SHOWN_MOST]
    verdict.lines.append(f"seed {seed}: {len(payments)} payments, {len(verdict.faults)} faults")
    return verdict


def _sold(world: World, billers: Iterable[str]) -> Sold:
    sales, undone = {}, {}
    for code in billers:
        for sale in world.sales(code):
            sales[code, sale["ref_id"]] = sale
        for sale in world.sandbox("GET", f"/billers/{code}/undone"):
            undone[code, sale["ref_id"]] = sale
    return Sold(sales, undone)


def _judge_sales(
    verdict: Verdict, parts: Runtime, payments: Sequence[Row[Any]], sold: Sold
) -> None:
    """Rules 1 to 3."""
    known = set()
    for payment in payments:
        key = (payment.biller, _their_reference(parts, payment))
        known.add(key)
        sale, name = sold.sales.get(key), f"{payment.biller} {payment.reference} {payment.state}"
        if payment.state == "captured" and _is_unheard(parts, payment) and key in sold.undone:
            verdict.unheard.append(name)
        elif payment.state == "captured":
            verdict.check(sale is not None, f"{name}: not sold")
        elif payment.state == "returned":
            verdict.check(key in sold.undone, f"{name}: was not undone")
        elif payment.state != "manual":
            verdict.check(sale is None, f"{name}: sold")
        verdict.check(payment.state in SAID_OF, f"{name}: no outcome")
        if sale is not None and payment.state == "captured":
            theirs = (sale["customer_no"], _minor(sale["amount"]), sale["tokens"])
            ours = (payment.customer_no, payment.amount_minor, payment.tokens or [])
            verdict.check(theirs == ours, f"{name}: {theirs} was sold, {ours} is captured")
    for code, reference in (sold.sales.keys() | sold.undone.keys()) - known:
        verdict.check(False, f"{code} {reference}: sold to nobody of ours")


def _is_unheard(parts: Runtime, payment: Row[Any]) -> bool:
    """Its biller's webhook is not signed over what it says, and asking has ended."""
    return not parts.market.billers[payment.biller].traits.signs_webhooks


def _judge_ledger(verdict: Verdict, parts: Runtime, payments: Sequence[Row[Any]]) -> None:
    """Rules 1, 2 and 4, by the ledger's own tables."""
    captures: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in _rows(parts, _CAPTURES):
        captures[row.reference].append((row.kind, row.amount_minor))
    for payment in payments:
        name, took = (
            f"{payment.biller} {payment.reference}",
            payment.state in ("captured", "returned"),
        )
        wanted = [(f"settlement:{payment.biller}", payment.amount_minor)] if took else []
        got = captures.get(payment.reference, [])
        verdict.check(got == wanted, f"{name} {payment.state}: the ledger captured {got}")
        held = payment.hold == "held"
        verdict.check(
            held == (payment.state == "manual"), f"{name} {payment.state}: {payment.hold}"
        )
    returned = sum(p.amount_minor for p in payments if p.state == "returned")
    for what, amount in (("returned", returned), ("late", 0)):
        found = _house(parts, f"suspense:{what}")
        verdict.check(found == amount, f"suspense:{what} is {found}, not {amount}")
    for code in parts.market.billers:
        due = sum(p.amount_minor for p in payments if p.biller == code and p.state == "captured")
        found = _house(parts, f"settlement:{code}")
        verdict.check(found == due, f"settlement:{code} is {found}, not {due}")


def _judge_manual(
    verdict: Verdict, payments: Sequence[Row[Any]], bought: Sequence[Purchase]
) -> None:
    manual = Counter(payment.biller for payment in payments if payment.state == "manual")
    doubtful = _drawn(bought, DOUBTFUL)
    for code, count in manual.items():
        most = doubtful[code]
        verdict.check(count <= most, f"{code}: {count} are manual, {most} faults leave a doubt")


def _judge_messages(verdict: Verdict, world: World, payments: Sequence[Row[Any]]) -> None:
    """Rule 5, by what the gateway took."""
    finals: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message in world.gateway_took():
        reference, final = REFERENCE.search(message["text"]), FINAL.search(message["text"])
        if reference and final:
            finals[reference[1]].append((str(final.lastgroup), final["amount"] or ""))
    for payment in payments:
        name = f"{payment.biller} {payment.reference} {payment.state}"
        said = finals.get(payment.reference, [])
        kinds = sorted(kind for kind, _ in said)
        wanted = SAID_OF.get(payment.state)
        verdict.check(kinds == wanted, f"{name}: SMS say {kinds}, its row {payment.message}")
        for amount in (amount for kind, amount in said if kind == "paid"):
            told = _minor(amount.replace(",", ""))
            verdict.check(told == payment.amount_minor, f"{name}: an SMS says {amount}")


def _told(
    parts: Runtime,
    payments: Sequence[Row[Any]],
    bought: Sequence[Purchase],
    sold: Sold,
    seconds: Seconds,
) -> list[str]:
    """The figures: states, sales a second, and from the confirmation to the outcome by biller."""
    states = Counter(payment.state for payment in payments)
    hit = sum(purchase.fault is not None for purchase in bought)
    kinds = Counter(purchase.fault.kind for purchase in bought if purchase.fault)
    families = {code: rules.family for code, rules in parts.market.billers.items()}
    rate = sum(families[payment.biller] != "file" for payment in payments) / seconds.paying
    lines = [
        f"{len(payments)} payments in {seconds.paying:.0f} s, at rest after {seconds.whole:.0f} s",
        f"{rate:.1f}/s to called billers; {len(sold.sales)} sold, {len(sold.undone)} undone",
        f"{hit} faults: " + _counted(kinds),
        "states: " + _counted(states),
        "confirmed to outcome, seconds:",
    ]
    for code in sorted({payment.biller for payment in payments}):
        mine = [p.seconds for p in payments if p.biller == code and p.seconds is not None]
        if len(mine) > 1:
            cuts = quantiles(mine, n=100)
            lines.append(f"  {code:12} {len(mine):6} p50 {cuts[49]:6.2f}  p99 {cuts[98]:6.2f}")
    return lines


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _drawn(bought: Sequence[Purchase], kinds: Sequence[str]) -> Mapping[str, int]:
    return Counter(one.biller for one in bought if one.fault and one.fault.kind in kinds)


def _their_reference(parts: Runtime, payment: Row[Any]) -> str:
    """What the biller calls our payment by: ISO 8583 has twelve digits for it."""
    if parts.market.billers[payment.biller].family == "iso8583":
        return f"{payment.serial:012d}"
    return str(payment.biller_ref)


def _minor(amount: int | str) -> int:
    return round(float(amount) * 100)


def _house(parts: Runtime, name: str) -> int:
    def read(session: Session) -> int:
        account = ledger.house_account(session, name, parts.market.currency.code)
        return ledger.balance(session, account).balance_minor

    return parts.db.transact(read)


def _rows(parts: Runtime, query: Any) -> list[Row[Any]]:
    return parts.db.transact(lambda session: list(session.execute(query)))
