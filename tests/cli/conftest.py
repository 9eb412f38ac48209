"""One office for all tests of the command line."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from app import markets
from launcher.postgres import APPLICATION, DATABASE, SUPERUSER
from launcher.servers import Servers
from tests.billers.played import played_biller
from tests.billers.stage import Stage, market_with
from tests.cli.office import Office, app_over


@pytest.fixture(scope="session")
def office(servers: Servers, own_name: str) -> Iterator[Office]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with app_over(servers.url(APPLICATION, name)) as app, played_biller() as biller:
            market = market_with(markets.load("demo"), "stima")
            stage = Stage(app.extensions["kibanda"].db, market, "stima", biller)
            yield Office(app, servers.url(SUPERUSER, name), stage)
    finally:
        servers.postgres.drop_database(name)
