"""Messages to people, what the gateway called them, and its delivery reports.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE messages (
    id            uuid PRIMARY KEY,
    kind          text NOT NULL,
    subject       uuid NOT NULL,
    person_id     uuid,
    msisdn        text NOT NULL CHECK (msisdn ~ '^\\+[1-9][0-9]{6,14}$'),
    language      text NOT NULL,
    facts         jsonb NOT NULL,
    text          text,
    state         text NOT NULL DEFAULT 'due'
                  CHECK (state IN ('due', 'sending', 'sent', 'refused', 'gave_up')),
    due_at        timestamptz,
    attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    doubts        integer NOT NULL DEFAULT 0 CHECK (doubts >= 0),
    repeats       integer NOT NULL DEFAULT 0 CHECK (repeats >= 0),
    fence         integer NOT NULL DEFAULT 0,
    lease_until   timestamptz,
    provider_id   text,
    cost          text,
    delivery      text,
    last_error    text,
    created_at    timestamptz NOT NULL,
    sent_at       timestamptz,
    UNIQUE (subject, kind),
    CHECK ((state IN ('due', 'sending')) = (due_at IS NOT NULL)),
    CHECK (state <> 'sending' OR (text IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_unsent ON messages (state) WHERE state <> 'sent';
CREATE INDEX messages_by_person ON messages (person_id, created_at DESC);

-- A repeat must be the same bytes, so a text that was once stored stays.
CREATE FUNCTION messages_text_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the text of message % is stored and stays', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER messages_text_stays BEFORE UPDATE ON messages FOR EACH ROW
    WHEN (OLD.text IS NOT NULL AND NEW.text IS DISTINCT FROM OLD.text)
    EXECUTE FUNCTION messages_text_stays();

-- One row for each message id of the gateway. Its unique key makes "we recorded the id" and "a
-- report about it came" wait for each other, so neither order of the two loses the report.
CREATE TABLE deliveries (
    provider_id   text PRIMARY KEY,
    message_id    uuid REFERENCES messages (id),
    word          text,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX deliveries_by_message ON deliveries (message_id);

CREATE TABLE delivery_reports (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id   text NOT NULL,
    status        text NOT NULL,
    word          text NOT NULL,
    reason        text,
    msisdn        text,
    network       text,
    retry_count   integer,
    received_at   timestamptz NOT NULL
);
CREATE INDEX delivery_reports_by_provider_id ON delivery_reports (provider_id, id);

-- What was said, to whom and when it was asked for is written once; only its fate changes.
GRANT SELECT, INSERT ON messages, deliveries, delivery_reports TO kibanda_app;
GRANT UPDATE (text, state, due_at, attempts, doubts, repeats, fence, lease_until, provider_id,
              cost, delivery, last_error, sent_at) ON messages TO kibanda_app;
GRANT UPDATE (message_id, word, updated_at) ON deliveries TO kibanda_app;
"""

DOWN = """
DROP TABLE delivery_reports, deliveries, messages;
DROP FUNCTION messages_text_stays;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
