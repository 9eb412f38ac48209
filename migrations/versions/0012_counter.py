"""The counter: withdrawals by code, float requests, bills that an agent pays for a customer.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UP = """
-- A withdrawal by code: the money is held, its price fixed, and one agent may pay it out.
CREATE TABLE withdrawals (
    id                uuid PRIMARY KEY,
    reference         text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    intent_id         uuid NOT NULL UNIQUE REFERENCES intents (id),
    person_id         uuid NOT NULL REFERENCES people (id),
    agent_id          uuid NOT NULL REFERENCES agents (id),
    hold_id           uuid NOT NULL UNIQUE REFERENCES holds (id),
    code_id           uuid NOT NULL UNIQUE REFERENCES one_time_codes (id),
    currency          text NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
    fee_minor         bigint NOT NULL CHECK (fee_minor >= 0),
    tax_minor         bigint NOT NULL CHECK (tax_minor >= 0),
    commission_minor  bigint NOT NULL CHECK (commission_minor >= 0),
    funded_minor      bigint NOT NULL CHECK (funded_minor >= 0),
    super_agent_minor bigint NOT NULL CHECK (super_agent_minor >= 0),
    fee_payer         text NOT NULL CHECK (fee_payer IN ('sender', 'receiver')),
    state             text NOT NULL CHECK (state IN ('open', 'used', 'expired', 'cancelled')),
    created_at        timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL CHECK (expires_at > created_at),
    proven_at         timestamptz,
    closed_at         timestamptz,
    transfer_id       uuid UNIQUE REFERENCES transfers (id),
    CONSTRAINT withdrawals_fee_parts CHECK (tax_minor + funded_minor <= fee_minor),
    CONSTRAINT withdrawals_closed CHECK ((state = 'open') = (closed_at IS NULL)),
    CONSTRAINT withdrawals_used CHECK (
        (state = 'used') = (transfer_id IS NOT NULL) AND (state <> 'used' OR proven_at IS NOT NULL))
);
CREATE UNIQUE INDEX withdrawals_open ON withdrawals (person_id) WHERE state = 'open';
CREATE INDEX withdrawals_due ON withdrawals (expires_at) WHERE state = 'open';

-- An agent asks its super-agent for float; one open request an agent.
CREATE TABLE float_requests (
    id                uuid PRIMARY KEY,
    agent_id          uuid NOT NULL REFERENCES agents (id),
    super_agent_id    uuid NOT NULL REFERENCES agents (id),
    currency          text NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
    state             text NOT NULL CHECK (state IN ('open', 'granted', 'refused', 'expired')),
    created_at        timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL CHECK (expires_at > created_at),
    closed_at         timestamptz,
    transfer_id       uuid UNIQUE REFERENCES transfers (id),
    CONSTRAINT float_requests_parties CHECK (agent_id <> super_agent_id),
    CONSTRAINT float_requests_closed CHECK ((state = 'open') = (closed_at IS NULL)),
    CONSTRAINT float_requests_granted CHECK ((state = 'granted') = (transfer_id IS NOT NULL))
);
CREATE UNIQUE INDEX float_requests_open ON float_requests (agent_id) WHERE state = 'open';
CREATE INDEX float_requests_waiting ON float_requests (super_agent_id, id) WHERE state = 'open';
CREATE INDEX float_requests_due ON float_requests (expires_at) WHERE state = 'open';

-- A bill that an agent pays out of its float (then `wallet_id` is the float) for somebody at the
-- counter. `earned_minor` is all that agents earn of it, `commission_minor` what its fee funds.
ALTER TABLE payments
    ADD agent_id          uuid REFERENCES agents (id),
    ADD customer_msisdn   text CHECK (customer_msisdn ~ '^\\+[1-9][0-9]{6,14}$'),
    ADD earned_minor      bigint NOT NULL DEFAULT 0,
    ADD super_agent_minor bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT payments_at_counter CHECK ((agent_id IS NULL) = (customer_msisdn IS NULL)),
    ADD CONSTRAINT payments_earned CHECK (
        commission_minor <= earned_minor AND super_agent_minor BETWEEN 0 AND earned_minor
        OR agent_id IS NULL AND earned_minor = 0 AND super_agent_minor = 0);
CREATE INDEX payments_at_counter ON payments (agent_id, id DESC) WHERE agent_id IS NOT NULL;

-- Deposits of a stretch of time, whoever took them: `flask agent splits`.
CREATE INDEX transfers_cash_in_by_time ON transfers (created_at) WHERE kind = 'cash_in';

GRANT SELECT, INSERT ON withdrawals, float_requests TO kibanda_app;
GRANT UPDATE (state, closed_at, transfer_id, proven_at) ON withdrawals TO kibanda_app;
GRANT UPDATE (state, closed_at, transfer_id) ON float_requests TO kibanda_app;
"""

DOWN = """
DROP INDEX transfers_cash_in_by_time;
ALTER TABLE payments DROP COLUMN super_agent_minor, DROP COLUMN earned_minor,
    DROP COLUMN customer_msisdn, DROP COLUMN agent_id;
DROP TABLE float_requests, withdrawals;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
