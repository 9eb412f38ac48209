"""A database whose staff are this test's alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from app import markets
from app.db import Database
from app.markets.model import Market
from launcher.postgres import APPLICATION, DATABASE, SUPERUSER
from launcher.servers import Servers
from tests.staff.desk import TABLES, Desk


@pytest.fixture(scope="session")
def staff_desk(servers: Servers, own_name: str) -> Iterator[Desk]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    db = Database(servers.url(APPLICATION, name), pool_size=10)
    try:
        yield Desk(db, servers.url(SUPERUSER, name))
    finally:
        db.dispose()
        servers.postgres.drop_database(name)


@pytest.fixture
def desk(staff_desk: Desk) -> Desk:
    """Nobody has an account yet."""
    staff_desk.admin(f"TRUNCATE {TABLES} CASCADE")
    return Desk(staff_desk.db, staff_desk.admin_url)


@pytest.fixture(scope="session")
def market() -> Market:
    return markets.load("demo")
