"""A database, a Redis and a world of its own for each test: these tests kill and flush."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app import markets
from app.db import Database
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.redis import Redis
from launcher.servers import Servers
from tests.billers.played import PlayedBiller
from tests.billers.stage import Stage
from tests.world import World, wait_for

# The demo market, with a biller that is given up on sooner and asked again sooner.
QUICK = (
    ("timeout_seconds = 10", "timeout_seconds = 6"),
    ("ask_after_seconds = [2, 3, 5, 10, 20, 30, 60]", "ask_after_seconds = [1]"),
)


@dataclass
class Alone(World):
    """A world of which only the named processes are started, over servers of its own."""

    redis: Redis = None  # type: ignore[assignment]  # set right after
    stage: Stage = None  # type: ignore[assignment]
    admin_url: str = ""

    def signal(self, name: str, number: int) -> None:
        self._running[name].send_signal(number)

    def ended(self, name: str, seconds: float) -> int:
        """The exit code of a process that ends within that time."""
        return self._running[name].wait(seconds)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def heartbeats(self) -> list[str]:
        return [row.queue for row in self.stage.run("SELECT queue FROM worker_heartbeats")]

    def started(self, *names: str) -> None:
        """Start processes and wait for their heartbeats; the sandbox for its answer."""
        self.start(*names)
        queues = {"worker": "payments", "worker_sms": "messages", "schedule": "schedule"}
        wanted = {queues[name] for name in names if name in queues}
        wait_for(lambda: wanted <= set(self.heartbeats()), 20, f"heartbeats of {wanted}")

    def wait_state(self, payment: Any, *states: str, seconds: float = 15) -> Any:
        found = lambda: view if (view := self.stage.view(payment)).state in states else None  # noqa: E731
        return wait_for(found, seconds, f"{payment.reference} to be {states}")

    def admin(self, *statements: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture
def alone(servers: Servers, own_name: str, tmp_path: Path) -> Iterator[Alone]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    redis = Redis(servers.places, servers.programs, f"redis_{own_name}_{secrets.token_hex(4)}")
    redis.start()
    market = tmp_path / "market.toml"
    text = (markets.FOLDER / "demo.toml").read_text()
    for old, new in QUICK:
        assert old in text
        text = text.replace(old, new)
    market.write_text(text)
    url = servers.url(APPLICATION, name)
    world = Alone(
        tmp_path, url, servers.url(OWNER, name), redis.url(), str(market),
        redis=redis, admin_url=servers.admin_url,
    )  # fmt: skip
    db = Database(url, ring=None)
    biller = PlayedBiller(url=f"{world.sandbox_url}/billers/stima")
    world.stage = Stage(db, markets.load(str(market)), "stima", biller)
    try:
        yield world
    finally:
        world.stop()
        db.dispose()
        redis.stop()
        world.admin(f"DROP DATABASE {name} WITH (FORCE)")
