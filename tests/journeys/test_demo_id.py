"""The other demo market, whole: the same code with another country's file, in whole rupiah."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.journeys import cast
from tests.journeys.transcript import play
from tests.people import fresh_msisdn
from tests.world import World

MARKET = "demo_id"
FOLDER = Path(__file__).parent / MARKET
ALONE = sorted(FOLDER.glob("*.txt"))
TOGETHER = sorted(FOLDER.glob("stories/*.txt"))


@pytest.fixture(scope="module")
def indonesia(
    servers: Servers, own_name: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The running system over a database of its own: one database holds one currency."""
    database = f"kibanda_{own_name}_{MARKET}"
    servers.postgres.create_database(database, template=DATABASE)
    world = World(
        tmp_path_factory.mktemp(MARKET),
        servers.url(APPLICATION, database),
        servers.url(OWNER, database),
        redis_url.replace("?db=0", "?db=1"),
        market=MARKET,
    )
    world.start()
    try:
        world.wait_ready()
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="module")
def parts(indonesia: World) -> Iterator[Runtime]:
    made = build_runtime(
        Settings(
            database_url=indonesia.database_url,
            redis_url=indonesia.redis_url,
            kibanda_market=MARKET,
        )
    )
    yield made
    made.db.dispose()


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_story(path: Path, indonesia: World, parts: Runtime) -> None:
    def add_person(language: str | None, balance_minor: int) -> str:
        msisdn = fresh_msisdn("ID")
        if language:
            who = DemoPerson(msisdn, "Siti Rahayu", language, "customer", balance_minor)
            add(parts.db, parts.pins, parts.market, who, datetime.now(UTC), PIN)
        return msisdn

    play(indonesia, path, add_person, parts.market.currency)


@pytest.mark.parametrize("path", TOGETHER, ids=lambda path: path.stem)
def test_story_of_several_phones(path: Path, indonesia: World, parts: Runtime) -> None:
    cast.play(path, indonesia, parts)
