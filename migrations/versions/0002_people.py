"""People, their PINs, and the intents that make one confirmation move money once.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE people (
    id            uuid PRIMARY KEY,
    msisdn        text NOT NULL UNIQUE CHECK (msisdn ~ '^\\+[1-9][0-9]{6,14}$'),
    name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 40),
    language      text NOT NULL,
    tier          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('customer', 'agent')),
    state         text NOT NULL CHECK (state IN ('active', 'suspended')),
    wallet_id     bigint NOT NULL UNIQUE REFERENCES accounts (id),
    consented_at  timestamptz NOT NULL,
    created_at    timestamptz NOT NULL
);

CREATE TABLE pins (
    person_id     uuid PRIMARY KEY REFERENCES people (id),
    sealed        bytea NOT NULL,
    attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    locked_until  timestamptz,
    changed_at    timestamptz NOT NULL
);

CREATE TABLE intents (
    id            uuid PRIMARY KEY,
    session_hash  bytea NOT NULL,
    person_id     uuid NOT NULL REFERENCES people (id),
    kind          text NOT NULL,
    fingerprint   bytea NOT NULL,
    deadline      timestamptz NOT NULL,
    state         text NOT NULL CHECK (state IN ('open', 'done', 'abandoned', 'expired')),
    subject       uuid,
    created_at    timestamptz NOT NULL,
    closed_at     timestamptz,
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK ((state = 'done') = (subject IS NOT NULL))
);
CREATE INDEX intents_by_session ON intents (session_hash);
CREATE INDEX intents_by_person ON intents (person_id, id DESC);
CREATE INDEX intents_open ON intents (deadline) WHERE state = 'open';

GRANT SELECT, INSERT, UPDATE ON people, pins, intents TO kibanda_app;
"""

DOWN = "DROP TABLE intents, pins, people;"


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
