"""A small crowd that lives in a real system, in fine weather, for the tests of the judge."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from sqlalchemy import text

from app.factory import build_runtime
from app.markets import Market
from app.settings import Settings
from app.text import Catalogues
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.redis import Redis
from launcher.servers import Servers
from tests import quick_market
from tests.torture.storm import judging, stories
from tests.torture.storm.caller import Lost, Over, Person
from tests.torture.storm.crowd import Crowd
from tests.torture.storm.journal import Journal
from tests.torture.storm.judging.books import Books
from tests.torture.storm.judging.evidence import Evidence
from tests.world import World, wait_for

PEOPLE, AGENTS = 14, 3
THINK_SECONDS = 0.05
LIVE_SECONDS = 5.0
STORE_BYTES = 4_000
REST_SECONDS = 60.0
FILES_LEAVE_AFTER = timedelta(hours=2)
MOVING = text("""
    SELECT (SELECT count(*) FROM payments WHERE state IN ('sent', 'unknown')
                OR state = 'held' AND due_at < clock_timestamp() + interval '1 hour')
         + (SELECT count(*) FROM messages WHERE state IN ('due', 'sending'))""")


# The database guards itself; here something has gone round its guards.
UNGUARDED = """
    DO $$ DECLARE one record; BEGIN
        FOR one IN SELECT conrelid::regclass AS of, conname FROM pg_constraint c
            JOIN pg_class t ON t.oid = c.conrelid AND t.relispartition = false
            WHERE contype IN ('c', 'u', 'f') AND conparentid = 0
              AND connamespace = 'public'::regnamespace
            ORDER BY contype = 'f' DESC
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', one.of, one.conname);
        END LOOP; END $$"""


@dataclass
class Lived:
    """What is left of the crowd: a database that nobody is connected to, and the evidence."""

    servers: Servers
    database: str
    evidence: Evidence
    market: Market
    catalogues: Catalogues

    def verdict(
        self, evidence: Evidence | None = None, database: str = "", *, thorough: bool = False
    ) -> list[str]:
        url = self.servers.url(SUPERUSER, database or self.database)
        seen = replace(evidence or self.evidence)
        if not thorough:  # what is planted in a store stands at its end
            seen.stores = {name: held[-STORE_BYTES:] for name, held in seen.stores.items()}
        with psycopg.connect(url, autocommit=True) as line:
            return judging.verdict(Books(line), seen, self.market, self.catalogues)

    def verdict_with(self, *statements: LiteralString) -> list[str]:
        """Run statements in a copy of the database; what the judge says of it."""
        name = f"{self.database}_copy"
        self.servers.postgres.create_database(name, template=self.database)
        try:
            with psycopg.connect(self.servers.url(SUPERUSER, name), autocommit=True) as line:
                for statement in (UNGUARDED, *statements):
                    assert line.execute(statement).rowcount, f"{statement} changed nothing"
            return self.verdict(database=name)
        finally:
            self.servers.postgres.drop_database(name)


@contextmanager
def live(servers: Servers, own_name: str, folder: Path) -> Iterator[Lived]:
    """Let a crowd live in a system of its own; what it left, while it is needed."""
    database = f"kibanda_storm_{own_name}"
    servers.postgres.create_database(database, template=DATABASE)
    own = Redis(servers.places, servers.programs, f"redis_storm_{own_name}")
    own.start()
    market = quick_market.write(
        folder,
        doubt_seconds=600,
        files_leave_at=datetime.now(UTC) + FILES_LEAVE_AFTER,
        pin_digits=10,
    )
    urls = (servers.url(APPLICATION, database), servers.url(OWNER, database))
    world = World(folder, *urls, own.url(), market=str(market))
    parts = build_runtime(
        Settings(database_url=urls[0], redis_url=own.url(), kibanda_market=str(market))
    )
    journal = Journal(folder / "phones.jsonl")
    world.start()
    try:
        world.wait_ready()
        crowd = Crowd(
            f"{world.url}/callbacks/africastalking/ussd", world, parts, journal,
            random.Random(7), PEOPLE, AGENTS, THINK_SECONDS,
        )  # fmt: skip
        crowd.start()
        _everything_happens(world, crowd)
        crowd.stopping.wait(LIVE_SECONDS)
        crowd.stop()
        wait_for(
            lambda: not parts.db.transact(lambda session: session.scalar(MOVING)),
            REST_SECONDS,
            "payments and SMS to come to rest",
        )
        assert crowd.broken == []
        evidence = judging.gather(world, parts, journal, crowd)
    finally:
        world.stop()
        parts.db.dispose()
        journal.close()
    yield Lived(servers, database, evidence, parts.market, parts.catalogues)
    own.stop()
    servers.postgres.drop_database(database)


def _everything_happens(world: World, crowd: Crowd) -> None:
    """So that there is one of each to be made wrong."""
    customer, other, *_ = crowd.of(stories.CUSTOMERS)
    agent = crowd.agents[0]
    for story in (stories.send, stories.send_by_code, stories.withdraw, stories.pay_by_shortcut):
        _told(crowd, story, customer)
    _told(crowd, stories.cash_in, agent)
    for biller in ("stima", "stima_post", "maji", "jiji"):
        world.fault(f"biller:{biller}", "refuse")
    _told(crowd, stories.pay_by_shortcut, other)
    wait_for(
        lambda: any("was not paid" in sms["text"] for sms in world.inbox(other.msisdn)),
        REST_SECONDS,
        "a refusal",
    )
    world.clear_faults()


def _told(crowd: Crowd, story: stories.Story, who: Person) -> None:
    """Tell a story until it comes to its end: a phone may be engaged by its other life."""
    for _ in range(20):
        try:
            crowd.play(story, who)
        except (Lost, Over):
            continue
        return
    pytest.fail(f"{story.__name__} never came to its end")
