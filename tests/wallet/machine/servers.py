"""A database for one test: the clock runs ahead in it, and the house is looked at as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from app.db import Database
from app.wallet import ledger
from launcher.postgres import APPLICATION
from launcher.servers import Servers
from tests.servers import database_of_its_own

MONTHS_AHEAD = 5


@contextmanager
def database(servers: Servers, own_name: str) -> Iterator[Database]:
    """As the application's role, with the months that a life may reach."""
    first_month = datetime.now(UTC).date().replace(day=1)
    with database_of_its_own(servers, own_name) as name:
        db = Database(servers.url(APPLICATION, name), pool_size=4, statement_ms=20_000)
        try:
            db.transact(
                lambda s: ledger.make_partitions(s, first_month=first_month, months=MONTHS_AHEAD)
            )
            yield db
        finally:
            db.dispose()
