"""A database for every test: the bank's statement is one chain, which tests cannot share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import markets
from app.db import Database
from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.servers import database_of_its_own
from tests.wallet.trust.stage import Stage

MARKET = markets.load("demo")


@contextmanager
def stage_over(servers: Servers, name: str, folder: Path) -> Iterator[Stage]:
    """A trust account in that database, as the application's role."""
    database = Database(servers.url(APPLICATION, name), pool_size=12, statement_ms=20_000)
    try:
        yield Stage(database, MARKET, folder)
    finally:
        database.dispose()


@pytest.fixture
def own(servers: Servers, own_name: str) -> Iterator[str]:
    with database_of_its_own(servers, own_name) as name:
        yield name


@pytest.fixture
def stage(servers: Servers, own: str, tmp_path: Path) -> Iterator[Stage]:
    with stage_over(servers, own, tmp_path) as stage:
        yield stage


@pytest.fixture
def owner(servers: Servers, own: str) -> Iterator[Database]:
    """The same database as the owner of its tables."""
    database = Database(servers.url(OWNER, own), pool_size=1)
    yield database
    database.dispose()
