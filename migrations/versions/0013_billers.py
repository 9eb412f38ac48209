"""Billers of every family: what a bill is about, doubt and its end, day files, favourites.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UP = r"""
ALTER TABLE payments
    -- Wires that number their messages (STAN, RRN of ISO 8583) derive the numbers from this one.
    ADD COLUMN serial        bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN bill_ref      text NOT NULL DEFAULT '',
    ADD COLUMN biller_txn    text NOT NULL DEFAULT '',
    ADD COLUMN receipt_no    text NOT NULL DEFAULT '',
    ADD COLUMN owed_minor    bigint CHECK (owed_minor >= 0),
    ADD COLUMN reversing_at  timestamptz,
    ADD COLUMN send_again    boolean NOT NULL DEFAULT false,
    ADD COLUMN told_at       timestamptz,
    ADD COLUMN batch_id      uuid,
    -- Where and as what it was sent: a file that changes meanwhile must not ask somebody else.
    ADD COLUMN family        text NOT NULL DEFAULT '',
    ADD COLUMN account       text NOT NULL DEFAULT '',
    ADD COLUMN sku           text NOT NULL DEFAULT '',
    ADD COLUMN acknowledged  boolean NOT NULL DEFAULT false,
    ADD COLUMN told          jsonb,
    ADD CONSTRAINT payments_reversing CHECK (
        reversing_at IS NULL OR first_sent_at IS NOT NULL
    ),
    ADD CONSTRAINT payments_send_again CHECK (NOT send_again OR state = 'unknown');
CREATE UNIQUE INDEX payments_serial ON payments (serial);
CREATE INDEX payments_untold ON payments (first_sent_at)
    WHERE state IN ('sent', 'unknown') AND told_at IS NULL;

-- The day's file of a biller that is paid by file. Its lines are the payments that name it.
CREATE TABLE biller_batches (
    id               uuid PRIMARY KEY,
    biller           text NOT NULL,
    name             text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_]{1,30}-[0-9]{8}-[0-9]{2}$'),
    day              date NOT NULL,
    currency         text NOT NULL,
    lines            integer NOT NULL CHECK (lines > 0),
    total_minor      bigint NOT NULL CHECK (total_minor > 0),
    made_at          timestamptz NOT NULL,
    written_at       timestamptz,
    answered_at      timestamptz,
    answer_sha256    bytea,
    CHECK (answered_at IS NULL OR written_at IS NOT NULL)
);
CREATE INDEX biller_batches_open ON biller_batches (biller, made_at) WHERE answered_at IS NULL;
ALTER TABLE payments ADD CONSTRAINT payments_batch
    FOREIGN KEY (batch_id) REFERENCES biller_batches (id);
CREATE INDEX payments_by_batch ON payments (batch_id) WHERE batch_id IS NOT NULL;

-- A number that somebody pays for again and again, under a name of their own.
CREATE TABLE favourites (
    id               uuid PRIMARY KEY,
    person_id        uuid NOT NULL REFERENCES people (id),
    product          text NOT NULL,
    customer_no      text NOT NULL,
    nickname         text NOT NULL CHECK (char_length(nickname) BETWEEN 1 AND 12),
    created_at       timestamptz NOT NULL,
    UNIQUE (person_id, product, customer_no)
);

GRANT SELECT, INSERT, UPDATE ON biller_batches TO kibanda_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON favourites TO kibanda_app;
"""

DOWN = """
DROP TABLE favourites;
ALTER TABLE payments DROP CONSTRAINT payments_batch;
DROP TABLE biller_batches;
ALTER TABLE payments
    DROP COLUMN serial, DROP COLUMN bill_ref, DROP COLUMN biller_txn, DROP COLUMN receipt_no,
    DROP COLUMN owed_minor, DROP COLUMN reversing_at, DROP COLUMN send_again,
    DROP COLUMN told_at, DROP COLUMN batch_id, DROP COLUMN family, DROP COLUMN account,
    DROP COLUMN sku, DROP COLUMN acknowledged, DROP COLUMN told;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
