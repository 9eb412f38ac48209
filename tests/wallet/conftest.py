"""A bank for every test: accounts of its own in a ledger that others use too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.db import Database
from tests.wallet.bank import Bank
from tests.wallet.customers import Town


@pytest.fixture(scope="session")
def ledger_db(database_url: str) -> Iterator[Database]:
    """The ledger as the application's role, with room for concurrent threads."""
    database = Database(database_url, pool_size=24, statement_ms=20_000)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def owner_db(migration_database_url: str) -> Iterator[Database]:
    """The same as the owner of the tables."""
    database = Database(migration_database_url, pool_size=2, statement_ms=60_000)
    yield database
    database.dispose()


@pytest.fixture
def bank(ledger_db: Database) -> Bank:
    """Opens accounts, pays money in, asks the ledger."""
    return Bank(ledger_db)


@pytest.fixture
def town(ledger_db: Database, owner_db: Database) -> Town:
    """A market whose people a test makes."""
    return Town(ledger_db, owner_db)
