"""Statements: of a person by the account's own sequence, of the house by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.wallet.calls import rows

LINES_AT_MOST = 500

# Each half walks one index backwards and stops after the page; the join then meets few rows. The
# page's length is written into the text: as a parameter the planner takes it for a tenth of the
# account, never keeps such a plan, and plans all partitions again for every page.
STATEMENT = """
    SELECT t.seq, t.posting_id, t.posted_at, p.kind, p.reference, t.other, t.amount_minor, t.after
    FROM (
        (SELECT debit_seq AS seq, posting_id, posted_at, credit AS other,
                -amount_minor AS amount_minor, debit_balance AS after
         FROM moves WHERE debit = %(account)s AND debit_seq < %(before)s
         ORDER BY debit_seq DESC LIMIT {limit})
        UNION ALL
        (SELECT credit_seq, posting_id, posted_at, debit, amount_minor, credit_balance
         FROM moves WHERE credit = %(account)s AND credit_seq < %(before)s
         ORDER BY credit_seq DESC LIMIT {limit})
        ORDER BY 1 DESC LIMIT {limit}
    ) AS t
    JOIN postings p ON p.id = t.posting_id AND p.posted_at = t.posted_at
    ORDER BY t.seq DESC"""
# Its sequence is null, hence the same: said in ORDER BY, so that the index gives the order by time.
HOUSE_STATEMENT = """
    SELECT t.posted_at, t.posting_id, t.line, p.kind, p.reference, t.other, t.amount_minor
    FROM (
        (SELECT posting_id, posted_at, line, credit AS other, -amount_minor AS amount_minor
         FROM moves WHERE debit = %(account)s AND debit_seq IS NULL
           AND (posted_at, posting_id, line) < (%(time)s, %(posting)s, %(line)s)
         ORDER BY debit_seq DESC, posted_at DESC, posting_id DESC, line DESC LIMIT {limit})
        UNION ALL
        (SELECT posting_id, posted_at, line, debit, amount_minor
         FROM moves WHERE credit = %(account)s AND credit_seq IS NULL
           AND (posted_at, posting_id, line) < (%(time)s, %(posting)s, %(line)s)
         ORDER BY credit_seq DESC, posted_at DESC, posting_id DESC, line DESC LIMIT {limit})
        ORDER BY posted_at DESC, posting_id DESC, line DESC LIMIT {limit}
    ) AS t
    JOIN postings p ON p.id = t.posting_id AND p.posted_at = t.posted_at
    ORDER BY t.posted_at DESC, t.posting_id DESC, t.line DESC"""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One move of an account with a floor; `amount_minor` is negative when it was taken."""

    seq: int
    posting_id: int
    posted_at: datetime
    kind: str
    reference: str
    other_account_id: int
    amount_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class HouseLine:
    """One move of a house account, which has no running balance."""

    posted_at: datetime
    posting_id: int
    line: int
    kind: str
    reference: str
    other_account_id: int
    amount_minor: int


def statement(
    session: Session, account_id: int, *, before_seq: int | None = None, limit: int = 10
) -> list[StatementLine]:
    """Newest first; the next page begins before the last line's `seq`."""
    found = rows(
        session,
        STATEMENT.format(limit=min(limit, LINES_AT_MOST)),
        {
            "account": account_id,
            "before": 2**62 if before_seq is None else before_seq,
        },
    )
    return [StatementLine(*line) for line in found]


def house_statement(
    session: Session,
    account_id: int,
    *,
    before: HouseLine | None = None,
    until: datetime,
    limit: int = 50,
) -> list[HouseLine]:
    """Newest first, what was posted earlier than `until`; the next page begins `before` a line."""
    found = rows(
        session,
        HOUSE_STATEMENT.format(limit=min(limit, LINES_AT_MOST)),
        {
            "account": account_id,
            "time": before.posted_at if before else until,
            "posting": before.posting_id if before else 0,
            "line": before.line if before else 0,
        },
    )
    return [HouseLine(*line) for line in found]
