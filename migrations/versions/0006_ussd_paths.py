"""End events know the way through our menus: version, language, states, and whether it paid.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE ussd_ends
    ADD COLUMN menu_version text,
    ADD COLUMN language     text,
    ADD COLUMN path         text[] CHECK (cardinality(path) BETWEEN 1 AND 41),
    ADD COLUMN last_state   text,
    ADD COLUMN registered   boolean,
    ADD COLUMN committed    boolean;
CREATE INDEX ussd_ends_by_time ON ussd_ends (received_at);

-- Events are no books: the command `ussd purge` forgets those that nobody asks about any more.
GRANT DELETE ON ussd_ends TO kibanda_app;
"""

DOWN = """
REVOKE DELETE ON ussd_ends FROM kibanda_app;
DROP INDEX ussd_ends_by_time;
ALTER TABLE ussd_ends
    DROP COLUMN menu_version,
    DROP COLUMN language,
    DROP COLUMN path,
    DROP COLUMN last_state,
    DROP COLUMN registered,
    DROP COLUMN committed;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
