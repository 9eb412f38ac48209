"""Do the books agree with themselves, and with the bank? Each is one statement: one instant.

    wallets + floats + tills + vouchers + savings (holds included) + fees + tax + commission
    + settlement + suspense = trust_bank + deposits_in_transit - payouts_in_transit

    trust_bank = the bank's last balance - lines that are not matched + lines entered by hand since

What was entered by hand before the first file is in that file's opening balance; a difference
between the two came in as a line of its own (`sql/statement_v1.sql`) and waits to be matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

IDENTITY = """
    SELECT :currency AS currency,
           coalesce(sum(minor) FILTER (WHERE kind = 'wallet'), 0)::bigint     AS wallets_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'float'), 0)::bigint      AS floats_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'till'), 0)::bigint       AS tills_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'voucher'), 0)::bigint    AS vouchers_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'savings'), 0)::bigint    AS savings_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'fees'), 0)::bigint       AS fees_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'tax'), 0)::bigint        AS tax_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'commission'), 0)::bigint AS commission_minor,
           coalesce(sum(minor) FILTER (WHERE kind LIKE 'settlement:%'), 0)::bigint
               AS settlement_minor,
           coalesce(sum(minor) FILTER (WHERE kind LIKE 'suspense:%'), 0)::bigint
               AS suspense_minor,
           coalesce(-sum(minor) FILTER (WHERE kind = 'trust_bank'), 0)::bigint AS trust_bank_minor,
           coalesce(-sum(minor) FILTER (WHERE kind = 'deposits_in_transit'), 0)::bigint
               AS deposits_in_transit_minor,
           coalesce(sum(minor) FILTER (WHERE kind = 'payouts_in_transit'), 0)::bigint
               AS payouts_in_transit_minor,
           coalesce(sum(held), 0)::bigint AS held_minor
    FROM (
        SELECT kind, balance AS minor, held FROM accounts WHERE currency = :currency
        UNION ALL
        SELECT a.kind, p.amount_minor, 0
        FROM house_pending p JOIN accounts a ON a.id = p.account_id AND a.currency = :currency
    ) AS b"""

AT_BANK = """
    SELECT s.closing_minor, s.file_name, s.imported_at, l.unmatched_minor,
           l.by_hand_minor - f.covered_minor,
           (SELECT coalesce(-sum(b.minor), 0)::bigint
            FROM accounts a
            CROSS JOIN LATERAL (
                SELECT a.balance AS minor
                UNION ALL
                SELECT p.amount_minor FROM house_pending p WHERE p.account_id = a.id
            ) AS b
            WHERE a.kind = 'trust_bank' AND a.currency = :currency)
    FROM bank_statements s
    JOIN bank_statements f ON f.currency = s.currency AND f.previous_id IS NULL
    CROSS JOIN (
        SELECT coalesce(sum(b.amount_minor) FILTER (
                   WHERE b.posting_id IS NULL AND t.line_id IS NOT NULL), 0)::bigint
                   AS unmatched_minor,
               coalesce(sum(b.amount_minor) FILTER (
                   WHERE b.posting_id IS NOT NULL AND t.line_id IS NULL), 0)::bigint
                   AS by_hand_minor
        FROM bank_lines b LEFT JOIN statement_lines t ON t.line_id = b.id
        WHERE b.currency = :currency
    ) AS l
    WHERE s.currency = :currency
      AND NOT EXISTS (SELECT FROM bank_statements n WHERE n.previous_id = s.id)"""

OWED = (
    "wallets", "floats", "tills", "vouchers", "savings", "fees", "tax", "commission", "settlement",
    "suspense",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """The parts of the identity; `held_minor` is the part of people's money that is set aside."""

    currency: str
    wallets_minor: int
    floats_minor: int
    tills_minor: int
    vouchers_minor: int
    savings_minor: int
    fees_minor: int
    tax_minor: int
    commission_minor: int
    settlement_minor: int
    suspense_minor: int
    trust_bank_minor: int
    deposits_in_transit_minor: int
    payouts_in_transit_minor: int
    held_minor: int

    @property
    def owed(self) -> dict[str, int]:
        """What is owed to whom, by name."""
        return {name: getattr(self, f"{name}_minor") for name in OWED}

    @property
    def owed_minor(self) -> int:
        return sum(self.owed.values())

    @property
    def backed_minor(self) -> int:
        """What stands behind it: in the bank, and on the way."""
        on_way = self.deposits_in_transit_minor - self.payouts_in_transit_minor
        return self.trust_bank_minor + on_way

    @property
    def off_minor(self) -> int:
        """0 when the books agree with themselves."""
        return self.owed_minor - self.backed_minor


@dataclass(frozen=True, slots=True)
class AtBank:
    """trust_bank beside the bank's own statement."""

    closing_minor: int
    file_name: str
    imported_at: datetime
    unmatched_minor: int
    by_hand_minor: int
    trust_bank_minor: int

    @property
    def expected_minor(self) -> int:
        return self.closing_minor - self.unmatched_minor + self.by_hand_minor

    @property
    def off_minor(self) -> int:
        """0 when our books and the bank's statement agree."""
        return self.trust_bank_minor - self.expected_minor


def identity(session: Session, currency: str) -> Identity:
    """The parts of the identity at one instant."""
    row = session.execute(text(IDENTITY), {"currency": currency}).one()
    return Identity(**row._asdict())


def at_bank(session: Session, currency: str) -> AtBank | None:
    """The comparison with the bank at one instant; None before the first statement."""
    row = session.execute(text(AT_BANK), {"currency": currency}).first()
    return AtBank(*row) if row else None


def currencies(session: Session) -> list[str]:
    """Every currency that has an account."""
    return list(session.scalars(text("SELECT DISTINCT currency::text FROM accounts ORDER BY 1")))
