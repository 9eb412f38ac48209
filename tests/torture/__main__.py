"""`make torture-small`, or `python -m tests.torture [--seed N]`."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.factory import build_runtime
from app.settings import Settings
from launcher.servers import Servers, temporary_servers
from tests import quick_market
from tests.servers import in_memory, migrate
from tests.torture import bills, families, transfers
from tests.torture.judge import Judge
from tests.world import World

FILES_WAIT_SECONDS = 45.0  # until the cut-off: by then those have confirmed who are paid for so
DOUBT_SECONDS = 600  # nothing ends with staff here


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Print a step with how long it took."""
    started = time.monotonic()
    yield
    print(f"{step:44} {time.monotonic() - started:5.1f} s", flush=True)


def run(servers: Servers, folder: Path, seed: int) -> int:
    """Everything; prints a line a step, returns the exit code."""
    dice = random.Random(seed)
    app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
    migrate(owner_url)
    files_leave_at = datetime.now(UTC) + timedelta(seconds=FILES_WAIT_SECONDS)
    market = quick_market.write(
        folder, doubt_seconds=DOUBT_SECONDS, files_leave_at=files_leave_at, timeout_seconds=10
    )
    parts = build_runtime(
        Settings(database_url=app_url, redis_url=servers.redis_url, kibanda_market=str(market))
    )
    world = World(folder, app_url, owner_url, servers.redis_url, market=str(market))
    judge = Judge(world)
    world.start()
    try:
        world.wait_ready()
        called = families.payers(parts, world, families.CALLED)
        by_file = families.payers(parts, world, families.BY_FILE)
        with timed("confirmed for the day's files"):
            families.confirm_all(judge, by_file)
            families.pause_files(parts, paused=True)
            in_time = datetime.now(UTC) < files_leave_at
            judge.check(in_time, "harness", "confirmed after the cut-off")
        for name in families.DEATHS:
            with timed(f"{name}, all families"):
                families.at_failpoint(name, parts, judge, called)
        with timed("death of all billers"):
            families.at_death_of_the_billers(parts, judge, called)
        people = []
        for name in bills.PROCESS_OF:
            with timed(name):
                people.append(bills.at_failpoint(name, parts, world, judge))
        moved = []
        for story in transfers.STORIES:
            for name in transfers.failpoints_of(story):
                with timed(name):
                    moved.append(transfers.at_failpoint(name, story, parts, world, judge))
        with timed("the day's files"):
            families.at_cut_off(parts, judge, by_file, files_leave_at)
        with timed("killing at random under load"):
            under, killed = bills.under_load(parts, world, dice)
        people += under
        with timed("coming to rest"):
            judge.rest()
        with timed("judging"):
            families.judge_all(judge, parts, [*called, *by_file])
            for who in people:
                bills.judge_person(judge, who)
            for after in moved:
                transfers.judge_after(judge, after)
            judge.ledger()
    finally:
        world.stop()
        parts.db.dispose()
    for fault in judge.faults:
        print(fault)
    confirmed = sum(len(who.meters) for who in people)
    confirmed += sum(len(who.numbers) for who in (*called, *by_file))
    faults = len(judge.faults)
    print(f"seed {seed}: {confirmed} confirmations, {killed} random kills, {faults} faults")
    return 1 if judge.faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    seed = parser.parse_args().seed
    print(f"seed {seed}", flush=True)
    with temporary_servers(root=in_memory()) as servers, tempfile.TemporaryDirectory() as folder:
        return run(servers, Path(folder), seed)


if __name__ == "__main__":
    sys.exit(main())
