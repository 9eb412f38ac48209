"""How every biller stands: who may be paid now, what is on its way, what nobody has decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

# What is due has a partial index by biller, what is manual another; nothing reads the settled ones.
_OPEN = text("""
    SELECT biller, state, due_at, lease_until, first_sent_at FROM payments WHERE due_at IS NOT NULL
    UNION ALL
    SELECT biller, state, due_at, lease_until, first_sent_at FROM payments WHERE state = 'manual'
""")
_COUNTS = text(f"""
    SELECT biller,
           count(*) FILTER (WHERE lease_until > clock_timestamp()) AS in_flight,
           count(*) FILTER (WHERE due_at <= clock_timestamp()
               AND coalesce(lease_until <= clock_timestamp(), true)) AS due,
           count(*) FILTER (WHERE state = 'unknown') AS unknown,
           count(*) FILTER (WHERE state = 'manual') AS manual,
           extract(epoch FROM clock_timestamp() - min(first_sent_at)) AS oldest_seconds
    FROM ({_OPEN.text}) AS open_ones GROUP BY biller
""")  # noqa: S608 - the text is ours
_STATES = text("""
    SELECT biller, deposit_minor, deposit_at FROM biller_states
""")
# The newest word of a biller about anything that is open, or about its last sale.
_LAST = text("""
    SELECT DISTINCT ON (one.biller) one.biller, e.at, e.facts ->> 'reason' AS reason,
           coalesce(e.facts ->> 'code', '') AS code
    FROM (
        SELECT biller, id FROM payments WHERE due_at IS NOT NULL AND first_sent_at IS NOT NULL
        UNION ALL
        SELECT biller, id FROM payments WHERE state = 'manual'
        UNION ALL
        SELECT b.biller, sold.id FROM biller_states b CROSS JOIN LATERAL (
            SELECT id FROM payments p WHERE p.biller = b.biller AND p.state = 'captured'
            ORDER BY settled_at DESC LIMIT 1) AS sold
    ) AS one JOIN payment_events e ON e.payment_id = one.id
    WHERE e.facts ->> 'reason' <> ''
    ORDER BY one.biller, e.id DESC
""")


@dataclass(frozen=True, slots=True)
class LastWord:
    """What a biller last said: a constant name of ours, and its own code."""

    at: datetime
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class BillerCounts:
    """Payments by what becomes of them now. `oldest_seconds`: since when one is without an outcome.

    `deposit_minor` is what the biller last said is left of our prefunded deposit with it.
    """

    in_flight: int = 0
    due: int = 0
    unknown: int = 0
    manual: int = 0
    oldest_seconds: int | None = None
    deposit_minor: int | None = None
    deposit_at: datetime | None = None
    last: LastWord | None = None


def read_counts(session: Session) -> dict[str, BillerCounts]:
    """Of every biller that was ever paid."""
    counts = {row.biller: row for row in session.execute(_COUNTS)}
    deposits = {row.biller: row for row in session.execute(_STATES)}
    last = {row.biller: LastWord(row.at, row.reason, row.code) for row in session.execute(_LAST)}
    found: dict[str, BillerCounts] = {}
    for biller in {*counts, *deposits}:
        count, deposit = counts.get(biller), deposits.get(biller)
        oldest = count.oldest_seconds if count else None
        found[biller] = BillerCounts(
            in_flight=count.in_flight if count else 0,
            due=count.due if count else 0,
            unknown=count.unknown if count else 0,
            manual=count.manual if count else 0,
            oldest_seconds=None if oldest is None else int(oldest),
            deposit_minor=deposit.deposit_minor if deposit else None,
            deposit_at=deposit.deposit_at if deposit else None,
            last=last.get(biller),
        )
    return found
