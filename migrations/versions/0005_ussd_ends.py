"""End events of USSD sessions, masked, as the gateway told them.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE ussd_ends (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway       text NOT NULL,
    session_id    text NOT NULL,
    msisdn        text NOT NULL,
    service_code  text NOT NULL,
    network       text NOT NULL,
    status        text NOT NULL,
    hops          integer,
    duration_ms   integer,
    cost          text,
    error         text,
    hops_metadata text,
    received_at   timestamptz NOT NULL,
    UNIQUE (gateway, session_id)
);
CREATE INDEX ussd_ends_by_person ON ussd_ends (msisdn, received_at);

GRANT SELECT, INSERT ON ussd_ends TO kibanda_app;
"""

DOWN = "DROP TABLE ussd_ends;"


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
