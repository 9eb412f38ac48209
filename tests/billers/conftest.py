"""A database as the application's role, and for every test a biller of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from app import markets
from app.db import Database
from app.markets.model import Market
from tests.billers.played import PlayedBiller, played_biller
from tests.billers.stage import Stage, market_with


@pytest.fixture(scope="session")
def demo() -> Market:
    return markets.load("demo")


@pytest.fixture(scope="session")
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pool_size=12)
    yield database
    database.dispose()


@pytest.fixture
def biller() -> Iterator[PlayedBiller]:
    with played_biller() as running:
        yield running


@pytest.fixture
def stage(db: Database, demo: Market, biller: PlayedBiller) -> Stage:
    code = f"b{secrets.token_hex(6)}"
    return Stage(db, market_with(demo, code), code, biller)


@pytest.fixture
def silent_stage(db: Database, demo: Market) -> Iterator[Stage]:
    """A second biller that takes every request, says nothing for four seconds, then hangs up."""
    code = f"s{secrets.token_hex(6)}"
    with played_biller() as silent:
        silent.script = lambda _biller, _body: time.sleep(4)
        yield Stage(db, market_with(demo, code, concurrency=4, timeout_seconds=3), code, silent)


@pytest.fixture(scope="module")
def stage_once(db: Database, demo: Market) -> Iterator[Stage]:
    """One stage for all tests of a module, with a payment in it; nobody changes anything."""
    code = f"o{secrets.token_hex(6)}"
    with played_biller() as running:
        stage = Stage(db, market_with(demo, code), code, running)
        stage.pay()
        yield stage
