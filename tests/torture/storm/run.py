"""A storm from its beginning to its verdict."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from launcher.postgres import OWNER
from launcher.servers import Servers, temporary_servers
from tests import quick_market
from tests.servers import in_memory, migrate
from tests.torture.storm import judging, machine, plan
from tests.torture.storm.crowd import Crowd
from tests.torture.storm.faults import Means
from tests.torture.storm.house import House
from tests.torture.storm.journal import Journal
from tests.torture.storm.linked import PROGRAMS, SERVERS
from tests.torture.storm.machine import Absent
from tests.torture.storm.plan import Fault
from tests.torture.storm.weather import Weather
from tests.world import wait_for

READY_SECONDS = 60.0
REST_SECONDS = 45.0  # beyond the doubt: leases run 30 s, then comes the sweep
PEOPLE_FOR_AN_AGENT = 20
PEOPLE_FOR_A_CONFIRMATION = 20  # a storm with fewer confirmations shows nothing
THINK_SECONDS = 0.4  # quick ones: much of a storm is dark, and what is left must be used
DISK_MEBIBYTES_SHORT, DISK_MEBIBYTES = 1024, 4096  # PostgreSQL keeps up to 2 GB of its log
LONG_SECONDS = 600.0
FILES_WAIT_SECONDS, FILES_SHARE = 20.0, 0.4  # the day's files leave in the middle of the storm
# What is paid by file and was confirmed after the day's cut-off waits for the next one.
_MOVING = text("""
    SELECT (SELECT count(*) FROM payments WHERE state IN ('sent', 'unknown')
                OR state = 'held' AND due_at < clock_timestamp() + interval '1 hour')
         + (SELECT count(*) FROM messages WHERE state IN ('due', 'sending'))
""")


@dataclass(frozen=True)
class Storm:
    """What was asked for."""

    seed: int
    seconds: float
    people: int
    favoured: tuple[str, ...] = ()

    @property
    def doubt_seconds(self) -> int:
        """After that nobody is asked any more, and staff decide."""
        return 30 if self.seconds <= plan.SHORT_SECONDS else 60

    @property
    def disk_mebibytes(self) -> int:
        return DISK_MEBIBYTES_SHORT if self.seconds <= LONG_SECONDS else DISK_MEBIBYTES


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Print a step with how long it took."""
    started = time.monotonic()
    yield
    print(f"{step:44} {time.monotonic() - started:5.1f} s", flush=True)


def run(storm: Storm, keep: Path | None) -> int:
    """Everything; prints the seed, the plan and the verdict; returns the exit code."""
    print(f"seed {storm.seed}: {storm.seconds:.0f} s, {storm.people} people", flush=True)
    drawn = plan.draw(random.Random(storm.seed), storm.seconds, storm.favoured)
    print(plan.told(drawn), flush=True)
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(machine.small_disk(storm.disk_mebibytes))
        means = Means(machine.clock_library(), disk)
        for kind, absent in means.absent.items():
            print(f"there will be no {kind!r} here: {absent.why}", flush=True)
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        plan.write(drawn, folder / "plan.jsonl")
        root = in_memory() if isinstance(disk, Absent) else disk
        servers = stack.enter_context(temporary_servers(root=root))
        with timed("starting"):
            house = _house(storm, folder, servers)
        stack.callback(house.close)
        wrong = _storm(storm, house, means, drawn)
    for fault in wrong:
        print(fault)
    print(f"seed {storm.seed}: {len(wrong)} faults", flush=True)
    return 1 if wrong else 0


def _house(storm: Storm, folder: Path, servers: Servers) -> House:
    """The running system in a new database."""
    migrate(servers.url(OWNER))
    wait_seconds = FILES_WAIT_SECONDS + FILES_SHARE * storm.seconds
    market = quick_market.write(
        folder,
        doubt_seconds=storm.doubt_seconds,
        files_leave_at=datetime.now(UTC) + timedelta(seconds=wait_seconds),
        timeout_seconds=5,
        pin_digits=10,
    )
    house = House(folder, servers, market)
    try:
        house.open()
    except BaseException:
        house.close()
        raise
    return house


def _storm(storm: Storm, house: House, means: Means, drawn: list[Fault]) -> list[str]:
    """The weather over the crowd, then the verdict."""
    weather = Weather(house, means)
    journal = Journal(house.folder / "phones.jsonl")
    agents = max(2, storm.people // PEOPLE_FOR_AN_AGENT)
    dice = random.Random(f"crowd {storm.seed}")
    with timed("making people"):
        crowd = Crowd(
            house.callback_url, house.world, house.parts, journal, dice, storm.people, agents,
            THINK_SECONDS,
        )  # fmt: skip
    crowd.start()
    try:
        with timed("the weather"):
            weather.blow(drawn, storm.seconds)
    finally:
        crowd.stop()
    print(weather.told(), flush=True)
    with timed("coming to rest"):
        wrong = _rest(storm, house)
    agreed = len(journal.records("agreed"))
    if agreed < storm.people // PEOPLE_FOR_A_CONFIRMATION:
        wrong.append(f"harness: {agreed} confirmations are too few to judge by")
    with timed("judging"):
        wrong += judging.judge(house.world, house.parts, journal, crowd)
    journal.close()
    return wrong


def _rest(storm: Storm, house: House) -> list[str]:
    """Let the sun shine until nothing moves. What still does after the bound is a fault."""
    world = house.world
    for link in world.links.ports:
        world.links.set(link, "open")
    world.clear_faults()
    house.disarm()
    house.start(*SERVERS, *(name for name in PROGRAMS if not house.is_kept(name)))
    wait_for(world.is_ready, READY_SECONDS, f"readiness; logs are in {house.folder}")
    deadline = time.monotonic() + storm.doubt_seconds + REST_SECONDS
    while moving := _moving(house):
        if time.monotonic() > deadline:
            return [f"I5: {moving} payments and messages never came to rest"]
        time.sleep(0.5)
    return []


def _moving(house: House) -> int:
    return int(house.parts.db.transact(lambda session: session.scalar(_MOVING)) or 0)
