"""Agents, their commission, and the transfers of people and agents.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"
FUNCTIONS = ("rules_v2", "over_ceiling_v1", "commission_v1")

# As app/markets/tariffs.py and app/wallet/transfers/records.py have them; a test compares them.
UP = """
CREATE TABLE agents (
    id                uuid PRIMARY KEY,
    person_id         uuid NOT NULL UNIQUE REFERENCES people (id),
    code              text NOT NULL UNIQUE CHECK (code ~ '^[1-9][0-9]{5}$'),
    name              text NOT NULL CHECK (char_length(name) BETWEEN 2 AND 40),
    parent_id         uuid REFERENCES agents (id),
    is_super          boolean NOT NULL,
    float_id          bigint NOT NULL UNIQUE REFERENCES accounts (id),
    state             text NOT NULL CHECK (state IN ('active', 'suspended', 'closed')),
    low_float_told_at timestamptz,
    created_at        timestamptz NOT NULL,
    CONSTRAINT agents_tree CHECK (NOT (is_super AND parent_id IS NOT NULL))
);
CREATE INDEX agents_by_parent ON agents (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE transfers (
    id                uuid PRIMARY KEY,
    reference         text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    kind              text NOT NULL CHECK (kind IN (
                          'send', 'voucher', 'voucher_collect', 'cash_in', 'cash_out',
                          'float_move', 'float_payout', 'closing')),
    intent_id         uuid UNIQUE REFERENCES intents (id),
    payer_account     bigint NOT NULL,
    payee_account     bigint NOT NULL,
    payer_id          uuid REFERENCES people (id),
    payee_id          uuid REFERENCES people (id),
    agent_id          uuid REFERENCES agents (id),
    msisdn            text CHECK (msisdn ~ '^\\+[1-9][0-9]{6,14}$'),
    currency          text NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor > 0),
    fee_minor         bigint NOT NULL CHECK (fee_minor >= 0),
    tax_minor         bigint NOT NULL CHECK (tax_minor >= 0),
    funded_minor      bigint NOT NULL CHECK (funded_minor >= 0),
    fee_payer         text NOT NULL CHECK (fee_payer IN ('sender', 'receiver')),
    posting_id        bigint NOT NULL UNIQUE,
    created_at        timestamptz NOT NULL,
    reversed_at       timestamptz,
    reversed_minor    bigint CHECK (reversed_minor > 0),
    reversal_id       bigint UNIQUE,
    CONSTRAINT transfers_fee_parts CHECK (tax_minor + funded_minor <= fee_minor),
    CONSTRAINT transfers_parties CHECK (payer_account <> payee_account),
    CONSTRAINT transfers_reversed CHECK (
        (reversed_at IS NULL) = (reversed_minor IS NULL)
        AND (reversed_at IS NULL) = (reversal_id IS NULL))
) WITH (fillfactor = 90);
CREATE INDEX transfers_by_payer_account ON transfers (payer_account, id DESC);
CREATE INDEX transfers_by_payer ON transfers (payer_id, id DESC);
CREATE INDEX transfers_by_payee ON transfers (payee_id, id DESC);
CREATE INDEX transfers_by_agent ON transfers (agent_id, id DESC) WHERE agent_id IS NOT NULL;

-- Append-only. `funded_minor` is what the posting gave to the house account `commission`; the rest
-- the operator owes. A reversal's row takes back with negative amounts.
CREATE TABLE commission_accruals (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id          uuid NOT NULL REFERENCES agents (id),
    posting_id        bigint NOT NULL,
    reference         text NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor <> 0),
    funded_minor      bigint NOT NULL,
    accrued_at        timestamptz NOT NULL,
    payout_id         uuid,
    UNIQUE (agent_id, posting_id),
    CONSTRAINT commission_accruals_funded CHECK (
        sign(funded_minor) IN (0, sign(amount_minor)) AND abs(funded_minor) <= abs(amount_minor))
);
CREATE INDEX commission_accruals_by_posting ON commission_accruals (posting_id);
CREATE INDEX commission_accruals_unpaid ON commission_accruals (agent_id, accrued_at)
    WHERE payout_id IS NULL;

-- What had accrued at one instant. `posting_id` is set when it was paid. One part may be below
-- zero: it then gives back what a reversal took from an agent that had been paid already.
CREATE TABLE commission_payouts (
    id                uuid PRIMARY KEY,
    agent_id          uuid NOT NULL REFERENCES agents (id),
    float_id          bigint NOT NULL,
    funded_minor      bigint NOT NULL,
    owed_minor        bigint NOT NULL,
    snapshot_at       timestamptz NOT NULL,
    posting_id        bigint UNIQUE,
    CHECK (funded_minor + owed_minor > 0)
);
CREATE INDEX commission_payouts_by_agent ON commission_payouts (agent_id, id DESC);
CREATE INDEX commission_payouts_due ON commission_payouts (id) WHERE posting_id IS NULL;

GRANT SELECT, INSERT ON agents, transfers TO kibanda_app;
GRANT UPDATE (name, parent_id, is_super, state, low_float_told_at) ON agents TO kibanda_app;
GRANT UPDATE (reversed_at, reversed_minor, reversal_id) ON transfers TO kibanda_app;
-- Accruals and snapshots are made by functions only: money is paid by them.
GRANT SELECT ON commission_accruals, commission_payouts TO kibanda_app;
GRANT UPDATE (posting_id) ON commission_payouts TO kibanda_app;
"""


def upgrade() -> None:
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(UP)
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
