"""People: states, identity documents, PIN history, one-time codes, PIN resets.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP = """
-- Who was registered by an agent is invited until they agree on their own phone.
ALTER TABLE people
    DROP CONSTRAINT people_state_check,
    ADD CONSTRAINT people_state_check
        CHECK (state IN ('invited', 'active', 'suspended', 'dormant', 'closed')),
    ALTER consented_at DROP NOT NULL,
    ADD CONSTRAINT people_consented CHECK ((consented_at IS NULL) = (state = 'invited')),
    ADD state_since timestamptz NOT NULL DEFAULT now(),
    ADD tier_since timestamptz NOT NULL DEFAULT now(),
    -- When somebody should look whether they have gone quiet; the chore sets it anew.
    ADD look_again_at timestamptz NOT NULL DEFAULT now();
UPDATE people
    SET state_since = created_at, tier_since = created_at, look_again_at = created_at;
CREATE INDEX people_to_look_at ON people (look_again_at)
    WHERE state = 'active' AND role = 'customer';

-- The number of a document is kept as a keyed hash, and its end to tell two documents apart.
CREATE TABLE identity_documents (
    person_id     uuid PRIMARY KEY REFERENCES people (id),
    kind          text NOT NULL,
    number_hash   bytea NOT NULL,
    hint          text NOT NULL CHECK (char_length(hint) <= 3),
    seen_by       text NOT NULL,
    seen_at       timestamptz NOT NULL
);

-- The last PINs of a person, the current one included, sealed as in `pins`.
CREATE TABLE pin_history (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id     uuid NOT NULL REFERENCES people (id),
    sealed        bytea NOT NULL,
    changed_at    timestamptz NOT NULL
);
CREATE INDEX pin_history_by_person ON pin_history (person_id, id DESC);
INSERT INTO pin_history (person_id, sealed, changed_at)
    SELECT person_id, sealed, changed_at FROM pins;

-- All of a one-time code but its digits, which are derived from the row and a key elsewhere.
CREATE TABLE one_time_codes (
    id            uuid PRIMARY KEY,
    purpose       text NOT NULL CHECK (purpose IN ('otp', 'voucher', 'withdrawal')),
    subject       uuid NOT NULL,
    digits        integer NOT NULL CHECK (digits BETWEEN 6 AND 12),
    key_version   integer NOT NULL,
    tries_left    integer NOT NULL CHECK (tries_left >= 0),
    state         text NOT NULL CHECK (state IN ('open', 'used', 'withdrawn')),
    expires_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    closed_at     timestamptz,
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK (expires_at > created_at)
);
CREATE INDEX one_time_codes_by_subject ON one_time_codes (subject);

-- A forgotten PIN: who asked for the code, and what became of it. `refused`: the document was not
-- the person's; no code was sent.
CREATE TABLE pin_resets (
    id               uuid PRIMARY KEY,
    person_id        uuid NOT NULL REFERENCES people (id),
    started_by_kind  text NOT NULL CHECK (started_by_kind IN ('agent', 'staff')),
    started_by       text NOT NULL,
    evidence         text,
    state            text NOT NULL CHECK (state IN ('open', 'done', 'expired', 'refused')),
    code_id          uuid UNIQUE REFERENCES one_time_codes (id),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    closed_at        timestamptz,
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK ((state = 'refused') = (code_id IS NULL)),
    CHECK (started_by_kind <> 'staff' OR evidence <> '')
);
CREATE INDEX pin_resets_by_person ON pin_resets (person_id, created_at DESC);
CREATE UNIQUE INDEX pin_resets_open ON pin_resets (person_id) WHERE state = 'open';

GRANT SELECT, INSERT, UPDATE ON identity_documents TO kibanda_app;
GRANT SELECT, INSERT, DELETE ON pin_history TO kibanda_app;
GRANT SELECT, INSERT ON one_time_codes, pin_resets TO kibanda_app;
GRANT UPDATE (tries_left, state, closed_at) ON one_time_codes TO kibanda_app;
GRANT UPDATE (state, closed_at) ON pin_resets TO kibanda_app;
"""

DOWN = """
DROP TABLE pin_resets, one_time_codes, pin_history, identity_documents;
DROP INDEX people_to_look_at;
ALTER TABLE people
    DROP COLUMN look_again_at,
    DROP COLUMN tier_since,
    DROP COLUMN state_since,
    DROP CONSTRAINT people_consented,
    DROP CONSTRAINT people_state_check,
    ALTER consented_at SET NOT NULL,
    ADD CONSTRAINT people_state_check CHECK (state IN ('active', 'suspended'));
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
