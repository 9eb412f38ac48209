"""What should have moved on by itself, how long it has waited, and what is overdue by the market's
rules: lines that nobody matched, deposits, payouts and orders on their way, entries of suspense
accounts.

An entry of a suspense account is what its postings of one reference leave there, so that an old one
cannot hide behind younger ones that come and go. Those of suspense:deposits are the notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal, get_args

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.model import Market
from app.wallet.trust import deposits, lines, orders, payouts

What = Literal["line", "deposit", "payout", "suspense"]
WHATS: tuple[What, ...] = get_args(What)
AT_MOST = 500  # of each, oldest first

SUSPENSE = """
    SELECT a.kind, t.reference, sum(t.minor)::bigint, min(t.posted_at) AS since
    FROM accounts a
    CROSS JOIN LATERAL (
        SELECT p.reference, m.posted_at, -m.amount_minor AS minor
        FROM moves m JOIN postings p ON p.id = m.posting_id AND p.posted_at = m.posted_at
        WHERE m.debit = a.id
        UNION ALL
        SELECT p.reference, m.posted_at, m.amount_minor
        FROM moves m JOIN postings p ON p.id = m.posting_id AND p.posted_at = m.posted_at
        WHERE m.credit = a.id
        UNION ALL
        SELECT '', (SELECT max(month) + interval '1 month' FROM detached_months) AT TIME ZONE 'UTC',
               o.balance_minor
        FROM opening_balances o WHERE o.account_id = a.id
    ) AS t
    WHERE a.kind LIKE 'suspense:%' AND a.kind <> :deposits AND a.currency = :currency
    GROUP BY a.kind, t.reference
    HAVING sum(t.minor) <> 0
    ORDER BY since LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits; `name` is a line's id, a reference, or account and reference."""

    what: What
    name: str
    amount_minor: int
    since: datetime
    overdue: bool


def waiting(session: Session, market: Market, now: datetime) -> list[Waiting]:
    """Everything that waits, by kind and then oldest first; at most 500 of each."""
    rules = market.trust
    days: dict[What, int] = {
        "line": rules.unmatched_alarm_days,
        "deposit": rules.suspense_alarm_days,
        "payout": rules.suspense_alarm_days,
        "suspense": rules.suspense_alarm_days,
    }
    return [
        Waiting(what, name, minor, since, overdue=since < now - timedelta(days=days[what]))
        for what, name, minor, since in _entries(session, market)
    ]


def _entries(session: Session, market: Market) -> Iterator[tuple[What, str, int, datetime]]:
    currency = market.currency.code
    for line in lines.unmatched(session, currency, AT_MOST):
        booked_at = datetime.combine(line.booked_on, time(), market.zone)
        yield "line", line.id, line.amount_minor, booked_at
    for notice in deposits.on_way(session, currency, AT_MOST):
        yield "deposit", notice.reference, notice.amount_minor, notice.created_at
    for payout in payouts.on_way(session, currency, AT_MOST):
        yield "payout", payout.reference, payout.amount_minor, payout.created_at
    for order in orders.on_way(session, currency, AT_MOST):
        yield "payout", order.reference, order.amount_minor, order.made_at
    facts = {"currency": currency, "deposits": deposits.SUSPENSE, "limit": AT_MOST}
    for kind, reference, minor, since in session.execute(text(SUSPENSE), facts):
        yield "suspense", f"{kind} {reference}".strip(), minor, since
