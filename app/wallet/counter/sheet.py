"""What an agent did: the last movements of its float, and a day's cash and float as one sheet.

Both are read from the ledger's own moves of the float, so the sheet adds up by its form: opening
float and movements of the day are the closing float, and that is the next day's opening.

What crosses the counter is cash against float: as much as the float lost, the drawer gained. What
was taken back counts as what it took back did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet.agents import Agent

# Kinds of postings that cash goes with; a bill is paid in cash to the agent.
OVER_THE_COUNTER = ("cash_in", "cash_out", "voucher_collect", "bill_payment")
LAST_MOST = 50
DAYS_BACK_MOST = 31
# A reversal is named by the posting that it took back.
_KIND = """
    CASE WHEN p.kind <> 'reversal' THEN p.kind ELSE coalesce((
        SELECT o.kind FROM postings o
        WHERE o.id = substr(p.authority, length('posting:') + 1)::bigint), p.kind) END
"""
# The balance and the moves are of one statement, hence of one instant.
_DAY = text(f"""
    WITH since AS (
        SELECT posting_id, posted_at, amount_minor AS minor FROM moves
        WHERE credit = :float AND posted_at >= :start
        UNION ALL
        SELECT posting_id, posted_at, -amount_minor FROM moves
        WHERE debit = :float AND posted_at >= :start
    ), of_day AS (
        SELECT {_KIND} AS kind, p.kind = 'reversal' AS taken_back, sum(s.minor) AS minor
        FROM since s JOIN postings p ON p.id = s.posting_id AND p.posted_at = s.posted_at
        WHERE s.posted_at < :end GROUP BY p.id, p.posted_at, p.kind, p.authority
    )
    SELECT NULL AS kind, false AS taken_back, 0 AS times, 0 AS gave_minor, 0 AS got_minor,
           (SELECT a.balance FROM accounts a WHERE a.id = :float)
           - coalesce((SELECT sum(minor) FROM since), 0) AS opening_minor
    UNION ALL
    SELECT kind, taken_back, count(*), coalesce(-sum(minor) FILTER (WHERE minor < 0), 0),
           coalesce(sum(minor) FILTER (WHERE minor > 0), 0), NULL
    FROM of_day GROUP BY kind, taken_back
    ORDER BY kind NULLS FIRST, taken_back
""")  # noqa: S608 - the text is ours
# Each half walks one index backwards and stops; a posting has at most five moves of a float.
_LAST = text(f"""
    SELECT p.posted_at AS at, {_KIND} AS kind, p.kind = 'reversal' AS taken_back, p.reference,
           sum(l.minor)::bigint AS float_minor,
           (array_agg(l.after ORDER BY l.seq DESC))[1] AS after_minor, t.msisdn
    FROM (
        (SELECT credit_seq AS seq, posting_id, posted_at, amount_minor AS minor,
                credit_balance AS after
         FROM moves WHERE credit = :float ORDER BY credit_seq DESC LIMIT :most)
        UNION ALL
        (SELECT debit_seq, posting_id, posted_at, -amount_minor, debit_balance
         FROM moves WHERE debit = :float ORDER BY debit_seq DESC LIMIT :most)
        ORDER BY 1 DESC LIMIT :most
    ) AS l
    JOIN postings p ON p.id = l.posting_id AND p.posted_at = l.posted_at
    LEFT JOIN transfers t ON t.posting_id = p.id
    GROUP BY p.id, p.posted_at, p.kind, p.authority, p.reference, t.msisdn
    ORDER BY max(l.seq) DESC LIMIT :limit
""")  # noqa: S608 - the text is ours


@dataclass(frozen=True, slots=True)
class Movement:
    """One posting of a float; `float_minor` is what it changed, `after_minor` the float after it.

    `msisdn` is the other's number, where a person or an agent is the other. `taken_back`: the
    posting of that kind was reversed by this one.
    """

    at: datetime
    kind: str
    taken_back: bool
    reference: str
    float_minor: int
    after_minor: int
    msisdn: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """All movements of a kind in a day: how many, what they took from the float and brought it."""

    kind: str
    taken_back: bool
    count: int
    gave_minor: int
    got_minor: int

    @property
    def float_minor(self) -> int:
        return self.got_minor - self.gave_minor

    @property
    def cash_minor(self) -> int:
        """What the drawer gained."""
        return -self.float_minor if self.kind in OVER_THE_COUNTER else 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A local day of an agent. What is set aside for bills under way is still in the float."""

    day: date
    opening_minor: int
    lines: tuple[Line, ...]

    @property
    def closing_minor(self) -> int:
        return self.opening_minor + sum(line.float_minor for line in self.lines)

    @property
    def cash_minor(self) -> int:
        """What the drawer gained over the day; below zero when more was paid out."""
        return sum(line.cash_minor for line in self.lines)

    def of(self, kind: str) -> Line:
        """The line of a kind, what was taken back included; empty where there was none."""
        mine = [line for line in self.lines if line.kind == kind]
        return Line(
            kind,
            False,
            sum(line.count for line in mine if not line.taken_back),
            sum(line.gave_minor for line in mine),
            sum(line.got_minor for line in mine),
        )


def of_day(session: Session, market: Market, agent: Agent, day: date, *, now: datetime) -> Sheet:
    """A local day's sheet, up to this instant for today.

    Raises DomainError `sheet_too_old` with `days` for a day that is to come or too far back.
    """
    today = now.astimezone(market.zone).date()
    if not timedelta() <= today - day <= timedelta(days=DAYS_BACK_MOST):
        raise DomainError("sheet_too_old", days=DAYS_BACK_MOST)
    values = {
        "float": agent.float_id,
        "start": datetime.combine(day, time(), market.zone),
        "end": datetime.combine(day + timedelta(days=1), time(), market.zone),
    }
    first, *others = session.execute(_DAY, values)
    lines = (
        Line(row.kind, row.taken_back, int(row.times), int(row.gave_minor), int(row.got_minor))
        for row in others
    )
    return Sheet(day, int(first.opening_minor), tuple(lines))


def last(session: Session, agent: Agent, limit: int = 10) -> list[Movement]:
    """The last movements of an agent's float, newest first."""
    limit = min(limit, LAST_MOST)
    values = {"float": agent.float_id, "limit": limit, "most": limit * 5}
    return [Movement(**row._asdict()) for row in session.execute(_LAST, values)]
