"""`python -m tests.floods`: what takes too long for a test run, on a system of its own.

--hops N    so many random hops from many phones; memory and balances before and after
--honest    an honest phone before and beside floods of one number and of many
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from bench.web import add_people
from launcher.servers import temporary_servers
from tests.floods.honest import P50, P99, Times, flooding, measure
from tests.floods.random_hops import judged
from tests.floods.rubbish import SEED, Before
from tests.people import fresh_msisdn
from tests.servers import migrate
from tests.world import World

HONEST_SECONDS = 15.0
LIMITS = {
    "NUMBER_HOPS_A_SECOND": "10",
    "NUMBER_DIALS_A_MINUTE": "30",
    "GATEWAY_DIALS_A_SECOND": "300",
    "WEB_WORKERS": "2",
}
FLOODS = {
    "one number, 200 dials a second": {"rate": 200, "connections": 8},
    "one number, 8 connections, as quick as they can": {"connections": 8},
}


@contextmanager
def system(people: int, **extra: str) -> Iterator[tuple[World, Runtime, list[str]]]:
    """A running system of its own, its parts, and so many people with money."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        msisdns = add_people(parts, people, 100_000, "en", "sw", "fr", "am")
        world = World(Path(folder), app_url, owner_url, servers.redis_url, extra=extra)
        world.start()
        try:
            world.wait_ready()
            yield world, parts, msisdns
        finally:
            world.stop()
            parts.db.dispose()


def random_walk(hops: int, seed: int) -> int:
    """Print memory and hops a second on the way, and the verdict."""
    print(f"{hops:,} hops, seed {seed}", flush=True)
    with system(200, WEB_WORKERS="2") as (world, parts, msisdns):
        try:
            judged(world, Before(world, parts), msisdns, hops, seed, say=True)
        except AssertionError as error:
            print(f"WRONG: {error}")
            return 1
    return 0


def honest() -> int:
    """Print the times of an honest phone alone and beside each flood."""
    with system(960, **LIMITS) as (world, _, everybody):
        msisdns = everybody[::4]  # those whose language is English
        measure(world, msisdns[:40], 3.0)
        before = measure(world, msisdns[40:120], HONEST_SECONDS)
        _say("alone", before, before)
        for place, (what, options) in enumerate(FLOODS.items()):
            phones = msisdns[120 + 60 * place : 180 + 60 * place]
            with flooding(world, fresh_msisdn(), **options) as flood:
                during = measure(world, phones, HONEST_SECONDS)
            dials = sum(flood["told"].values()) / flood["seconds"]
            _say(f"{what} ({dials:,.0f}/s)", during, before)
    return 0


def _say(what: str, times: Times, before: Times) -> None:
    p50, p99 = times.at(P50), times.at(P99)
    print(
        f"{what}: {len(times.ms)} honest hops, p50 {p50:.1f} ms, p99 {p99:.1f} ms,"
        f" p99 {p99 / before.at(P99):.2f} times that of alone; {len(times.wrong)} wrong",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.floods", description=__doc__)
    parser.add_argument("--honest", action="store_true")
    parser.add_argument("--hops", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    if asked.hops:
        return random_walk(asked.hops, asked.seed)
    if asked.honest:
        return honest()
    parser.print_help()
    return 2


if __name__ == "__main__":
    sys.exit(main())
