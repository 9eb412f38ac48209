"""The primary dies under confirmations, and a synchronous standby takes over.

Fencing is what keeps promise 1: two primaries that both take writes are two truths. Here the old
one is killed and its data moved away, so that nothing that starts it can bring it back.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests

from app.db import Database
from app.errors import DomainError
from launcher import places as ours
from launcher.places import SOCKET_NAME
from launcher.postgres import OWNER
from launcher.servers import Servers, temporary_servers
from tests.servers import in_memory, migrate
from tests.system.confirmations import (
    BACK_SECONDS,
    back_after,
    confirming,
    judge,
    payers,
    wait_for_more,
)
from tests.system.standby import Standby, address, wait_for_it
from tests.world import World, wait_for


@dataclass
class Pair:
    """A primary, its standby, and the system over both."""

    primary: Servers
    standby: Standby
    world: World


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with temporary_servers(root=in_memory()) as primary:
        migrate(primary.url(OWNER))
        places = ours.temporary(in_memory())
        with ours.claimed(places):
            standby = Standby(places, primary)
            try:
                standby.start()
                wait_for_it(primary)
                folders = (primary.places.sockets, places.sockets)
                owner = address(*folders, role=OWNER)
                world = World(tmp_path, address(*folders), owner, primary.redis_url)
                world.start()
                try:
                    world.wait_ready()
                    yield Pair(primary, standby, world)
                finally:
                    world.stop()
            finally:
                standby.stop()
                ours.drop(places)


def fence(primary: Servers) -> None:
    """Nobody reaches the old primary any more, and nobody can start it where it was."""
    primary.postgres.kill()
    data = primary.places.postgres
    data.rename(data.with_name("fenced"))
    with suppress(FileNotFoundError):
        (primary.places.sockets / SOCKET_NAME).unlink()


def test_the_standby_has_every_confirmation_that_was_told(pair: Pair) -> None:
    callers, (watcher,) = payers(pair.world), payers(pair.world, 1)
    with confirming(callers):
        wait_for_more(callers)
        fence(pair.primary)
        time.sleep(1.0)
        pair.standby.promote()
        took = back_after(watcher)
        wait_for_more(callers)
    assert took < BACK_SECONDS
    sorts = judge(pair.world, callers)
    print(f"back {took:.2f} s after the promotion; {dict(sorts)}")


def test_a_primary_that_swallows_packets_does_not_hide_the_standby(servers: Servers) -> None:
    """A machine without power answers nothing, and its first address is still tried first."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)  # takes the connection, and never says a word
        url = f"postgresql://kibanda_app@/kibanda?host=127.0.0.1,{servers.places.sockets}"
        url += f"&port={hole.getsockname()[1]},5432&target_session_attrs=read-write"
        db = Database(url, pool_size=1, seconds=1.6)
        began = time.monotonic()
        try:
            assert db.transact(lambda session: session.connection().exec_driver_sql("SELECT 1"))
        finally:
            db.dispose()
        assert time.monotonic() - began < 1.6


def test_nobody_answers_in_time_when_both_are_silent() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        port = hole.getsockname()[1]
        url = f"postgresql://kibanda_app@/kibanda?host=127.0.0.1,127.0.0.1&port={port},{port}"
        db = Database(url, pool_size=1, seconds=1.0)
        began = time.monotonic()
        with pytest.raises(DomainError, match="database_away"):
            db.transact(lambda session: session.connection())
        assert time.monotonic() - began < 1.5


def test_an_asynchronous_standby_is_an_alarm(pair: Pair) -> None:
    """With it a failover forgets what people were told: promise 3."""
    metrics = requests.get(f"{pair.world.url}/metrics", timeout=20).text
    assert "kibanda_standby_asynchronous 0.0" in metrics
    with psycopg.connect(pair.primary.admin_url, autocommit=True) as line:
        line.execute("ALTER SYSTEM RESET synchronous_standby_names")
        line.execute("SELECT pg_reload_conf()")

    def alarms() -> bool:
        text = requests.get(f"{pair.world.url}/metrics", timeout=20).text
        return "kibanda_standby_asynchronous 1.0" in text

    wait_for(alarms, 30, "the alarm")
    assert "asynchronous" in pair.world.flask("status").stdout
