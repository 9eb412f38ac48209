"""Random lives of the whole wallet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from app.db import Database
from app.markets.tariffs import Payer
from launcher.servers import Servers
from tests.wallet.machine.life import Life
from tests.wallet.machine.market import small
from tests.wallet.machine.servers import database

STEPS = 40
LIVES = 10  # after so many Hypothesis repeats pieces of what it had, and finds less: hence batches


@pytest.fixture
def db(servers: Servers, own_name: str) -> Iterator[Database]:
    with database(servers, own_name) as own:
        yield own


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("payer", ["sender", "receiver"])
def test_random_lives(db: Database, payer: Payer, batch: int) -> None:
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
