"""Memory of the web process at rest and after 100,000 hops, of the worker after 10,000 payments.

Resident, and unshared: what no other process has mapped too. A process takes what it needs in its
first tenth; what matters is that it stops: the growth from the middle to the end is a target.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from bench import hops
from bench.figures import Figure
from bench.payers import Payers
from bench.processes import Memory, children, memory
from bench.web import START_SECONDS, add_people
from launcher.servers import temporary_servers
from tests.servers import migrate
from tests.world import World, wait_for

HOPS = int(os.environ.get("BENCH_HOPS", "100000"))
PAYMENTS = int(os.environ.get("BENCH_PAYMENTS", "10000"))
LOOKS = 10
GROWS_AT_MOST_MB = 4.0  # from the middle to the end
CONNECTIONS = 8
REST_SECONDS = 3.0
PAID_SECONDS = 600.0
_MOVING = text("SELECT count(*) FROM payments WHERE state IN ('held', 'sent', 'unknown')")


@dataclass(frozen=True)
class Grown:
    """A process at rest, and after each tenth of its work."""

    rest: Memory
    looks: list[Memory]

    def figures(self, who: str, work: str) -> list[Figure]:
        print(f"{who}, MB unshared after each tenth:", *(f"{look.uss:.1f}" for look in self.looks))
        middle, end = self.looks[len(self.looks) // 2 - 1], self.looks[-1]
        grown = end.uss - middle.uss
        return [
            Figure(f"{who} at rest, resident", self.rest.rss, "MB"),
            Figure(f"{who} at rest, unshared", self.rest.uss, "MB"),
            Figure(f"{who} after {work}, resident", end.rss, "MB"),
            Figure(f"{who} after {work}, unshared", end.uss, "MB"),
            Figure(f"{who} grew in their second half", grown, "MB", most=GROWS_AT_MOST_MB),
        ]


def run() -> list[Figure]:
    """Megabytes of the web and of the worker."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        world = World(Path(folder), app_url, owner_url, servers.redis_url, forked=False)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        world.start()
        try:
            world.wait_ready(START_SECONDS)
            return _web(world, parts) + _worker(world, parts)
        finally:
            world.stop()
            parts.db.dispose()


def _web(world: World, parts: Runtime) -> list[Figure]:
    """One process has all the hops; `make run` spreads them over two."""
    (msisdn,) = add_people(parts, 1, 100_000, "en")
    (pid,) = children(world.pid("web"))
    played = 0

    def some(count: int) -> None:
        nonlocal played
        while played < count:
            played += hops.play_round(world.port, msisdn, CONNECTIONS).hops

    return _grown(pid, HOPS, some).figures("web", f"{HOPS:,} hops")


def _worker(world: World, parts: Runtime) -> list[Figure]:
    payers = Payers(parts)

    def some(count: int) -> None:
        payers.confirm(count - payers.confirmed)
        wait_for(lambda: _settled(parts), PAID_SECONDS, "the worker")

    return _grown(world.pid("worker"), PAYMENTS, some).figures("worker", f"{PAYMENTS:,} payments")


def _settled(parts: Runtime) -> bool:
    return bool(parts.db.transact(lambda session: session.scalar(_MOVING) == 0))


def _grown(pid: int, amount: int, work: Callable[[int], None]) -> Grown:
    time.sleep(REST_SECONDS)
    rest, looks = memory(pid), []
    for tenth in range(1, LOOKS + 1):
        work(amount * tenth // LOOKS)
        looks.append(memory(pid))
    return Grown(rest, looks)
