"""Payments, their events, billers' breakers, staff resolutions, heartbeats of workers.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# As app/billers/states.py has them; a test compares the two.
STEPS = """
    ('held', 'sent'), ('held', 'cancelled'),
    ('sent', 'captured'), ('sent', 'released'), ('sent', 'unknown'),
    ('unknown', 'captured'), ('unknown', 'released'), ('unknown', 'manual'),
    ('manual', 'captured'), ('manual', 'released'),
    ('captured', 'returned'), ('released', 'paid_late')
"""

UP = f"""
CREATE TABLE payments (
    id               uuid PRIMARY KEY,
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{{8}}$'),
    biller_ref       text NOT NULL UNIQUE,
    intent_id        uuid NOT NULL UNIQUE REFERENCES intents (id),
    person_id        uuid NOT NULL REFERENCES people (id),
    wallet_id        bigint NOT NULL,
    hold_id          uuid NOT NULL UNIQUE REFERENCES holds (id),
    biller           text NOT NULL,
    product          text NOT NULL,
    customer_no      text NOT NULL,
    customer_name    text NOT NULL,
    currency         text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    fee_minor        bigint NOT NULL CHECK (fee_minor >= 0),
    tax_minor        bigint NOT NULL CHECK (tax_minor >= 0),
    commission_minor bigint NOT NULL CHECK (commission_minor >= 0),
    state            text NOT NULL,
    came_from        text,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    due_at           timestamptz,
    lease_until      timestamptz,
    fence            integer NOT NULL DEFAULT 0 CHECK (fence >= 0),
    requests         integer NOT NULL DEFAULT 0 CHECK (requests >= 0),
    first_sent_at    timestamptz,
    settled_at       timestamptz,
    tokens           text[],
    CONSTRAINT payments_step CHECK (
        (state = 'held' AND came_from IS NULL) OR (came_from, state) IN ({STEPS})
    ),
    CONSTRAINT payments_fee_parts CHECK (tax_minor + commission_minor <= fee_minor),
    -- Only an unsent payment can be cancelled, and only a sent one can have any other end.
    CONSTRAINT payments_sent CHECK (
        (state IN ('held', 'cancelled')) = (first_sent_at IS NULL)
        AND (first_sent_at IS NULL) = (requests = 0)
    ),
    CONSTRAINT payments_due CHECK ((state IN ('held', 'sent', 'unknown')) = (due_at IS NOT NULL)),
    CONSTRAINT payments_lease CHECK (lease_until IS NULL OR state IN ('sent', 'unknown')),
    CONSTRAINT payments_settled CHECK (
        (state IN ('held', 'sent', 'unknown', 'manual')) = (settled_at IS NULL)
    )
) WITH (fillfactor = 80);
CREATE INDEX payments_due ON payments (biller, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payments_in_flight ON payments (biller, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX payments_unsent ON payments (expires_at) WHERE state = 'held';
CREATE INDEX payments_manual ON payments (created_at) WHERE state = 'manual';
CREATE INDEX payments_by_person ON payments (person_id, id DESC);

CREATE TABLE payment_events (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id       uuid NOT NULL REFERENCES payments (id),
    at               timestamptz NOT NULL,
    from_state       text,
    to_state         text NOT NULL,
    what             text NOT NULL CHECK (what ~ '^[a-z][a-z_]{{1,39}}$'),
    facts            jsonb NOT NULL DEFAULT '{{}}',
    CONSTRAINT payment_events_step CHECK (
        (from_state IS NULL AND to_state = 'held') OR from_state = to_state
        OR (from_state, to_state) IN ({STEPS})
    )
);
CREATE INDEX payment_events_by_payment ON payment_events (payment_id, id);

CREATE TABLE biller_states (
    biller           text PRIMARY KEY,
    paused_at        timestamptz,
    failures         integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    open_until       timestamptz,
    probe_until      timestamptz,
    deposit_minor    bigint,
    deposit_at       timestamptz
);

CREATE TABLE payment_resolutions (
    id               uuid PRIMARY KEY,
    payment_id       uuid NOT NULL REFERENCES payments (id),
    outcome          text NOT NULL CHECK (outcome IN ('paid', 'refused', 'returned', 'paid_late')),
    tokens           text[],
    evidence         text NOT NULL CHECK (char_length(btrim(evidence)) BETWEEN 3 AND 1000),
    maker            text NOT NULL CHECK (btrim(maker) <> ''),
    proposed_at      timestamptz NOT NULL,
    checker          text CHECK (btrim(checker) <> ''),
    approved_at      timestamptz,
    withdrawn_at     timestamptz,
    CONSTRAINT payment_resolutions_four_eyes CHECK (lower(btrim(maker)) <> lower(btrim(checker))),
    CHECK ((checker IS NULL) = (approved_at IS NULL)),
    CHECK (approved_at IS NULL OR withdrawn_at IS NULL)
);
CREATE UNIQUE INDEX payment_resolutions_open ON payment_resolutions (payment_id)
    WHERE approved_at IS NULL AND withdrawn_at IS NULL;

CREATE TABLE worker_heartbeats (
    name             text PRIMARY KEY,
    queue            text NOT NULL,
    pid              integer NOT NULL,
    at               timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON payments, biller_states, payment_resolutions, worker_heartbeats
    TO kibanda_app;
GRANT SELECT, INSERT ON payment_events TO kibanda_app;
-- A stopped worker takes its own row away; without this the table would grow by one row a start.
GRANT DELETE ON worker_heartbeats TO kibanda_app;
"""

DOWN = """
DROP TABLE worker_heartbeats, payment_resolutions, biller_states, payment_events, payments;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
