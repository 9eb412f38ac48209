"""A rolling restart across a change of the menus, under load: no hop is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import requests

from app.billers import breaker
from app.runtime import Runtime
from app.ussd.menus import VERSION, previous
from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.conftest import PIN
from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.system.releases import BEFORE, FILE, NOW, OVERLAP_SECONDS
from tests.world import BIN, ROOT, World, wait_for

CALLERS = 6
LOAD_SECONDS = 14.0
SWITCH_AFTER_SECONDS = 3.0
PAUSE_SECONDS = 0.05  # a person types; a session is to live through the switch
HOME = "CON Kibanda\n1 Pay bill"
LIST = "CON Pay bill"
TODAY = "Electricity"  # categories are new
AddPerson = Callable[..., str]


@pytest.fixture
def web(
    tmp_path: Path, servers: Servers, world_database: str, redis_url: str
) -> Iterator[tuple[World, subprocess.Popen[bytes], Path]]:
    """A gunicorn of two processes of the release before, beside the sandbox."""
    release = tmp_path / "release"
    release.write_text(BEFORE)
    extra = {"WEB_WORKERS": "2", FILE: str(release)}
    urls = (servers.url(APPLICATION, world_database), servers.url(OWNER, world_database))
    world = World(tmp_path, *urls, redis_url, extra=extra)
    world.flush_redis()  # it remembers when a version was first used
    world.start("sandbox")
    with (tmp_path / "web.log").open("ab") as log:
        command = ["--config", "gunicorn.conf.py", "tests.system.releases:create_web()"]
        process = subprocess.Popen(
            [str(BIN / "gunicorn"), *command],
            cwd=ROOT,
            env={**world.environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: _answers(world), 30, f"the web process; its log is in {tmp_path}")
        yield world, process, release
    finally:
        process.terminate()
        process.wait(15)
        world.stop()


def _answers(world: World) -> bool:
    try:
        return requests.get(f"{world.url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(autouse=True)
def billers_well(runtime: Runtime) -> None:
    """An earlier test over this database may have left a breaker open."""
    for code in runtime.market.billers:
        runtime.db.transact(partial(breaker.answered, biller=code))


class Caller:
    """One person's sessions, one after the other; what came back wrong is kept."""

    def __init__(self, world: World, runtime: Runtime, msisdn: str) -> None:
        self._world, self._runtime, self._msisdn = world, runtime, msisdn
        self.wrong: list[str] = []
        self.versions: Counter[str] = Counter()
        self.hops = 0

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            session = Session(self._world, self._msisdn)
            self._hop(session.dial, (), HOME)
            shown = self._typed(session, "1", LIST)
            if TODAY in shown:
                self._typed(session, "1", LIST)
            self._typed(session, "1", "CON Stima token")
            self._typed(session, fresh_meter(), "CON ")
            self._typed(session, "200", "CON Pay KES 200.00")
            self._typed(session, "00", HOME)
            live = self._runtime.sessions.peek(
                self._runtime.sessions.hash_of("africastalking", session.id)
            )
            self.versions[live.version if live else "lost"] += 1

    def _typed(self, session: Session, typed: str, begins: str) -> str:
        time.sleep(PAUSE_SECONDS)
        return self._hop(session.reply, (typed,), begins)

    def _hop(self, send: Callable[..., str], typed: tuple[str, ...], begins: str) -> str:
        self.hops += 1
        try:
            shown = send(*typed)
        except requests.RequestException as error:
            shown = type(error).__name__
        if not shown.startswith(begins):
            self.wrong.append(f"{shown!r} instead of {begins!r}")
        return shown


def first_list(world: World, msisdn: str) -> str:
    session = Session(world, msisdn)
    session.dial()
    return session.reply("1")


def test_no_hop_is_lost_when_the_menus_change_under_load(
    web: tuple[World, subprocess.Popen[bytes], Path], runtime: Runtime, add_person: AddPerson
) -> None:
    world, process, release = web
    callers = [Caller(world, runtime, add_person("en", 100_000)) for _ in range(CALLERS)]
    over = threading.Event()
    with ThreadPoolExecutor(CALLERS) as pool:
        running = [pool.submit(caller.run, over) for caller in callers]
        time.sleep(SWITCH_AFTER_SECONDS)
        release.write_text(NOW)
        os.kill(process.pid, signal.SIGHUP)  # new processes start, the old ones finish and go
        time.sleep(LOAD_SECONDS - SWITCH_AFTER_SECONDS)
        wait_for(
            lambda: any(c.versions[VERSION] for c in callers), 30, "a session of the new menus"
        )
        over.set()
        for future in running:
            future.result(30)
    assert [wrong for caller in callers for wrong in caller.wrong] == []
    versions = sum((caller.versions for caller in callers), Counter())
    assert set(versions) == {previous.VERSION, VERSION}
    assert sum(caller.hops for caller in callers) > 200


def test_after_the_overlap_new_sessions_begin_with_the_new_menus(
    web: tuple[World, subprocess.Popen[bytes], Path], runtime: Runtime, add_person: AddPerson
) -> None:
    """Categories are new. A session that began before the switch goes on with its own menus
    after it."""
    world, process, release = web
    msisdn = add_person("en", 100_000)
    old = Session(world, msisdn)
    assert old.dial().startswith(HOME)
    old.reply("1")
    release.write_text(NOW)
    began = time.monotonic()
    os.kill(process.pid, signal.SIGHUP)
    wait_for(lambda: TODAY in first_list(world, msisdn), 30, "new menus")
    assert time.monotonic() - began >= OVERLAP_SECONDS
    assert old.reply("1").startswith("CON Stima token")
    live = runtime.sessions.peek(runtime.sessions.hash_of("africastalking", old.id))
    assert live is not None
    assert live.version == previous.VERSION
    assert old.reply(fresh_meter(), "200").startswith("CON Pay KES 200.00 to Stima token")
    # In progress, or paid where the session's running system serves the same database by now.
    assert old.reply(PIN).startswith(("END Payment", "END Paid"))
