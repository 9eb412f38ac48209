"""The same statement file at the same moment is known, not a gap.

What `statement_v1.sql` promises did not change, so processes of the release before keep calling it.
A new database has had the repaired function since 0010.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    connection.execute((SQL / "statement_v1.sql").read_text())  # type: ignore[union-attr]


def downgrade() -> None:
    """Nothing to take back: what the function promises is what it promised before."""
