"""People who confirm one payment after the other while PostgreSQL goes, and what came of each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.settings import Settings
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.world import World, wait_for

CALLERS = 6
BACK_SECONDS = 5.0
SETTLED_SECONDS = 90.0
MORE_SECONDS = 60.0
AWAY = "END Kibanda cannot answer now."
NOT_KNOWN = "END It is not known yet"
STANDS = ("END Paid", "END Payment")


@dataclass
class Caller:
    """Somebody who pays one bill after the other; what they were told of each, by its meter."""

    world: World
    msisdn: str
    told: dict[str, str] = field(default_factory=dict)

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            meter, session = fresh_meter(), Session(self.world, self.msisdn)
            session.home()
            if "PIN to pay" in session.reply("1", "1", "1", meter, "200"):
                self.told[meter] = session.reply(PIN)


def payers(world: World, count: int = CALLERS) -> list[Caller]:
    """Registered people with KES 40,000 each."""
    parts = build_runtime(Settings(database_url=world.database_url, redis_url=world.redis_url))
    people = [
        DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 4_000_000)
        for _ in range(count)
    ]
    for one in people:
        add(parts.db, parts.pins, parts.market, one, datetime.now(UTC))
    parts.db.dispose()
    return [Caller(world, one.msisdn) for one in people]


@contextmanager
def confirming(callers: Sequence[Caller]) -> Iterator[None]:
    """All of them at once, until the end."""
    over = threading.Event()
    with ThreadPoolExecutor(len(callers)) as pool:
        running = [pool.submit(caller.run, over) for caller in callers]
        try:
            yield
        finally:
            over.set()
        for future in running:
            future.result(60)


def wait_for_more(callers: Sequence[Caller]) -> None:
    """Until as many confirmations again stand as there are callers, however slow the machine is."""

    def standing() -> int:
        told = [said for caller in callers for said in tuple(caller.told.values())]
        return sum(said.startswith(STANDS) for said in told)

    enough = standing() + len(callers)
    wait_for(lambda: standing() >= enough, MORE_SECONDS, "confirmations")


def back_after(caller: Caller) -> float:
    """Seconds from now until somebody who dials sees the menu of their wallet again."""
    began = time.monotonic()

    def answers() -> bool:
        return "1 Pay bill" in Session(caller.world, caller.msisdn).home()

    wait_for(answers, 30, "an answer that needs the database")
    return time.monotonic() - began


def judge(world: World, callers: Sequence[Caller]) -> Counter[str]:
    """Each confirmation is 0 or 1, as far as its phone was told; how many of each sort."""
    with psycopg.connect(world.database_url) as line:
        wait_for(lambda: not _open(line), SETTLED_SECONDS, "every payment to be final")
        found = line.execute("SELECT customer_no FROM payments").fetchall()
    paid = [meter for (meter,) in found]
    told = {meter: said for caller in callers for meter, said in caller.told.items()}
    sorts = {meter: _sort(said) for meter, said in told.items()}
    assert len(set(paid)) == len(paid), "one confirmation was two payments"
    sold = sorted(sale["customer_no"] for sale in world.sales())
    assert sold == sorted(paid), "each was sold once, and nothing that is not there"
    assert {meter for meter, sort in sorts.items() if sort == "stands"} <= set(paid)
    charged = {meter for meter, sort in sorts.items() if sort == "refused"} & set(paid)
    assert not charged, "who heard that it could not be was charged"
    assert world.flask("verify").stdout.endswith("0 findings\n")
    return Counter(sorts.values())


def _sort(said: str) -> str:
    if said.startswith(STANDS):
        return "stands"
    if said.startswith(AWAY):
        return "refused"
    assert said.startswith(NOT_KNOWN), said
    return "not known"


def _open(line: psycopg.Connection[tuple[str]]) -> bool:
    with line.transaction():
        query = "SELECT FROM payments WHERE state NOT IN ('captured', 'released') LIMIT 1"
        return line.execute(query).fetchone() is not None
