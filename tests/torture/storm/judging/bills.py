"""I5, I6: every payment ended as its biller knows, and money went back for a reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from app.markets import Market
from tests.torture.storm.judging.books import Books, Movement
from tests.torture.storm.judging.evidence import Evidence

_FILE_WAITS = """
    SELECT reference FROM payments WHERE state = 'held' AND due_at > clock_timestamp()"""
_EARLY = """
    SELECT reference, biller, extract(epoch FROM clock_timestamp() - first_sent_at)::float
    FROM payments WHERE state = 'manual'"""
_RELEASED = """
    SELECT p.reference, p.biller, p.requests, e.what, e.facts
    FROM payments p LEFT JOIN payment_events e ON e.payment_id = p.id AND e.to_state = 'released'
        AND e.from_state <> 'released'
    WHERE p.state IN ('released', 'paid_late')"""
_REVERSALS = """
    SELECT p.authority, count(*), sum(m.minor)::bigint, o.minor FROM postings p
    JOIN LATERAL (SELECT sum(amount_minor) AS minor FROM moves
                  WHERE posting_id = p.id AND posted_at = p.posted_at) AS m ON true
    LEFT JOIN LATERAL (SELECT sum(amount_minor)::bigint AS minor FROM moves
                  WHERE posting_id::text = substr(p.authority, 9)) AS o ON true
    WHERE p.kind = 'reversal' GROUP BY p.authority, o.minor"""
_UNASKED = """
    SELECT t.reference, t.kind FROM transfers t
    WHERE t.reversed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM stops s WHERE s.transfer_id = t.id AND s.state = 'approved')
      AND t.kind <> 'voucher'"""
# How often a hold ended: its money may go back once, or be captured once.
_HOLD_ENDS = """
    SELECT p.reference, h.state, p.state,
           (SELECT count(*) FROM payment_events e WHERE e.payment_id = p.id
            AND e.from_state <> e.to_state AND e.to_state IN ('released', 'cancelled', 'captured'))
    FROM payments p LEFT JOIN holds h ON h.id = p.hold_id"""
_HOLD_OF = {
    "captured": "captured", "returned": "captured", "released": "released",
    "paid_late": "released", "manual": "held", "unknown": "held", "sent": "held", "held": "held",
}  # fmt: skip
# How often a payment of that state may have been sold: a sale that was undone counts for what was
# captured, because only the biller's daily file tells of it where its webhook was lost.
SOLD_BY_STATE = {
    "captured": (1,), "returned": (0,), "released": (0,), "cancelled": (0,), "held": (0,),
    "manual": (0, 1), "sent": (0, 1), "unknown": (0, 1), "paid_late": (),
}  # fmt: skip
UNDONE_REASONS = ("reversed", "never_arrived")  # ISO 8583: the biller undid what it was asked for


def finished(books: Books, market: Market) -> Iterator[str]:
    """I5: final, or with staff and not before its bound; who is paid by file may wait for a day."""
    waits = {reference for (reference,) in books.rows(_FILE_WAITS)}
    for one in _bills(books):
        by_file = market.billers[one.biller].family == "file" and one.reference in waits
        if one.state in ("held", "sent", "unknown") and not by_file:
            yield f"I5: {one.name} at {one.biller} is still {one.state}"
    for reference, biller, seconds in books.rows(_EARLY):
        bound = market.billers[biller].manual_after_seconds
        if seconds < bound:
            yield f"I5: {reference} is with staff after {seconds:.0f} s, its bound is {bound} s"


def sold_once(books: Books, evidence: Evidence) -> Iterator[str]:
    """I5: the biller sold exactly once what was captured, never what was given back, and nothing
    that nobody paid for.
    """
    sales, undone = _by_customer(evidence.sales), _by_customer(evidence.undone)
    for one in _bills(books):
        sold = sales.pop((one.biller, one.party), [])
        if one.state == "captured":
            sold += undone.get((one.biller, one.party), [])
        if len(sold) not in SOLD_BY_STATE[one.state]:
            yield f"I5: {one.name} is {one.state}, {one.biller} sold it {len(sold)} times"
        for sale in sold:
            amount_minor = int(Decimal(str(sale["amount"])) * 100)
            if amount_minor != one.amount_minor:
                yield f"I5: {one.name}, {one.biller} sold {amount_minor}"
        paid = one.state in ("captured", "returned")
        if one.took_minor != (one.total_minor if paid else 0):
            yield f"I5: {one.name} is {one.state}, the ledger took {one.took_minor}"
    for (biller, customer), sold in sales.items():
        yield f"I5: {biller} sold {len(sold)} times to {customer}, and nobody paid"


def given_back(books: Books, market: Market) -> Iterator[str]:
    """I6: what went back went back once; of what was sent only after a word of refusal that the
    market file knows.
    """
    for reference, biller, requests, what, facts in books.rows(_RELEASED):
        if requests and not _is_refusal(market, biller, what, facts):
            yield f"I6: {reference} was given back by {what} {facts}, no refusal of {biller}"
    for authority, count, minor, most in books.rows(_REVERSALS):
        if count > 1 or most is None or minor > most:
            yield f"I6: {authority} was reversed {count} times, {minor} of {most}"
    for reference, kind in books.rows(_UNASKED):
        yield f"I6: {kind} {reference} was reversed, and nobody decided that"
    for reference, hold, state, ends in books.rows(_HOLD_ENDS):
        if state != "cancelled" and hold != _HOLD_OF[state]:
            yield f"I6: {reference} is {state}, its hold is {hold}"
        if state == "cancelled" and hold not in ("released", "expired"):
            yield f"I6: {reference} is cancelled, its hold is {hold}"
        if ends > 1:
            yield f"I6: the hold of {reference} ended {ends} times"


def _bills(books: Books) -> list[Movement]:
    return [movement for movement in books.movements if movement.flow == "bill"]


def _by_customer(
    sales: dict[str, list[dict[str, Any]]],
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found = defaultdict[tuple[str, str], list[dict[str, Any]]](list)
    for biller, some in sales.items():
        for sale in some:
            found[biller, sale["customer_no"]].append(sale)
    return dict(found)


def _is_refusal(market: Market, biller: str, what: str | None, facts: Any) -> bool:
    rules = market.billers[biller]
    if what != "refused" or not facts:
        return False
    if facts.get("reason") in UNDONE_REASONS:
        return rules.silence_policy == "reverse"
    return facts.get("code") in (*rules.refused_codes, *rules.refused_first_codes)
