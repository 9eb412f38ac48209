"""When a PIN was last tried, so that wrong ones can be counted over all people.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE pins ADD COLUMN tried_at timestamptz;
-- Only people whose last try was wrong, or is being looked at; a right one takes the row out.
CREATE INDEX pins_wrong ON pins (tried_at) WHERE attempts > 0;
"""
DOWN = """
DROP INDEX pins_wrong;
ALTER TABLE pins DROP COLUMN tried_at;
"""


def upgrade() -> None:
    op.get_bind().connection.driver_connection.execute(UP)  # type: ignore[union-attr]


def downgrade() -> None:
    op.get_bind().connection.driver_connection.execute(DOWN)  # type: ignore[union-attr]
