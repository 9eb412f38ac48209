"""A database for every test: the bank's statement is one chain, which tests cannot share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import markets
from app.db import Database
from app.markets import Market
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.wallet.trust.stage import Stage

MARKET = markets.load("demo")


@pytest.fixture
def market() -> Market:
    return MARKET


@pytest.fixture
def own(servers: Servers, own_name: str) -> Iterator[str]:
    """The name of a database that no other test uses."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    yield name
    servers.postgres.drop_database(name)


@pytest.fixture
def stage(servers: Servers, own: str, tmp_path: Path) -> Iterator[Stage]:
    database = Database(servers.url(APPLICATION, own), pool_size=12, statement_ms=20_000)
    yield Stage(database, MARKET, tmp_path)
    database.dispose()


@pytest.fixture
def owner(servers: Servers, own: str) -> Iterator[Database]:
    """The same database as the owner of its tables."""
    database = Database(servers.url(OWNER, own), pool_size=1)
    yield database
    database.dispose()
