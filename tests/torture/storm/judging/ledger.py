"""I1, I2, I3, I10: the ledger by itself, and beside the bank; and I4 for its keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal

from app.markets import Market
from tests.torture.storm.judging.books import Books
from tests.torture.storm.judging.evidence import Evidence
from tests.torture.storm.wording import Said

_BALANCES = """
    SELECT a.id, a.kind, a.currency, a.balance + coalesce(sum(p.amount_minor), 0)
    FROM accounts a LEFT JOIN house_pending p ON p.account_id = a.id GROUP BY a.id"""
_REPLAY = """
    SELECT account, sum(minor) FROM (
        SELECT debit AS account, -amount_minor AS minor FROM moves
        UNION ALL SELECT credit, amount_minor FROM moves
        UNION ALL SELECT account_id, balance_minor FROM opening_balances
    ) AS sides GROUP BY account"""
_ODD_MOVES = """
    SELECT m.posting_id, m.line, m.amount_minor FROM moves m
    LEFT JOIN accounts d ON d.id = m.debit LEFT JOIN accounts c ON c.id = m.credit
    WHERE d.currency IS DISTINCT FROM c.currency OR d.id IS NULL OR m.amount_minor <= 0
       OR m.debit = m.credit
       OR NOT EXISTS (
           SELECT FROM postings p WHERE p.id = m.posting_id AND p.posted_at = m.posted_at)
    UNION ALL
    SELECT p.id, 0, 0 FROM postings p
    WHERE NOT EXISTS (
        SELECT FROM moves m WHERE m.posting_id = p.id AND m.posted_at = p.posted_at)"""
_HELD = """
    SELECT a.id, a.held, coalesce(sum(h.amount_minor), 0) FROM accounts a
    LEFT JOIN holds h ON h.account_id = a.id AND h.state = 'held'
    GROUP BY a.id HAVING a.held <> coalesce(sum(h.amount_minor), 0)"""
_BELOW_NOW = """
    SELECT id, balance - held, floor_minor FROM accounts
    WHERE NOT house AND (balance - held < floor_minor OR held < 0)"""
_BELOW_ONCE = """
    SELECT a.id, s.posting_id, s.after, a.floor_minor FROM (
        SELECT debit AS account, posting_id, debit_balance AS after FROM moves
        UNION ALL SELECT credit, posting_id, credit_balance FROM moves
    ) AS s JOIN accounts a ON a.id = s.account AND NOT a.house
    WHERE s.after < a.floor_minor OR s.after IS NULL"""
_SPENT = """
    SELECT w.msisdn, w.tier, s.day, sum(s.amount_minor)::bigint, max(s.amount_minor)
    FROM (
        SELECT person_id, amount_minor, (created_at AT TIME ZONE %(zone)s)::date AS day
        FROM payments WHERE agent_id IS NULL AND state NOT IN ('released', 'cancelled', 'paid_late')
        UNION ALL
        SELECT payer_id, amount_minor, (created_at AT TIME ZONE %(zone)s)::date
        FROM transfers WHERE kind IN ('send', 'voucher', 'cash_out')
    ) AS s JOIN people w ON w.id = s.person_id GROUP BY w.id, s.day"""
_FULL = """
    SELECT w.msisdn, w.tier, max(m.credit_balance) FROM people w
    JOIN moves m ON m.credit = w.wallet_id
    JOIN postings p ON p.id = m.posting_id AND p.posted_at = m.posted_at
        AND p.kind IN ('send', 'cash_in', 'voucher_collect')
    GROUP BY w.id"""
_OWNED = """
    SELECT w.msisdn, coalesce(f.balance, o.balance) FROM people w
    JOIN accounts o ON o.id = w.wallet_id
    LEFT JOIN agents g ON g.person_id = w.id LEFT JOIN accounts f ON f.id = g.float_id"""
_KEYS = "SELECT key, count(*) FROM postings GROUP BY key HAVING count(*) > 1"
_ASSETS = ("trust_bank", "deposits_in_transit")
# What a receipt adds to who got it: names of its amounts.
_ADDS = {
    "send_received": ("received",),
    "voucher_received": ("amount",),
    "cash_in_done": ("received",),
    "cash_out_pay": ("received",),
    "voucher_paid_out": ("amount",),
    "commission_paid": ("amount",),
    "payment_refunded": ("total",),
}
_TAKES = {
    "send_sent": ("amount", "fee"),
    "voucher_sent": ("amount", "fee"),
    "cash_in_given": ("amount",),
    "cash_out_done": ("received", "fee"),
    "payment_paid": ("amount", "fee"),
    "payment_paid_no_token": ("amount", "fee"),
    "payment_paid_tokens": ("amount", "fee"),
    "bill_paid_by_you": ("amount", "fee"),
}


def zero_sum(books: Books) -> Iterator[str]:
    """I1: every move takes from one account what it gives to another, and all sums to zero."""
    for posting, number, amount in books.rows(_ODD_MOVES):
        yield f"I1: posting {posting}, line {number}: no move of money ({amount})"
    sums = defaultdict[str, int](int)
    for _, _, currency, minor in books.rows(_BALANCES):
        sums[currency] += int(minor)
    for currency, minor in sums.items():
        if minor:
            yield f"I1: {currency} sums to {minor}"


def replayed(books: Books) -> Iterator[str]:
    """I2: a balance is what its moves say, what is held is what the open holds say."""
    replay = {account: int(minor) for account, minor in books.rows(_REPLAY)}
    for account, kind, _, minor in books.rows(_BALANCES):
        if int(minor) != replay.get(account, 0):
            yield f"I2: {kind} {account} has {minor}, its moves say {replay.get(account, 0)}"
    for account, held, holds in books.rows(_HELD):
        yield f"I2: account {account} holds {held}, its open holds are {holds}"


def as_told(books: Books, evidence: Evidence, read: Mapping[str, Said | None]) -> Iterator[str]:
    """I2 by the outside: what the receipts of a phone add up to is what its wallet has."""
    expected = {msisdn: int(person["balance_minor"]) for msisdn, person in evidence.people.items()}
    told = {(taken["to"], taken["text"]) for taken in evidence.taken}
    for to, text in told:
        said = read[text]
        if said is None or to not in expected:
            continue
        kind = said.key.removeprefix("sms.")
        expected[to] += sum(said.minor[name] for name in _ADDS.get(kind, ()))
        expected[to] -= sum(said.minor[name] for name in _TAKES.get(kind, ()))
    for msisdn, balance in books.rows(_OWNED):
        if expected.get(msisdn, balance) != balance:
            yield f"I2: {msisdn} has {balance}, the receipts leave {expected[msisdn]}"


def bounds(books: Books, market: Market) -> Iterator[str]:
    """I3: nothing was ever below its floor, and no limit was passed."""
    for account, available, floor in books.rows(_BELOW_NOW):
        yield f"I3: account {account} has {available} left, its floor is {floor}"
    for account, posting, after, floor in books.rows(_BELOW_ONCE):
        yield f"I3: account {account} had {after} after posting {posting}, its floor is {floor}"
    for msisdn, tier, day, spent, most in books.rows(_SPENT, zone=market.timezone):
        rules = market.tiers[tier]
        if spent > rules.per_day_minor:
            yield f"I3: {msisdn} spent {spent} on {day}, the limit is {rules.per_day_minor}"
        if most > rules.per_transaction_minor:
            yield f"I3: {msisdn} spent {most} at once, the limit is {rules.per_transaction_minor}"
    for msisdn, tier, most in books.rows(_FULL):
        if most > market.tiers[tier].balance_minor:
            yield f"I3: {msisdn} was given up to {most}, over the limit of {tier}"


def one_posting_a_key(books: Books) -> Iterator[str]:
    """I4: a key has one posting."""
    for key, count in books.rows(_KEYS):
        yield f"I4: key {key} has {count} postings"


def identity(books: Books, evidence: Evidence, currency: str) -> Iterator[str]:
    """I10: what is owed is what the bank holds, and the bank says so."""
    owed = backed = trust = 0
    for _, kind, of, minor in books.rows(_BALANCES):
        if of != currency:
            continue
        if kind in _ASSETS:
            backed -= int(minor)
            trust -= int(minor) if kind == "trust_bank" else 0
        elif kind == "payouts_in_transit":
            backed -= int(minor)
        else:
            owed += int(minor)
    if owed != backed:
        yield f"I10: {owed} is owed, {backed} stands behind it"
    (bank,) = evidence.of("bank")
    grew = evidence.bank_minor - int(Decimal(bank["balance_before"]) * 100)
    in_books = trust - bank["books_before_minor"]
    if in_books != grew:
        yield f"I10: trust_bank grew by {in_books}, the bank by {grew}"
