"""Named staff: passwords, TOTP, roles, sessions, and what one proposes and another approves.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
-- The password is an argon2id hash, the TOTP secret is sealed under PIN_KEYS for this very row.
CREATE TABLE staff (
    id            uuid PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9._-]{1,31}$'),
    roles         text[] NOT NULL CHECK (
                      cardinality(roles) > 0
                      AND roles <@ ARRAY['support', 'finance', 'supervisor', 'admin']),
    password      text NOT NULL CHECK (password LIKE '$argon2id$%'),
    totp_secret   bytea NOT NULL,
    totp_step     bigint NOT NULL CHECK (totp_step >= 0),
    state         text NOT NULL CHECK (state IN ('active', 'suspended')),
    attempts      integer NOT NULL CHECK (attempts >= 0),
    locked_until  timestamptz,
    created_at    timestamptz NOT NULL,
    created_by    uuid REFERENCES staff (id),
    UNIQUE (id, name)
);
-- Only one account was ever made by nobody: the first.
CREATE UNIQUE INDEX staff_first ON staff ((true)) WHERE created_by IS NULL;

-- Of the token that staff hold there is only its SHA-256.
CREATE TABLE staff_sessions (
    token_hash    bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    staff_id      uuid NOT NULL REFERENCES staff (id),
    started_at    timestamptz NOT NULL,
    used_at       timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX staff_sessions_open ON staff_sessions (staff_id) WHERE ended_at IS NULL;

-- Append-only: who changed whose account.
CREATE TABLE staff_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staff_id      uuid NOT NULL REFERENCES staff (id),
    what          text NOT NULL CHECK (what IN ('added', 'suspended', 'resumed', 'reset')),
    by_id         uuid REFERENCES staff (id),
    at            timestamptz NOT NULL,
    CONSTRAINT staff_events_reset_by_another CHECK (what <> 'reset' OR by_id <> staff_id)
);

-- What one proposes and another approves. A name stands beside its id, and cannot be another's.
CREATE TABLE cases (
    id            uuid PRIMARY KEY,
    reference     text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    kind          text NOT NULL CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    subject       text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 80),
    facts         jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
    evidence      text NOT NULL CHECK (char_length(btrim(evidence)) BETWEEN 3 AND 1000),
    state         text NOT NULL CHECK (state IN ('proposed', 'approved', 'withdrawn', 'refused')),
    maker_id      uuid NOT NULL,
    maker         text NOT NULL,
    proposed_at   timestamptz NOT NULL,
    checker_id    uuid,
    checker       text,
    decided_at    timestamptz,
    reason        text CHECK (char_length(btrim(reason)) BETWEEN 3 AND 1000),
    FOREIGN KEY (maker_id, maker) REFERENCES staff (id, name),
    FOREIGN KEY (checker_id, checker) REFERENCES staff (id, name) MATCH FULL,
    CONSTRAINT cases_four_eyes CHECK (maker_id <> checker_id),
    CHECK ((state = 'proposed') = (decided_at IS NULL)),
    CHECK ((state IN ('approved', 'refused')) = (checker_id IS NOT NULL)),
    CHECK ((state = 'refused') = (reason IS NOT NULL))
);
CREATE UNIQUE INDEX cases_open ON cases (kind, subject) WHERE state = 'proposed';
CREATE INDEX cases_by_subject ON cases (subject);
CREATE INDEX cases_by_time ON cases (proposed_at DESC);

CREATE FUNCTION cases_decision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'case % is decided and stays so', OLD.reference
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER cases_decision_stays BEFORE UPDATE ON cases FOR EACH ROW
    WHEN (OLD.state <> 'proposed') EXECUTE FUNCTION cases_decision_stays();

-- Who somebody is, what they did and what was proposed is written once.
GRANT SELECT, INSERT ON staff, staff_sessions, staff_events, cases TO kibanda_app;
GRANT UPDATE (password, totp_secret, totp_step, state, attempts, locked_until) ON staff
    TO kibanda_app;
GRANT UPDATE (used_at, ended_at) ON staff_sessions TO kibanda_app;
GRANT UPDATE (state, checker_id, checker, decided_at, reason) ON cases TO kibanda_app;
"""

DOWN = """
DROP TABLE cases, staff_events, staff_sessions, staff;
DROP FUNCTION cases_decision_stays;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
