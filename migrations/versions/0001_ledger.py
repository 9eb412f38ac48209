"""The ledger: its tables, who may touch them, and the posting functions.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"

# A versioned file is never edited after its release: a change is a new version, and a migration.
FUNCTIONS = (
    "rules_v1",
    "make_partitions_v1",
    "open_account_v1",
    "bank_line_v1",
    "post_v1",
    "hold_v1",
    "release_v1",
    "reverse_v1",
    "deposit_v1",
    "roll_up_v1",
    "detach_month_v1",
)

ACCOUNTS = """
CREATE DOMAIN currency_code AS text CHECK (VALUE ~ '^[A-Z]{3}$');
CREATE DOMAIN owner_kind AS text
    CHECK (VALUE IN ('person', 'agent', 'merchant', 'biller', 'house'));
-- The first five have a floor; the others are the house's.
CREATE DOMAIN account_kind AS text CHECK (
    VALUE IN ('wallet', 'float', 'till', 'voucher', 'savings',
              'fees', 'tax', 'commission',
              'trust_bank', 'deposits_in_transit', 'payouts_in_transit')
    OR VALUE ~ '^(settlement|suspense):[a-z0-9_-]{1,40}$'
);

-- Integer minor units; one currency an account; balance = credits - debits. The money of people is
-- positive, trust_bank is negative in here.
--
-- What is said once, when an account is opened, is guarded by domains and open_account_v1. A CHECK
-- of the table is parsed again by every statement that writes a row, so here is only the one about
-- money.
--
-- No table has a foreign key onto accounts: its check takes a share lock on the account's row, and
-- on a house row that everybody's money passes that lock is a queue. verify() looks for orphans.
CREATE TABLE accounts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        account_kind  NOT NULL,
    currency    currency_code NOT NULL,
    owner_kind  owner_kind    NOT NULL,
    owner_id    uuid,
    house       boolean       NOT NULL GENERATED ALWAYS AS (
                    kind NOT IN ('wallet', 'float', 'till', 'voucher', 'savings')) STORED,
    floor_minor bigint        NOT NULL DEFAULT 0,
    balance     bigint        NOT NULL DEFAULT 0,  -- of a house account: the rolled-up snapshot
    held        bigint        NOT NULL DEFAULT 0,
    seq         bigint        NOT NULL DEFAULT 0,  -- moves that touched it; the house counts none
    opened_at   timestamptz   NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (owner_kind, owner_id, kind, currency),
    CONSTRAINT accounts_floor CHECK (house OR held >= 0 AND balance - held >= floor_minor)
) WITH (fillfactor = 70);  -- room on the page, so that a new balance need not touch an index

-- What moved on house accounts since their snapshot. Nobody waits for anybody here. No index: it is
-- read whole, and every few seconds roll_up_v1 empties it. Vacuum does not truncate it, which would
-- lock out everybody for pages that are needed again at once.
CREATE TABLE house_pending (
    account_id   bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        vacuum_truncate = false);
"""

POSTINGS = """
CREATE SEQUENCE posting_ids AS bigint;
CREATE DOMAIN positive_minor AS bigint CHECK (VALUE > 0);  -- read once a session, unlike a CHECK

-- One event of money.
CREATE TABLE postings (
    id        bigint       NOT NULL,
    posted_at timestamptz  NOT NULL,
    key       uuid         NOT NULL,
    kind      varchar(40)  NOT NULL,
    reference varchar(140) NOT NULL,
    authority text,
    hold_id   uuid,
    PRIMARY KEY (id, posted_at)
) PARTITION BY RANGE (posted_at);
CREATE TABLE postings_default PARTITION OF postings DEFAULT;

-- Each row takes from `debit` and gives to `credit`, so a posting sums to zero by its form. A side
-- with a floor carries its account's sequence number and the balance after; a house side, nulls.
CREATE TABLE moves (
    posting_id     bigint         NOT NULL,
    posted_at      timestamptz    NOT NULL,
    debit          bigint         NOT NULL,
    credit         bigint         NOT NULL,
    amount_minor   positive_minor NOT NULL,
    debit_seq      bigint,
    debit_balance  bigint,
    credit_seq     bigint,
    credit_balance bigint,
    line           smallint       NOT NULL,
    PRIMARY KEY (posting_id, line, posted_at)
) PARTITION BY RANGE (posted_at);
CREATE TABLE moves_default PARTITION OF moves DEFAULT;

-- Statements: of an account with a floor by its sequence; of the house, which has none, by time.
-- One index serves both; every further one is paid for by every move.
CREATE INDEX moves_debit  ON moves (debit,  debit_seq,  posted_at);
CREATE INDEX moves_credit ON moves (credit, credit_seq, posted_at);

-- What was answered to a key, for ever. The fingerprint is 16 bytes of BLAKE2b over the request;
-- uuid is PostgreSQL's type of 16 bytes. Neither posting nor refusal: a hold was accepted.
CREATE TABLE posting_keys (
    key          uuid        PRIMARY KEY,
    fingerprint  uuid        NOT NULL,
    posting_id   bigint,
    refusal      text,
    amount_minor bigint,      -- of a reversal: what was given back
    reversed_by  bigint,      -- the posting that reversed this one
    recorded_at  timestamptz NOT NULL
) PARTITION BY HASH (key);

-- What a detached month leaves behind, so that verify can replay from there.
CREATE TABLE opening_balances (
    account_id    bigint PRIMARY KEY,
    balance_minor numeric NOT NULL,
    seq           bigint  NOT NULL
);
CREATE TABLE detached_months (
    month       date PRIMARY KEY,
    detached_at timestamptz NOT NULL DEFAULT now()
);
"""

HOLDS = """
-- Money set aside in an account; the id is the key of the request. Every end acts on `held` only.
CREATE TABLE holds (
    id             uuid        PRIMARY KEY,
    account_id     bigint      NOT NULL,
    amount_minor   bigint      NOT NULL,
    state          text        NOT NULL DEFAULT 'held',
    captured_minor bigint      NOT NULL DEFAULT 0,
    posting_id     bigint,
    expires_at     timestamptz,
    reference      varchar(140) NOT NULL,
    reason         varchar(140),
    held_at        timestamptz NOT NULL,
    closed_at      timestamptz,
    CONSTRAINT holds_state CHECK (
        state IN ('held', 'captured', 'released', 'expired')
        AND (state = 'held') = (closed_at IS NULL)
        AND (state = 'captured') = (posting_id IS NOT NULL)
        AND (state = 'captured') = (captured_minor > 0)
        AND (state = 'held' OR expires_at IS NULL)
    ),
    CONSTRAINT holds_amount CHECK (
        amount_minor > 0 AND captured_minor BETWEEN 0 AND amount_minor)
) WITH (fillfactor = 80);
CREATE INDEX holds_open ON holds (account_id) WHERE state = 'held';
CREATE INDEX holds_due  ON holds (expires_at) WHERE state = 'held' AND expires_at IS NOT NULL;

-- Exactly the counters that a hold raised, so that its end gives back to exactly those.
CREATE TABLE hold_counts (
    hold_id      uuid   NOT NULL REFERENCES holds,
    account_id   bigint NOT NULL,
    name         varchar(40) NOT NULL,
    period       date   NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (hold_id, account_id, name, period)
);

-- How much of a limit is used in a period (its first day, market time). Read and written only under
-- the lock of its account's row.
CREATE TABLE limit_counters (
    account_id bigint NOT NULL,
    name       varchar(40) NOT NULL,
    period     date   NOT NULL,
    used       bigint NOT NULL CONSTRAINT limit_counters_used CHECK (used >= 0),
    PRIMARY KEY (account_id, name, period)
) WITH (fillfactor = 70);
"""

BOUNDS_OF_THE_HOUSE = """
-- What allowed taking from a house account, once each. A reversal's is 'posting:<original>'.
CREATE TABLE authorities (
    authority   text        PRIMARY KEY,
    posting_id  bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
);

-- Lines of the trust bank's statement: positive came in, negative went out. Maker enters, checker
-- approves; only then can a posting be matched to it, and trust_bank moves by nothing else.
CREATE TABLE bank_lines (
    id           text        PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_./-]{1,64}$'),
    key          uuid        NOT NULL UNIQUE,
    amount_minor bigint      NOT NULL CHECK (amount_minor <> 0),
    currency     currency_code NOT NULL,
    booked_on    date        NOT NULL,
    maker        text        NOT NULL CHECK (maker <> ''),
    checker      text        CHECK (checker <> ''),
    posting_id   bigint      UNIQUE,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bank_lines_four_eyes CHECK (maker <> checker),
    CHECK (posting_id IS NULL OR checker IS NOT NULL)
);
"""

KEY_PARTITIONS = 8

TABLES = (
    "accounts",
    "house_pending",
    "postings",
    "moves",
    "posting_keys",
    "opening_balances",
    "detached_months",
    "holds",
    "hold_counts",
    "limit_counters",
    "authorities",
    "bank_lines",
)


def upgrade() -> None:
    """The application's role reads, and executes; nothing else reaches a ledger table."""
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    for statements in (ACCOUNTS, POSTINGS, HOLDS, BOUNDS_OF_THE_HOUSE):
        run(statements)
    for remainder in range(KEY_PARTITIONS):
        run(
            f"CREATE TABLE posting_keys_{remainder} PARTITION OF posting_keys"
            f" FOR VALUES WITH (MODULUS {KEY_PARTITIONS}, REMAINDER {remainder})"
        )
    for table in (*TABLES, "alembic_version"):
        run(f"GRANT SELECT ON {table} TO kibanda_app")
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())
    run("SELECT make_partitions_v1((now() AT TIME ZONE 'UTC')::date, 3)")


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
