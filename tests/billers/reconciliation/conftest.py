"""A database for the tests of one file, and an empty desk for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import markets
from app.db import Database
from app.staff.accounts import Staff
from launcher.postgres import APPLICATION, SUPERUSER
from launcher.servers import Servers
from tests.billers.reconciliation.desk import Desk, described
from tests.servers import database_of_its_own

MARKET = described(markets.load("demo"))


@pytest.fixture(scope="module")
def office(servers: Servers, own_name: str) -> Iterator[tuple[Database, str, list[Staff]]]:
    """The database, its superuser's address, and who works there."""
    with database_of_its_own(servers, own_name) as name:
        db = Database(servers.url(APPLICATION, name), pool_size=10, statement_ms=20_000)
        try:
            yield db, servers.url(SUPERUSER, name), []
        finally:
            db.dispose()


@pytest.fixture
def desk(office: tuple[Database, str, list[Staff]], tmp_path: Path) -> Desk:
    db, admin_url, two = office
    made = Desk(db, MARKET, admin_url, tmp_path, two)
    made.forget()
    return made
