"""The trust bank: files of its statement, deposits and payouts on their way, and their matching.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[2] / "app" / "wallet" / "sql"
FUNCTIONS = ("statement_v1",)

STATEMENTS = """
-- One file of the bank's statement. Each follows another, the first none: a chain without a fork.
CREATE TABLE bank_statements (
    id            uuid PRIMARY KEY,
    sha256        bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    file_name     text NOT NULL CHECK (char_length(file_name) <= 255),
    currency      currency_code NOT NULL,
    previous_id   uuid REFERENCES bank_statements (id),
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    covered_minor bigint,      -- of the first: what trust_bank held by lines entered by hand
    lines         int NOT NULL CHECK (lines > 0),
    maker         text NOT NULL CHECK (maker <> ''),
    imported_at   timestamptz NOT NULL,
    CONSTRAINT bank_statements_chain UNIQUE NULLS NOT DISTINCT (currency, previous_id),
    CHECK ((previous_id IS NULL) = (covered_minor IS NOT NULL))
);

-- What else a file says of a line. `position` is the line of the file; 0 is the opening difference.
CREATE TABLE statement_lines (
    line_id       text PRIMARY KEY REFERENCES bank_lines (id),
    statement_id  uuid NOT NULL REFERENCES bank_statements (id),
    position      int NOT NULL,
    reference     varchar(140) NOT NULL,
    text          varchar(500) NOT NULL,
    balance_minor bigint NOT NULL,
    UNIQUE (statement_id, position)
);
CREATE INDEX bank_lines_unmatched ON bank_lines (booked_on, id) WHERE posting_id IS NULL;

-- Only functions write them: trust_bank moves by their lines.
GRANT SELECT ON bank_statements, statement_lines TO kibanda_app;
"""

ON_THE_WAY = """
-- A deposit that is on its way to the bank: in the books, but nobody's money to spend yet.
CREATE TABLE deposit_notices (
    id            uuid PRIMARY KEY,
    reference     text NOT NULL UNIQUE CHECK (reference ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    slip          text NOT NULL CHECK (char_length(slip) <= 40),
    person_id     uuid REFERENCES people (id),
    agent_id      uuid REFERENCES agents (id),
    account_id    bigint NOT NULL,
    currency      currency_code NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    state         text NOT NULL DEFAULT 'on_way'
                  CHECK (state IN ('on_way', 'cleared', 'cancelled')),
    posting_id    bigint NOT NULL UNIQUE,
    maker         text NOT NULL CHECK (maker <> ''),
    checker       text NOT NULL,
    created_at    timestamptz NOT NULL,
    ended_by      bigint UNIQUE,     -- the posting that cleared it or took it back
    ended_at      timestamptz,
    cancel_maker   text,
    cancel_checker text,
    CONSTRAINT deposit_notices_four_eyes CHECK (
        maker <> checker AND cancel_maker <> cancel_checker),
    CHECK ((person_id IS NULL) <> (agent_id IS NULL)),
    CHECK ((state = 'on_way') = (ended_by IS NULL) AND (ended_by IS NULL) = (ended_at IS NULL)),
    CHECK ((state = 'cancelled') = (cancel_maker IS NOT NULL)
           AND (cancel_maker IS NULL) = (cancel_checker IS NULL))
);
CREATE INDEX deposit_notices_on_way ON deposit_notices (created_at) WHERE state = 'on_way';
CREATE INDEX deposit_notices_by_slip ON deposit_notices (slip) WHERE state = 'on_way';

-- Which transfers are payouts of an agent's float, and who asked for and agreed to each.
CREATE TABLE float_payouts (
    id            uuid PRIMARY KEY,
    transfer_id   uuid NOT NULL UNIQUE REFERENCES transfers (id),
    maker         text NOT NULL CHECK (maker <> ''),
    checker       text NOT NULL,
    CONSTRAINT float_payouts_four_eyes CHECK (maker <> checker)
);
-- Payouts that the bank never carried out: by whose word their money came back.
CREATE TABLE payout_returns (
    transfer_id   uuid PRIMARY KEY REFERENCES transfers (id),
    maker         text NOT NULL CHECK (maker <> ''),
    checker       text NOT NULL,
    returned_at   timestamptz NOT NULL,
    CONSTRAINT payout_returns_four_eyes CHECK (maker <> checker)
);
CREATE INDEX transfers_payouts ON transfers (created_at)
    WHERE kind IN ('float_payout', 'closing') AND reversed_at IS NULL;
"""

MATCHES = """
-- What a line of the statement is for: said by a proposer, then confirmed by somebody else, which
-- posts it. A line has one match; a deposit one line; a payout one line out and one back.
CREATE TABLE bank_matches (
    id            uuid PRIMARY KEY,
    line_id       text NOT NULL REFERENCES bank_lines (id),
    kind          text NOT NULL CHECK (kind IN ('deposit', 'payout', 'returned', 'account')),
    notice_id     uuid REFERENCES deposit_notices (id),
    transfer_id   uuid REFERENCES transfers (id),
    account_id    bigint NOT NULL,   -- the payee's; of a payout, where the money came from
    person_id     uuid REFERENCES people (id),
    agent_id      uuid REFERENCES agents (id),
    reference     text NOT NULL,
    proposer      text NOT NULL CHECK (proposer <> ''),
    proposed_at   timestamptz NOT NULL,
    checker       text,
    posting_id    bigint UNIQUE,
    confirmed_at  timestamptz,
    withdrawn_by  text CHECK (withdrawn_by <> ''),
    withdrawn_at  timestamptz,
    CONSTRAINT bank_matches_four_eyes CHECK (proposer <> checker),
    CHECK ((kind = 'deposit') = (notice_id IS NOT NULL)
           AND (kind IN ('payout', 'returned')) = (transfer_id IS NOT NULL)),
    CHECK ((checker IS NULL) = (posting_id IS NULL)
           AND (checker IS NULL) = (confirmed_at IS NULL)),
    CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL)
           AND (withdrawn_at IS NULL OR confirmed_at IS NULL))
);
CREATE UNIQUE INDEX bank_matches_line ON bank_matches (line_id) WHERE withdrawn_at IS NULL;
CREATE UNIQUE INDEX bank_matches_notice ON bank_matches (notice_id) WHERE withdrawn_at IS NULL;
CREATE UNIQUE INDEX bank_matches_transfer ON bank_matches (transfer_id, kind)
    WHERE withdrawn_at IS NULL;

GRANT SELECT, INSERT ON deposit_notices, float_payouts, payout_returns, bank_matches TO kibanda_app;
GRANT UPDATE (state, ended_by, ended_at, cancel_maker, cancel_checker) ON deposit_notices
    TO kibanda_app;
GRANT UPDATE (checker, posting_id, confirmed_at, withdrawn_by, withdrawn_at) ON bank_matches
    TO kibanda_app;
"""


def upgrade() -> None:
    run = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    for statements in (STATEMENTS, ON_THE_WAY, MATCHES):
        run(statements)
    for name in FUNCTIONS:
        run((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    """Refused: money that was posted is not dropped by a tool."""
    raise NotImplementedError("the ledger has no way back; restore a backup into a new database")
