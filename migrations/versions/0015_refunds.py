"""What a payer gets back when a biller took a sale back.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"
FUNCTIONS = ("refund_v1", "rules_v4")

UP = """
-- One capture, the posting that put its amount into suspense, and the one that gave all of it back.
-- Written by `refund_v1` only: money of the house is given to people by it.
CREATE TABLE refunds (
    case_id          uuid PRIMARY KEY REFERENCES cases (id),
    capture_id       bigint NOT NULL UNIQUE,
    returned_id      bigint NOT NULL UNIQUE,
    posting_id       bigint UNIQUE,
    refunded_at      timestamptz NOT NULL
);
GRANT SELECT ON refunds TO kibanda_app;

ALTER TABLE payments
    ADD COLUMN refunded_at timestamptz,
    ADD CONSTRAINT payments_refunded CHECK (refunded_at IS NULL OR state = 'returned');
CREATE INDEX payments_returned ON payments (person_id)
    WHERE state = 'returned' AND refunded_at IS NULL;
"""


def upgrade() -> None:
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(UP)
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
