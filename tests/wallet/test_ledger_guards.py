"""The database guards itself: what the application's role can and cannot do."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db import Database
from app.wallet import ledger
from tests.wallet.bank import Bank

TABLES = (
    "accounts",
    "authorities",
    "bank_lines",
    "bank_statements",
    "detached_months",
    "hold_counts",
    "holds",
    "house_pending",
    "limit_counters",
    "moves",
    "moves_default",
    "opening_balances",
    "posting_keys",
    "posting_keys_0",
    "postings",
    "postings_default",
    "refunds",
    "statement_lines",
)
WRITES = (
    "DELETE FROM {}",
    "TRUNCATE {}",
    "UPDATE {0} SET {1} = {1}",
    "INSERT INTO {} DEFAULT VALUES",
)
LEDGER_FUNCTIONS = {
    "accrue_v1",
    "add_statement_lines_v1",
    "approve_bank_line_v1",
    "clear_expiry_v1",
    "deposit_v1",
    "expire_v1",
    "hold_v1",
    "lock_accounts_v1",
    "make_partitions_v1",
    "open_account_v1",
    "open_statement_v1",
    "post_v1",
    "record_bank_line_v1",
    "refund_v1",
    "release_v1",
    "reverse_v1",
    "roll_up_v1",
    "snapshot_commission_v1",
    "unaccrue_v1",
}
INNER_FUNCTIONS = {
    "authority_refusal_v1",
    "detach_month_v1",
    "end_hold_v1",
    "give_back_counts_v1",
    "lock_accounts_of_hold_v1",
    "oldest_key_v1",
    "refund_moves_v1",
    "spend_authority_v1",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("write", WRITES)
def test_the_application_cannot_write(ledger_db: Database, table: str, write: str) -> None:
    with ledger_db.engine.connect() as connection:
        column = connection.execute(
            text(
                "SELECT attname FROM pg_attribute"
                " WHERE attrelid = CAST(:t AS regclass) AND attnum = 2"
            ),
            {"t": table},
        ).scalar_one()
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(write.format(table, column)))


def test_every_table_is_named_above(owner_db: Database) -> None:
    """A ledger table that somebody adds must come into the test."""
    with owner_db.engine.connect() as connection:
        writable = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
                " AND relnamespace = 'public'::regnamespace AND relname = ANY (:tables)"
                " AND has_table_privilege('kibanda_app', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"
            ),
            {"tables": list(TABLES)},
        ).all()
        partitions = connection.execute(
            text(
                "SELECT inhrelid::regclass::text FROM pg_inherits"
                " WHERE inhparent IN ('moves'::regclass, 'postings'::regclass,"
                " 'posting_keys'::regclass)"
                " AND has_table_privilege("
                "'kibanda_app', inhrelid, 'INSERT, UPDATE, DELETE, TRUNCATE')"
            )
        ).all()
    assert writable == []
    assert partitions == []


def test_functions_have_their_guards(owner_db: Database) -> None:
    """Security definer, a search_path that ends in pg_temp, and nobody but the application."""
    with owner_db.engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT proname, prosecdef, coalesce(array_to_string(proconfig, '; '), ''),"
                " has_function_privilege('kibanda_app', oid, 'EXECUTE'),"
                " EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))"
                "         WHERE grantee = 0)"
                " FROM pg_proc WHERE proname = ANY (:names)"
            ),
            {"names": sorted(LEDGER_FUNCTIONS | INNER_FUNCTIONS)},
        ).all()
    assert {row[0] for row in found} == LEDGER_FUNCTIONS | INNER_FUNCTIONS
    for name, definer, settings, application_may, everybody_may in found:
        assert not everybody_may, name
        assert application_may is (name in LEDGER_FUNCTIONS), name
        if name in LEDGER_FUNCTIONS:
            assert definer, name
            assert "pg_temp" in settings.split(";")[0].split(",")[-1], name


def test_the_inner_functions_are_refused(ledger_db: Database) -> None:
    with (
        ledger_db.engine.connect() as connection,
        pytest.raises(DBAPIError, match="permission denied for function"),
    ):
        connection.execute(text("SELECT spend_authority_v1('x', 1)"))


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE accounts SET balance = -1 WHERE id = :id", "accounts_floor"),
        ("UPDATE accounts SET held = balance + 1 WHERE id = :id", "accounts_floor"),
        ("UPDATE accounts SET held = -1 WHERE id = :id", "accounts_floor"),
        (
            """INSERT INTO moves (posting_id, posted_at, line, debit, credit, amount_minor)
            VALUES (1, now(), 1, :id, :id + 1, 0)""",
            "positive_minor",
        ),
        (
            """INSERT INTO holds (id, account_id, amount_minor, reference, held_at)
            VALUES (gen_random_uuid(), :id, 0, '', now())""",
            "holds_amount",
        ),
        (
            "INSERT INTO limit_counters VALUES (:id, 'x', now(), -1)",
            "limit_counters_used",
        ),
        (
            """INSERT INTO bank_lines (id, key, amount_minor, currency, booked_on, maker, checker)
            VALUES ('x' || :id, gen_random_uuid(), 1, 'KES', now(), 'one', 'one')""",
            "bank_lines_four_eyes",
        ),
    ],
)
def test_constraints_hold_for_the_owner_too(
    bank: Bank, owner_db: Database, statement: str, constraint: str
) -> None:
    account = bank.account(5)
    with (
        owner_db.engine.connect() as connection,
        pytest.raises(DBAPIError, match=constraint),
    ):
        connection.execute(text(statement), {"id": account})


@pytest.mark.parametrize(
    ("kind", "owner_kind", "owned", "floor_minor"),
    [
        ("wallet", "house", False, 0),
        ("fees", "person", True, 0),
        ("fees", "house", True, 0),
        ("wallet", "person", False, 0),
        ("wallet", "person", True, -100),
        ("float", "agent", True, 100),
        ("purse", "person", True, 0),
        ("settlement:UPPER", "house", False, 0),
    ],
)
def test_accounts_that_cannot_be_opened(
    ledger_db: Database, kind: str, owner_kind: str, owned: bool, floor_minor: int
) -> None:
    with ledger_db.engine.connect() as connection, pytest.raises(DBAPIError, match="account"):
        connection.execute(
            text(
                "SELECT open_account_v1(:kind, 'KES', :owner_kind,"
                " CASE WHEN :owned THEN gen_random_uuid() END, :floor)"
            ),
            {"kind": kind, "owner_kind": owner_kind, "owned": owned, "floor": floor_minor},
        )


def test_maker_cannot_be_checker(bank: Bank) -> None:
    line = bank.line(100, checker=None)
    with pytest.raises(DBAPIError, match="bank_lines_four_eyes"):
        bank.run(lambda session: ledger.approve_bank_line(session, line_id=line, checker="m"))
