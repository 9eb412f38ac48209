"""Trial balance, and verify: every rule of the ledger as a plain query (`sql/verify/*.sql`).

Both only read. verify looks at one instant, in a transaction of its own, so it is safe while the
system runs; it reads the whole ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.patience import take_time
from app.wallet.calls import rows

RULES = Path(__file__).parent / "sql" / "verify"
VERIFY_SECONDS = 30 * 60
FINDINGS_AT_MOST = 100  # of one rule; a broken rule tends to break often

# Assets carry a debit balance, hence are shown with the sign turned.
TRIAL_BALANCE = """
    SELECT a.kind, a.currency, count(*), sum(a.balance + coalesce(p.pending, 0))::bigint,
           sum(CASE WHEN a.kind IN ('trust_bank', 'deposits_in_transit') THEN -1 ELSE 1 END
               * (a.balance + coalesce(p.pending, 0)))::bigint,
           sum(a.held)::bigint
    FROM accounts a
    LEFT JOIN (SELECT account_id, sum(amount_minor)::bigint AS pending
               FROM house_pending GROUP BY account_id) AS p ON p.account_id = a.id
    GROUP BY a.kind, a.currency
    ORDER BY a.currency, a.kind"""


@dataclass(frozen=True, slots=True)
class TrialLine:
    """All accounts of one kind. `balance_minor` is credits less debits and sums to zero over a
    currency; `natural_minor` is what an accountant would write.
    """

    kind: str
    currency: str
    accounts: int
    balance_minor: int
    natural_minor: int
    held_minor: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold, for one account, posting, hold, key or currency."""

    rule: str
    subject: str
    detail: str


def trial_balance(session: Session) -> list[TrialLine]:
    """By kind and currency, at one instant."""
    return [TrialLine(*line) for line in rows(session, TRIAL_BALANCE, None)]


def verify(session: Session) -> list[Finding]:
    """What is wrong with the ledger; an empty list when nothing is.

    Must be the first call of its transaction, which it makes a read-only snapshot. At most 100
    findings a rule.
    """
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    session.execute(text(f"SET LOCAL statement_timeout = '{VERIFY_SECONDS}s'"))
    take_time(VERIFY_SECONDS)
    return findings(session)


def findings(session: Session) -> list[Finding]:
    """Every rule, asked of what this transaction sees."""
    wrong = []
    for path in sorted(RULES.glob("*.sql")):
        # S608: the text is ours, a file of this package; nothing that came from outside is in it.
        bounded = f"SELECT * FROM (\n{path.read_text()}) AS rule LIMIT {FINDINGS_AT_MOST}"  # noqa: S608
        found = rows(session, bounded, None)
        wrong += [Finding(path.stem, str(subject), str(detail)) for subject, detail in found]
    return wrong
