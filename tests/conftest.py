"""Fixtures over real servers: a migrated database and a Redis of its own for every test process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.demo import DemoPerson, add
from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.people import fresh_msisdn
from tests.world import World

pytest_plugins = ["tests.servers"]
PIN = "7391"
GARBAGE_LEAST = 100_000  # new objects before Python looks for cycles among them; it says 700


def pytest_sessionstart() -> None:
    """A quarter of the time of a test process went into looking for garbage among modules."""
    gc.set_threshold(GARBAGE_LEAST, 20, 20)


def pytest_collection_finish() -> None:
    """What was imported by now stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def runtime(servers: Servers, world_database: str, redis_url: str) -> Iterator[Runtime]:
    """The assembled parts over the running system's database, in the test's own process."""
    parts = build_runtime(
        Settings(
            database_url=servers.url(APPLICATION, world_database),
            redis_url=redis_url,
            kibanda_market="demo",
            menu_overlap_seconds=0,
        )
    )
    yield parts
    parts.db.dispose()


@pytest.fixture(scope="session")
def world(
    servers: Servers,
    world_database: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """The running system: web, workers, schedule and sandbox as processes."""
    folder: Path = tmp_path_factory.mktemp("world")
    running = World(
        folder,
        servers.url(APPLICATION, world_database),
        servers.url(OWNER, world_database),
        redis_url,
    )
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def add_person(runtime: Runtime) -> Callable[..., str]:
    """Registers a person with a language and a balance and gives the MSISDN; without a language
    only a number that nobody has."""

    def make(language: str | None, balance_minor: int, name: str = "Amina Wanjiru") -> str:
        msisdn = fresh_msisdn()
        if language:
            person = DemoPerson(msisdn, name, language, "customer", balance_minor)
            add(runtime.db, runtime.pins, runtime.market, person, datetime.now(UTC), PIN)
        return msisdn

    return make
