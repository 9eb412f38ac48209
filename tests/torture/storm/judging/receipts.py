"""I7: what moved has its receipts, what did not has none, and the amounts are equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.torture.storm.judging.books import Books, Movement
from tests.torture.storm.judging.evidence import Evidence
from tests.torture.storm.wording import Said

PAID = ("payment_paid", "payment_paid_no_token", "payment_paid_tokens")
PAID_FOR_YOU = ("bill_paid_for_you", "bill_paid_for_you_no_token", "bill_paid_for_you_tokens")
# Kinds of SMS that say what became of a payment, by the states in which they are true.
_TRUE_IN = {
    **dict.fromkeys(PAID, ("captured", "returned")),
    **dict.fromkeys(PAID_FOR_YOU, ("captured", "returned")),
    "bill_paid_by_you": ("captured", "returned"),
    **dict.fromkeys(
        ("payment_refused", "bill_refused_by_you"), ("released", "paid_late")
    ),
    **dict.fromkeys(("payment_cancelled", "bill_cancelled_by_you"), ("cancelled",)),
    "bill_not_paid_for_you": ("released", "paid_late", "cancelled"),
    "payment_returned": ("returned",),
}  # fmt: skip
_OF_TRANSFERS = {
    "send_sent": ("send",),
    "send_received": ("send", "voucher_collect"),  # two kinds with one wording
    "voucher_sent": ("voucher",),
    "voucher_collected": ("voucher",),
    "voucher_paid_out": ("voucher_collect",),
    "voucher_cashed": ("voucher_collect",),
    "voucher_received": ("send", "voucher_collect"),
    "cash_in_done": ("cash_in",),
    "cash_in_given": ("cash_in",),
    "cash_out_done": ("cash_out",),
    "cash_out_pay": ("cash_out",),
}
# By a payment's state: what who pays is told, out of the own wallet or at the counter.
_OF_BILLS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(("captured", "returned"), (PAID, ("bill_paid_by_you",))),
    **dict.fromkeys(("released", "paid_late"), (("payment_refused",), ("bill_refused_by_you",))),
    "cancelled": (("payment_cancelled",), ("bill_cancelled_by_you",)),
    "manual": (("payment_manual",), ("bill_manual_by_you",)),
}
_EACH_HEARS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "send": {"actor": ("send_sent",), "party": ("send_received", "voucher_received")},
    "voucher": {"actor": ("voucher_sent",)},
    "voucher_collect": {"actor": ("voucher_paid_out",), "party": ("voucher_cashed",)},
    "cash_in": {"actor": ("cash_in_given",), "party": ("cash_in_done",)},
    "cash_out": {"actor": ("cash_out_done",), "helper": ("cash_out_pay",)},
}
_WHOLE = ("payment_refused", "payment_cancelled", "bill_refused_by_you", "bill_cancelled_by_you")
_CODES = """
    SELECT t.msisdn, t.amount_minor, count(*) FROM transfers t WHERE t.kind = 'voucher'
    GROUP BY t.msisdn, t.amount_minor"""
_UNSENT = """
    SELECT kind, msisdn, state, attempts FROM messages
    WHERE state IN ('due', 'sending') OR state = 'refused' AND last_error <> 'InvalidPhoneNumber'"""


@dataclass(frozen=True)
class Receipt:
    """Who must have heard what."""

    to: str
    kinds: tuple[str, ...]


def told(books: Books, evidence: Evidence, read: Mapping[str, Said | None]) -> Iterator[str]:
    """Both directions: no receipt without its movement, no movement without its receipts."""
    heard = defaultdict[tuple[str, str], set[str]](set)  # number and reference → kinds
    texts = defaultdict[tuple[str, str, str], set[str]](set)
    for to, text in sorted({(taken["to"], taken["text"]) for taken in evidence.taken}):
        said = read[text]
        if said is None:
            yield f"I7: {to} got an SMS that no catalogue has: {text.partition('.')[0]!r}"
            continue
        kind = said.key.removeprefix("sms.")
        heard[to, said.reference].add(kind)
        texts[to, said.reference, kind].add(text)
        if kind in _TRUE_IN or kind in _OF_TRANSFERS:
            yield from _against_books(books, to, kind, said)
    for (to, reference, kind), some in texts.items():
        if reference and len(some) > 1:
            yield f"I7: {to} got {len(some)} different {kind} about {reference}"
    for movement in books.movements:
        for receipt in _receipts(movement):
            if not heard[receipt.to, movement.reference] & set(receipt.kinds):
                yield f"I7: {receipt.to} has no {receipt.kinds[0]} of {movement.name}"
    yield from _codes(books, evidence, read)
    for kind, msisdn, state, attempts in books.rows(_UNSENT):
        yield f"I7: {kind} for {msisdn} is {state} after {attempts} tries"


def _against_books(books: Books, to: str, kind: str, said: Said) -> Iterator[str]:
    """One receipt: that of which it speaks has happened, to this number, with these amounts."""
    movement = books.by_reference.get(said.reference)
    if movement is None:
        yield f"I7: {to} got {kind} of {said.reference}, which the books do not have"
        return
    true = (
        movement.state in _TRUE_IN[kind]
        if kind in _TRUE_IN
        else movement.flow in _OF_TRANSFERS[kind] and movement.took_minor > 0
    )
    if not true:
        yield f"I7: {to} got {kind} of {movement.name}, which is {movement.state}"
    if to not in _parties(movement) and not kind.startswith("voucher_"):
        yield f"I7: {to} got {kind} of {movement.name}, and is none of its parties"
    minor = said.minor
    amount = minor.get("amount", minor.get("received"))
    if kind in _WHOLE:
        amount = minor["total"] - movement.fee_minor
    if amount is not None and amount != movement.amount_minor:
        yield f"I7: {to} got {kind} of {movement.name} that says {amount}"
    fee = minor.get("fee", movement.fee_minor)
    if fee != movement.fee_minor:
        yield f"I7: {to} got {kind} of {movement.name} with a fee of {fee}"
    if movement.took_minor not in (0, movement.total_minor):
        yield f"I7: the ledger took {movement.took_minor} for {movement.name}"


def _parties(movement: Movement) -> set[str | None]:
    return {movement.actor, movement.party, movement.helper}


def _receipts(movement: Movement) -> Iterator[Receipt]:
    """Who must have heard of a movement as it stands."""
    one = movement
    if one.flow == "bill":
        wallet, counter = _OF_BILLS.get(one.state, ((), ()))
        kinds = counter if one.by_agent else wallet
        if kinds:
            yield Receipt(one.actor, kinds)
        if one.by_agent and one.state in ("captured", "returned"):
            yield Receipt(one.helper or "", PAID_FOR_YOU)
        return
    whom = {"actor": one.actor, "party": one.party, "helper": one.helper or ""}
    if one.flow == "voucher_collect" and not one.by_agent:
        return  # its receiver has opened a wallet
    for who, kinds in _EACH_HEARS.get(one.flow, {}).items():
        yield Receipt(whom[who], kinds)


def _codes(books: Books, evidence: Evidence, read: Mapping[str, Said | None]) -> Iterator[str]:
    """The SMS with a code names no reference: a number and an amount tell it. A code that was used
    before its SMS left needs none.
    """
    sent = {(msisdn, minor): count for msisdn, minor, count in books.rows(_CODES)}
    for taken in evidence.taken:
        said = read[taken["text"]]
        if said is None or said.key != "sms.voucher_code":
            continue
        minor = said.minor["amount"]
        if not sent.get((taken["to"], minor)):
            yield f"I7: {taken['to']} got a code for {minor}, and nobody sent it"
