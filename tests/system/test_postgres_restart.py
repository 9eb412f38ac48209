"""PostgreSQL is restarted, or killed and started again, while people confirm payments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.postgres import APPLICATION, OWNER, Postgres
from launcher.servers import temporary_servers
from tests.servers import in_memory, migrate
from tests.system.confirmations import (
    BACK_SECONDS,
    back_after,
    confirming,
    judge,
    payers,
    wait_for_more,
)
from tests.world import World


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[tuple[Postgres, World]]:
    with temporary_servers(root=in_memory()) as servers:
        migrate(servers.url(OWNER))
        urls = (servers.url(APPLICATION), servers.url(OWNER), servers.redis_url)
        world = World(tmp_path, *urls)
        world.start()
        try:
            world.wait_ready()
            yield servers.postgres, world
        finally:
            world.stop()


@pytest.mark.parametrize("goes", [Postgres.stop, Postgres.kill])
def test_confirmations_are_one_or_none_and_the_pool_comes_back(
    ground: tuple[Postgres, World], goes: Callable[[Postgres], None]
) -> None:
    postgres, world = ground
    callers, (watcher,) = payers(world), payers(world, 1)
    with confirming(callers):
        for _ in range(2):
            wait_for_more(callers)
            goes(postgres)
            postgres.start()
            took = back_after(watcher)
            assert took < BACK_SECONDS
            print(f"back {took:.2f} s after PostgreSQL")
        wait_for_more(callers)
    print(dict(judge(world, callers)))
