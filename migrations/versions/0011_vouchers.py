"""Vouchers for numbers that are not registered, and stops of what was sent wrongly.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"
FUNCTIONS = ("lock_accounts_v1",)

UP = """
-- Money for a number that has no wallet, in an account of its own. `collection_id` is the transfer
-- that took it out. `code_id` names the code; the code itself stands nowhere.
CREATE TABLE vouchers (
    id            uuid PRIMARY KEY,
    transfer_id   uuid NOT NULL UNIQUE REFERENCES transfers (id),
    sender_id     uuid NOT NULL REFERENCES people (id),
    msisdn        text NOT NULL CHECK (msisdn ~ '^\\+[1-9][0-9]{6,14}$'),
    account_id    bigint NOT NULL UNIQUE,
    code_id       uuid NOT NULL UNIQUE,
    expires_at    timestamptz NOT NULL,
    state         text NOT NULL CHECK (state IN ('open', 'collected', 'returned')),
    collected_by  text CHECK (collected_by IN ('agent', 'person')),
    collection_id uuid UNIQUE REFERENCES transfers (id),
    closed_at     timestamptz,
    CONSTRAINT vouchers_closed CHECK ((state = 'open') = (closed_at IS NULL)),
    CONSTRAINT vouchers_collected CHECK (
        (state = 'collected') = (collected_by IS NOT NULL)
        AND (state = 'collected') = (collection_id IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX vouchers_open_by_msisdn ON vouchers (msisdn) WHERE state = 'open';
CREATE INDEX vouchers_due ON vouchers (expires_at) WHERE state = 'open';

-- One request a transfer to give it back. `held_minor` of the payee's money is set aside by
-- `hold_id` until staff decide or `expires_at`; nothing where the payee is an agent or has nothing.
CREATE TABLE stops (
    id               uuid PRIMARY KEY,
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    transfer_id      uuid NOT NULL UNIQUE REFERENCES transfers (id),
    asked_by         uuid NOT NULL REFERENCES people (id),
    asked_at         timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    hold_id          uuid UNIQUE,
    held_minor       bigint NOT NULL CHECK (held_minor >= 0),
    state            text NOT NULL CHECK (state IN ('open', 'approved', 'refused', 'lapsed')),
    decided_by       text CHECK (decided_by <> ''),
    decided_at       timestamptz,
    given_back_minor bigint NOT NULL DEFAULT 0 CHECK (given_back_minor >= 0),
    top_up_minor     bigint NOT NULL DEFAULT 0 CHECK (top_up_minor >= 0),
    top_up_id        bigint UNIQUE,
    CONSTRAINT stops_held CHECK ((hold_id IS NULL) = (held_minor = 0)),
    CONSTRAINT stops_decided CHECK (
        (state = 'open') = (decided_at IS NULL)
        AND (state IN ('approved', 'refused')) = (decided_by IS NOT NULL)),
    CONSTRAINT stops_given CHECK (
        (state = 'approved') = (given_back_minor + top_up_minor > 0)
        AND (top_up_minor > 0) = (top_up_id IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX stops_due ON stops (expires_at) WHERE state = 'open';

-- What the operator gave on top and later got from the payee; `reversal_id` is the posting that the
-- payee had not enough for, null where nothing was left to give back.
CREATE TABLE stop_collections (
    id            uuid PRIMARY KEY,
    stop_id       uuid NOT NULL REFERENCES stops (id),
    reversal_id   bigint,
    posting_id    bigint NOT NULL UNIQUE,
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    collected_by  text NOT NULL CHECK (collected_by <> ''),
    collected_at  timestamptz NOT NULL
);
CREATE INDEX stop_collections_by_stop ON stop_collections (stop_id);

-- What a number was told before it was anybody's: staff are asked about a voucher by its receiver.
CREATE INDEX messages_to_strangers ON messages (msisdn, created_at DESC) WHERE person_id IS NULL;

GRANT SELECT, INSERT ON vouchers, stops, stop_collections TO kibanda_app;
GRANT UPDATE (state, collected_by, collection_id, closed_at) ON vouchers TO kibanda_app;
GRANT UPDATE (state, hold_id, held_minor, decided_by, decided_at, given_back_minor, top_up_minor,
              top_up_id) ON stops TO kibanda_app;
"""


def upgrade() -> None:
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(UP)
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
