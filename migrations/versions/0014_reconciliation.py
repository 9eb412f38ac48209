"""Billers' daily files, what does not fit in them, write-offs, and orders to pay billers.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"
FUNCTIONS = ("rules_v3",)

RECONCILIATION = """
-- One file of a biller: a day of it comes in once, and so do its bytes.
CREATE TABLE reconciliation_runs (
    id               uuid PRIMARY KEY,
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    biller           text NOT NULL,
    day              date NOT NULL,
    currency         text NOT NULL,
    sha256           bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    file_name        text NOT NULL CHECK (char_length(file_name) <= 255),
    lines            integer NOT NULL DEFAULT 0 CHECK (lines >= 0),
    ignored          integer NOT NULL DEFAULT 0 CHECK (ignored BETWEEN 0 AND lines),
    total_minor      bigint NOT NULL DEFAULT 0,
    matched          integer NOT NULL DEFAULT 0,
    matched_minor    bigint NOT NULL DEFAULT 0,
    maker            text NOT NULL CHECK (maker <> ''),
    made_at          timestamptz NOT NULL,
    UNIQUE (biller, day)
);

-- Each payment that stood in a file as we have it. No foreign keys: a million rows come in at once,
-- and the statement that writes them reads the payments themselves.
CREATE TABLE reconciled_payments (
    payment_id       uuid PRIMARY KEY,
    run_id           uuid NOT NULL
);

-- What does not fit. `number` counts within the run; staff say `<run>-<number>`.
CREATE TABLE reconciliation_exceptions (
    run_id           uuid NOT NULL REFERENCES reconciliation_runs (id),
    number           integer NOT NULL CHECK (number > 0),
    biller           text NOT NULL,
    kind             text NOT NULL CHECK (
                         kind IN ('only_ours', 'only_theirs', 'different', 'duplicate')),
    why              text NOT NULL CHECK (why ~ '^[a-z][a-z_]{1,39}$'),
    line             integer,
    biller_ref       text NOT NULL,
    payment_id       uuid REFERENCES payments (id),
    ours_minor       bigint,
    theirs_minor     bigint,
    state            text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
    outcome          text CHECK (outcome IN (
                         'found', 'captured', 'returned', 'written_off', 'closed')),
    claimed_at       timestamptz,
    claimed_by       text,
    note             text CHECK (char_length(btrim(note)) BETWEEN 3 AND 1000),
    case_id          uuid REFERENCES cases (id),
    opened_at        timestamptz NOT NULL,
    done_at          timestamptz,
    PRIMARY KEY (run_id, number),
    CHECK ((ours_minor IS NULL) = (payment_id IS NULL)),
    CHECK ((theirs_minor IS NULL) = (line IS NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL) AND (state = 'done') = (outcome IS NOT NULL)),
    CHECK ((claimed_at IS NULL) = (claimed_by IS NULL)),
    -- What staff end, two of them ended: the case has both, and a constraint that they are two.
    CONSTRAINT reconciliation_exceptions_case CHECK (
        (outcome IN ('written_off', 'closed')) IS NOT TRUE OR case_id IS NOT NULL)
);
CREATE INDEX reconciliation_exceptions_open ON reconciliation_exceptions (opened_at)
    WHERE state = 'open';
CREATE INDEX reconciliation_exceptions_payment ON reconciliation_exceptions (payment_id)
    WHERE payment_id IS NOT NULL;
CREATE INDEX payments_settled ON payments (biller, settled_at) WHERE state = 'captured';

GRANT SELECT, INSERT ON reconciliation_runs, reconciled_payments, reconciliation_exceptions
    TO kibanda_app;
GRANT UPDATE (lines, ignored, total_minor, matched, matched_minor) ON reconciliation_runs
    TO kibanda_app;
GRANT UPDATE (state, outcome, claimed_at, claimed_by, note, case_id, done_at)
    ON reconciliation_exceptions TO kibanda_app;
"""

ORDERS = """
-- What is paid to a biller: made by one, approved by another, posted by the bank's own line.
CREATE TABLE settlement_orders (
    id               uuid PRIMARY KEY,
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    biller           text NOT NULL,
    account_id       bigint NOT NULL,
    currency         currency_code NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    debtor           jsonb NOT NULL,
    creditor         jsonb NOT NULL,
    state            text NOT NULL DEFAULT 'ordered'
                     CHECK (state IN ('ordered', 'paid', 'came_back', 'cancelled')),
    maker            text NOT NULL CHECK (maker <> ''),
    checker          text NOT NULL,
    made_at          timestamptz NOT NULL,
    cancel_maker     text,
    cancel_checker   text,
    ended_at         timestamptz,
    CONSTRAINT settlement_orders_four_eyes CHECK (
        maker <> checker AND cancel_maker <> cancel_checker),
    CHECK ((state = 'ordered') = (ended_at IS NULL)),
    CHECK ((state = 'cancelled') = (cancel_maker IS NOT NULL)
           AND (cancel_maker IS NULL) = (cancel_checker IS NULL))
);
CREATE INDEX settlement_orders_open ON settlement_orders (made_at) WHERE state = 'ordered';

-- The days that an order pays: the one that was asked for, and earlier ones of which the biller
-- owes us. Taken once, until the order is cancelled or its money comes back.
CREATE TABLE settlement_order_days (
    order_id         uuid NOT NULL REFERENCES settlement_orders (id),
    biller           text NOT NULL,
    currency         currency_code NOT NULL,
    day              date NOT NULL,
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    net_minor        bigint NOT NULL,
    taken            boolean NOT NULL DEFAULT true,
    PRIMARY KEY (order_id, day)
);
CREATE UNIQUE INDEX settlement_order_days_once ON settlement_order_days (biller, currency, day)
    WHERE taken;

-- A line of the bank may be an order's: it was paid, or it came back.
ALTER TABLE bank_matches
    ADD order_id uuid REFERENCES settlement_orders (id),
    DROP CONSTRAINT bank_matches_kind_check,
    ADD CONSTRAINT bank_matches_kind_check CHECK (kind IN (
        'deposit', 'payout', 'returned', 'account', 'settlement', 'settlement_back')),
    ADD CONSTRAINT bank_matches_of_order CHECK (
        (kind IN ('settlement', 'settlement_back')) = (order_id IS NOT NULL));
CREATE UNIQUE INDEX bank_matches_order ON bank_matches (order_id, kind) WHERE withdrawn_at IS NULL;

GRANT SELECT, INSERT ON settlement_orders, settlement_order_days TO kibanda_app;
GRANT UPDATE (state, ended_at, cancel_maker, cancel_checker) ON settlement_orders TO kibanda_app;
GRANT UPDATE (taken) ON settlement_order_days TO kibanda_app;
"""


def upgrade() -> None:
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    for statements in (RECONCILIATION, ORDERS):
        run(statements)
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
