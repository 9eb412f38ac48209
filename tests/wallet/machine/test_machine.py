"""Random lives of the whole wallet; `tests/wallet/machine/` says what is compared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from app.db import Database
from app.markets.tariffs import Payer
from app.wallet import ledger
from launcher.postgres import APPLICATION
from launcher.servers import Servers
from tests.wallet.machine.life import Life
from tests.wallet.machine.market import small
from tests.wallet.trust.conftest import own_database

MONTHS = 5  # that a life may take
STEPS = 40
LIVES = 10  # after so many Hypothesis repeats pieces of what it had, and finds less: hence batches


@pytest.fixture
def db(servers: Servers, own_name: str) -> Iterator[Database]:
    """A database of its own: the clock runs ahead there, and the house is looked at as a whole."""
    with own_database(servers, own_name) as name:
        database = Database(servers.url(APPLICATION, name), pool_size=4, statement_ms=20_000)
        try:
            yield database
        finally:
            database.dispose()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("payer", ["sender", "receiver"])
def test_random_lives(db: Database, payer: Payer, batch: int) -> None:
    first_month = datetime.now(UTC).date().replace(day=1)
    db.transact(lambda s: ledger.make_partitions(s, first_month=first_month, months=MONTHS))
    Life.db, Life.market = db, small(payer)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
