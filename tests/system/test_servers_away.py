"""Redis and PostgreSQL die under the running system, fall silent, and come back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
import requests

from app.cli.demo import PIN, DemoPerson, add
from app.db import QUIET_SECONDS
from app.factory import build_runtime
from app.settings import Settings
from app.sms.tries import LEASE_SECONDS
from launcher.embedded import EmbeddedServer
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.processes import process_table
from launcher.servers import Servers, temporary_servers
from tests import forkserver
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.servers import in_memory, migrate
from tests.world import COMMANDS, ROOT, Phone, World, wait_for

HOP_SECONDS = 4.0  # the promise is 2; a stalling test machine gets as much again
BACK_SECONDS = 25.0
# An SMS whose claim was committed just before the end is sent when its lease has run out.
RECEIPT_SECONDS = LEASE_SECONDS + 15.0
AWAY = "END Kibanda cannot answer now. Please dial again in a few minutes. Help: 0711000999"
# What is typed next by somebody who has typed this so far.
STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "home": ((), "1"),
    "category": (("1",), "1"),
    "product": (("1", "1"), "1"),
    "meter": (("1", "1", "1"), "54100234563"),
    "amount": (("1", "1", "1", "54100234563"), "200"),
    "PIN of a payment": (("1", "1", "1", "54100234563", "200"), PIN),
    "PIN of the balance": (("5",), PIN),
}
NEEDS_DATABASE = ("meter", "amount", "PIN of a payment", "PIN of the balance")


@dataclass
class Ground:
    """A world, and the servers that it stands on and that a test may kill."""

    world: World
    servers: Servers

    def person(self) -> Phone:
        """A registered person with KES 1,000."""
        world = self.world
        parts = build_runtime(Settings(database_url=world.database_url, redis_url=world.redis_url))
        who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 100_000)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
        parts.db.dispose()
        return Phone(world, who.msisdn)

    def sessions(self) -> dict[str, Session]:
        """One session for each of STEPS, of a person each."""
        sessions = {}
        for name, (typed, _) in STEPS.items():
            sessions[name] = Session(self.world, self.person().msisdn)
            sessions[name].dial()
            if typed:
                assert sessions[name].reply(*typed).startswith("CON ")
        return sessions

    def at_the_pin(self, phone: Phone, meter: str) -> Session:
        session = Session(self.world, phone.msisdn)
        session.dial()
        assert "PIN to pay" in session.reply("1", "1", "1", meter, "200")
        return session

    def checks(self) -> dict[str, bool]:
        """The checks of `/readyz`; its status code must agree with them."""
        answer = requests.get(f"{self.world.url}/readyz", timeout=10)
        checks = {name: check["ok"] for name, check in answer.json()["checks"].items()}
        assert answer.status_code == (200 if all(checks.values()) else 503)
        return checks

    def wait_ready(self) -> None:
        """Everything works again. The schedule ends when Redis is lost, by contract; whoever
        supervises it starts it again, which is what this does.
        """

        def ready() -> bool:
            if not self.world.running("schedule"):
                self.world.start("schedule")
            return all(self.checks().values())

        wait_for(ready, BACK_SECONDS, "readiness")
        assert all(self.world.running(name) for name in ("web", "worker", "worker_sms"))

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.servers.admin_url, autocommit=True) as line:
            line.execute(statement.encode())

    def is_held(self, phone: Phone) -> bool:
        """Whether the payment of a phone is confirmed, from the tables."""
        with psycopg.connect(self.servers.url(SUPERUSER, DATABASE)) as line:
            query = "SELECT FROM payments p JOIN people w ON w.id = p.person_id WHERE msisdn = %s"
            return line.execute(query, [phone.msisdn]).fetchone() is not None

    def paid_once(self, phone: Phone, meter: str) -> None:
        """In the end there is one sale, one receipt, and the right balance."""
        (receipt,) = phone.wait_sms(1, RECEIPT_SECONDS)
        assert receipt.startswith(f"Paid KES 200.00 for Stima token {meter}")
        assert phone.dial().startswith("Last: KES 200.00 paid")
        phone.reply("6")
        assert phone.reply(PIN).startswith("Balance KES 790.00")
        assert [sale["customer_no"] for sale in self.world.sales()].count(meter) == 1
        assert phone.sms() == [receipt]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with temporary_servers(root=in_memory()) as servers:
        migrate(servers.url(OWNER))
        urls = (servers.url(APPLICATION), servers.url(OWNER), servers.redis_url)
        world = World(tmp_path_factory.mktemp("away"), *urls)
        world.start()
        try:
            world.wait_ready()
            yield Ground(world, servers)
        finally:
            world.stop()


def in_time(hop: Callable[..., str], *typed: str) -> str:
    """The answer of a hop, which must come within two seconds."""
    began = time.monotonic()
    answer = hop(*typed)
    took = time.monotonic() - began
    assert took < HOP_SECONDS, f"{took:.2f} s for {answer!r}"
    return answer


def next_hops(sessions: dict[str, Session]) -> dict[str, str]:
    """What every session answers to what its person types next, all at the same time."""
    with ThreadPoolExecutor(len(sessions)) as pool:
        asked = {
            name: pool.submit(in_time, session.reply, STEPS[name][1])
            for name, session in sessions.items()
        }
        return {name: answer.result() for name, answer in asked.items()}


@contextmanager
def gone(server: EmbeddedServer) -> Iterator[None]:
    """The server is killed with -9, and started again at the end."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def silent(server: EmbeddedServer) -> Iterator[None]:
    """The server keeps its connections and says nothing any more."""
    frozen = [row.pid for row in process_table() if server.pid in (row.pid, row.parent)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def on_its_way(ground: Ground, session: Session) -> Iterator[Future[str]]:
    """The PIN was sent and the payment is confirmed; the phone waits for its answer."""
    ground.world.fault("biller:stima", "slow", seconds=1.5, times=1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(session.reply, PIN)
        phone = Phone(ground.world, session.msisdn)
        wait_for(lambda: ground.is_held(phone), 5, "the payment to be confirmed")
        yield answer


@pytest.mark.parametrize("away", [gone, silent])
def test_without_redis_every_hop_ends_and_nothing_is_lost(
    ground: Ground, away: Callable[[EmbeddedServer], AbstractContextManager[None]]
) -> None:
    sessions, sold = ground.sessions(), len(ground.world.sales())
    with away(ground.servers.redis):
        assert set(next_hops(sessions).values()) == {AWAY}
        assert in_time(Session(ground.world, fresh_msisdn()).dial) == AWAY
        checks = ground.checks()
        assert (checks["redis"], checks["database"]) == (False, True)
    ground.wait_ready()
    assert len(ground.world.sales()) == sold
    for session in sessions.values():
        assert balance_told(ground, session.msisdn).startswith("END Balance KES 1,000.00")


def balance_told(ground: Ground, msisdn: str) -> str:
    """What a new session is told; on a stalling machine PostgreSQL may be away for a moment."""

    def ask() -> str | None:
        session = Session(ground.world, msisdn)
        if "1 Pay bill" not in session.home():
            return None
        answer = session.reply("5", PIN)
        return answer if answer.startswith("END Balance") else None

    told: str = wait_for(ask, BACK_SECONDS, "a balance")
    return told


def test_redis_killed_between_pin_and_receipt(ground: Ground) -> None:
    """The bell and the sessions are lost; the rows are not."""
    ground.wait_ready()
    phone, meter = ground.person(), fresh_meter()
    session = ground.at_the_pin(phone, meter)
    with on_its_way(ground, session) as answer, gone(ground.servers.redis):
        said = answer.result(10)
        assert said.startswith(("END Paid KES 200.00", "END Payment")), said
        assert "Nothing was taken" not in said
    ground.wait_ready()
    ground.paid_once(phone, meter)


@pytest.mark.parametrize("away", [gone, silent])
def test_without_postgresql_every_hop_answers_and_nothing_is_taken(
    ground: Ground, away: Callable[[EmbeddedServer], AbstractContextManager[None]]
) -> None:
    ground.wait_ready()
    sessions, sold = ground.sessions(), len(ground.world.sales())
    with away(ground.servers.postgres):
        for name, answer in next_hops(sessions).items():
            if name in NEEDS_DATABASE:
                assert answer.startswith("END "), f"{name}: {answer}"
                assert "Help: 0711000999" in answer
            else:
                assert answer.startswith("CON "), f"{name} needs no table: {answer}"
        assert in_time(Session(ground.world, fresh_msisdn()).dial) == AWAY
        assert ground.checks()["database"] is False
        metrics = requests.get(f"{ground.world.url}/metrics", timeout=5)
        assert "kibanda_database_up 0.0" in metrics.text
    ground.wait_ready()
    assert len(ground.world.sales()) == sold
    for session in sessions.values():
        again = Session(ground.world, session.msisdn)
        assert "1 Pay bill" in again.home()
        assert again.reply("5", PIN).startswith("END Balance KES 1,000.00")
    phone, meter = ground.person(), fresh_meter()
    assert ground.at_the_pin(phone, meter).reply(PIN).startswith("END Pa")
    ground.paid_once(phone, meter)


def test_a_silent_postgresql_holds_up_nobody(ground: Ground) -> None:
    """More people than the web has threads: nobody waits behind those who wait."""
    ground.wait_ready()
    people = [ground.person().msisdn for _ in range(20)]

    def dial(msisdn: str) -> str:
        return in_time(Session(ground.world, msisdn).dial)

    with silent(ground.servers.postgres), ThreadPoolExecutor(len(people)) as pool:
        for _ in range(2):
            assert set(pool.map(dial, people)) == {AWAY}
            time.sleep(QUIET_SECONDS)
    ground.wait_ready()
    for msisdn in people:
        assert "1 Pay bill" in dial(msisdn)


@pytest.mark.parametrize("away", [gone, silent])
def test_postgresql_away_under_workers(
    ground: Ground, away: Callable[[EmbeddedServer], AbstractContextManager[None]]
) -> None:
    """While the biller is being paid: the sale is found again and told once."""
    ground.wait_ready()
    phone, meter = ground.person(), fresh_meter()
    with on_its_way(ground, ground.at_the_pin(phone, meter)) as answer:
        wait_for(lambda: sold(ground.world, meter), 5, "the biller to have sold")
        with away(ground.servers.postgres):
            said = answer.result(10)
            assert said.startswith("END "), said
            assert "Nothing was taken" not in said
    ground.wait_ready()
    ground.paid_once(phone, meter)


def sold(world: World, meter: str) -> bool:
    return meter in [sale["customer_no"] for sale in world.sales()]


def refused(world: World, name: str, **changed: str) -> str:
    """What a process says that must refuse to start."""
    environment = {**world.environment, "PORT": "1", **changed}
    done = forkserver.run(COMMANDS[name], cwd=ROOT, env=environment, seconds=20)
    assert done.returncode not in (0, None), done.stdout + done.stderr
    assert done.returncode > 0, "it ended by itself, not by a signal"
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["web", "worker"])
def test_no_process_starts_as_the_owner(ground: Ground, name: str) -> None:
    said = refused(ground.world, name, DATABASE_URL=ground.servers.url(OWNER))
    assert f"role {OWNER} owns the tables or is a superuser; DATABASE_URL needs kibanda_app" in said


@pytest.mark.parametrize("name", ["web", "schedule"])
def test_no_process_starts_where_a_success_would_not_last(ground: Ground, name: str) -> None:
    ground.admin(f"ALTER ROLE {APPLICATION} SET synchronous_commit = off")
    try:
        said = refused(ground.world, name)
    finally:
        ground.admin(f"ALTER ROLE {APPLICATION} RESET synchronous_commit")
    assert "synchronous_commit is off; a success would not survive power loss" in said
