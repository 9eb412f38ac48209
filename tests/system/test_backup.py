"""`backup` and `restore`, as in the night: the server is lost, and the past comes back.

The drill is one story: pay, back up, pay more, note the time, pay more, lose the server, restore to
that time. What the biller sold after it is in no row of the restored database.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from app import markets
from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.settings import Settings
from launcher.postgres import APPLICATION, BACKUP, OWNER
from launcher.servers import Servers, temporary_servers
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.servers import in_memory, migrate
from tests.system.confirmations import Caller, confirming, payers
from tests.world import Phone, World, wait_for

ARCHIVE = "archive"
PIN_TRIES = markets.load("demo").pin.tries
STOPPED = "END Payments are stopped for a check. Nothing was taken. Please try again later."
SETTLED_SECONDS = 60.0
STILL_SECONDS = 8.0  # four sweeps of the schedule, and the lookout's first


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with temporary_servers(root=in_memory(), archive=ARCHIVE) as running:
        migrate(running.url(OWNER))
        yield running


def world_over(servers: Servers, folder: Path) -> World:
    return World(
        folder,
        servers.url(APPLICATION),
        servers.url(OWNER),
        servers.redis_url,
        extra={
            "BACKUP_DATABASE_URL": servers.url(BACKUP),
            "WAL_ARCHIVE": str(servers.places.base / ARCHIVE),
            "POSTGRES_BIN": str(servers.programs.postgres),
        },
    )


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[World]:
    running = world_over(servers, tmp_path)
    try:
        yield running
    finally:
        running.stop()


def rows(servers: Servers, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(servers.url(APPLICATION), connect_timeout=5) as line:
        return line.execute(query.encode()).fetchall()


def payer(world: World) -> Phone:
    """A registered person with KES 5,000."""
    parts = build_runtime(Settings(database_url=world.database_url, redis_url=world.redis_url))
    who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 500_000)
    add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
    parts.db.dispose()
    return Phone(world, who.msisdn)


def confirm(phone: Phone, meter: str) -> str:
    """What the phone is told when the PIN is given for KES 200."""
    session = Session(phone.world, phone.msisdn)
    session.home()
    assert "PIN to pay" in session.reply("1", "1", "1", meter, "200")
    return session.reply(PIN)


def pay(phone: Phone) -> str:
    """A bill paid to its receipt; the meter."""
    meter, before = fresh_meter(), len(phone.sms())
    assert confirm(phone, meter).startswith("END Pa")
    phone.wait_sms(before + 1)
    return meter


def sold(world: World, meter: str) -> int:
    return [sale["customer_no"] for sale in world.sales()].count(meter)


def archived(servers: Servers) -> None:
    """Everything that was committed by now is in the archive."""
    with psycopg.connect(servers.admin_url, autocommit=True) as line:
        line.execute("SELECT pg_logical_emit_message(true, 'drill', '')")
        row = line.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row
    wait_for((servers.places.base / ARCHIVE / row[0]).exists, 30, "the WAL to be archived")


def lose(servers: Servers) -> Path:
    """The server dies at once, and its data is out of the way; where a new one belongs."""
    servers.postgres.kill()
    lost = servers.places.postgres
    lost.rename(lost.with_name(f"lost-{time.monotonic_ns()}"))
    return lost


def told(world: World, *command: str, by: str = "", code: int = 0) -> str:
    done = world.flask(*command, session=world.staff_session(by) if by else "")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def ready(world: World) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{world.url}/readyz", timeout=20)
    return answer.status_code, answer.json()["checks"]


def test_the_drill(servers: Servers, world: World, tmp_path: Path) -> None:
    world.start()
    world.wait_ready()
    told(world, "seed", "demo")
    phone = payer(world)
    first = pay(phone)
    kept = servers.places.base / "backups" / "monday"
    assert "whole and checked" in told(world, "backup", str(kept))
    second = pay(phone)

    # At the instant: one payment is sold and its answer lost, one has not been sent.
    for kind in ("no_webhook", "lost_reply"):
        world.fault("biller:stima", kind, times=None)
    unanswered = fresh_meter()
    assert confirm(phone, unanswered).startswith("END Payment")
    wait_for(lambda: sold(world, unanswered), 10, "the sale whose answer is lost")
    world.kill("worker")
    held = fresh_meter()
    assert confirm(phone, held).startswith("END Payment")
    time.sleep(0.1)
    instant = datetime.now(UTC)
    time.sleep(0.1)

    # After it the biller sells, and the database that knows of it is lost.
    world.clear_faults()
    world.start("worker")
    wait_for(lambda: sold(world, held), 30, "the sale that will be forgotten")
    forgotten = pay(phone)
    archived(servers)
    for name in ("web", "worker", "worker_sms", "schedule"):
        world.kill(name)
    place = lose(servers)

    said = told(world, "restore", str(kept), "--into", str(place), "--to", instant.isoformat())
    assert "stopped and in quarantine" in said
    servers.postgres.start()
    servers.redis.restart()
    world.flush_redis()

    # In quarantine everything runs and nothing is done.
    sales = len(world.sales())
    taken = len(world.gateway_took())
    world.start("web", "worker", "worker_sms", "schedule")
    wait_for(lambda: beating(world), 30, "processes that run")
    status, checks = ready(world)
    assert status == 503
    assert [name for name, check in checks.items() if not check["ok"]] == ["quarantine"]
    assert "QUARANTINE since" in told(world, "status")
    assert "kibanda_quarantine 1.0" in requests.get(f"{world.url}/metrics", timeout=20).text
    for _ in range(PIN_TRIES + 1):
        assert confirm(phone, fresh_meter()).startswith(STOPPED), "and nobody's PIN is locked"
    states = sorted(rows(servers, "SELECT state, fence FROM payments"))
    time.sleep(STILL_SECONDS)
    assert sorted(rows(servers, "SELECT state, fence FROM payments")) == states
    assert (len(world.sales()), len(world.gateway_took())) == (sales, taken)

    # Two people let it go on: what is in doubt is asked about, and bought by nobody twice.
    case = told(world, "recover", "--evidence", "drill of the night", by="asha")[:8]
    assert "2 payments are unknown" in told(world, "case", "approve", case, by="baraka")
    world.wait_ready()
    final = "SELECT count(*) FROM payments WHERE state NOT IN ('captured', 'released')"
    wait_for(lambda: rows(servers, final) == [(0,)], SETTLED_SECONDS, "every payment to be final")
    for meter in (first, second, unanswered, held, forgotten):
        assert sold(world, meter) == 1
    paid = {row[0] for row in rows(servers, "SELECT customer_no FROM payments")}
    assert paid == {first, second, unanswered, held}, "the last is what reconciliation finds"
    assert told(world, "verify").endswith("0 findings\n")
    assert sold(world, pay(phone)) == 1, "and life goes on"


def test_a_quarantine_by_hand_stops_a_system_in_use(servers: Servers, world: World) -> None:
    """Whoever writes at that moment ends first; from its answer on nothing changes."""
    query = "SELECT id, state, fence FROM payments ORDER BY id"
    world.start()
    world.wait_ready()
    told(world, "seed", "demo")
    callers = payers(world, 4)
    with confirming(callers):
        wait_for(lambda: any(caller.told for caller in callers), 30, "a confirmation")
        told(world, "quarantine", "--why", "restored by other tools")
        before, sales = rows(servers, query), len(world.sales())
        wait_for(lambda: all(last(one).startswith(STOPPED) for one in callers), 30, "refusals")
        time.sleep(STILL_SECONDS / 2)
        assert rows(servers, query) == before
        # What was in the middle of a call may be sold by now, and is asked about later.
        in_flight = sum(state == "sent" for _, state, _ in before)
        assert sales <= len(world.sales()) <= sales + in_flight
    case = told(world, "recover", "--evidence", "looked at it all", by="asha")[:8]
    told(world, "case", "approve", case, by="baraka")
    world.wait_ready()
    final = "SELECT count(*) FROM payments WHERE state NOT IN ('captured', 'released')"
    wait_for(lambda: rows(servers, final) == [(0,)], SETTLED_SECONDS, "every payment to be final")
    ours = {row[0] for row in rows(servers, "SELECT customer_no FROM payments")}
    sold_now = [sale["customer_no"] for sale in world.sales()]
    assert len(set(sold_now)) == len(sold_now)
    assert set(sold_now) <= ours
    assert told(world, "verify").endswith("0 findings\n")


def last(caller: Caller) -> str:
    """What somebody was told last."""
    return next(reversed(caller.told.values()), "")


def beating(world: World) -> bool:
    try:
        checks = ready(world)[1]
    except requests.RequestException:
        return False
    return all(check["ok"] for name, check in checks.items() if name.startswith("worker:"))


def test_what_is_refused(servers: Servers, world: World, tmp_path: Path) -> None:
    kept = servers.places.base / "backups" / "tuesday"
    told(world, "backup", str(kept))
    facts = json.loads((kept / "backup.json").read_text())
    assert facts["archived"] is True
    ended = datetime.fromisoformat(facts["ended_at"])
    early = (ended - timedelta(seconds=1)).isoformat()
    into = servers.places.base / "elsewhere"
    late = datetime.now(UTC).isoformat()

    def refused(reason: str, *command: str) -> None:
        said = told(world, *command, code=1)
        assert said.splitlines()[-1].startswith(f"Error: {reason}: "), said

    refused("folder_taken", "backup", str(kept))
    refused("restore_too_early", "restore", str(kept), "--into", str(into), "--to", early)
    refused(
        "folder_taken", "restore", str(kept), "--into", str(servers.places.postgres), "--to", late
    )
    refused("backup_unreadable", "restore", str(tmp_path), "--into", str(into), "--to", late)
    nowhere = ("--archive", str(tmp_path / "nowhere"))
    refused("archive_missing", "restore", str(kept), "--into", str(into), "--to", late, *nowhere)
    broken = kept / "base" / "PG_VERSION"
    was = broken.read_text()
    broken.write_text("17\n")
    refused("backup_broken", "restore", str(kept), "--into", str(into), "--to", late)
    broken.write_text(was)
    # What is missing at the end of the archive must not be missing without a word.
    empty = tmp_path / "empty"
    empty.mkdir()
    gap = ("--archive", str(empty))
    refused("restore_failed", "restore", str(kept), "--into", str(into), "--to", late, *gap)
    assert not into.exists()
    assert not into.with_name("elsewhere.making").exists()
    for wrong in ("yesterday", "2026-11-27T10:00:00", "2999-01-01T00:00:00Z"):
        said = told(world, "restore", str(kept), "--into", str(into), "--to", wrong, code=2)
        assert "Invalid value" in said


def test_a_password_is_on_no_command_line(servers: Servers, world: World, tmp_path: Path) -> None:
    """The program that is run is one of ours, which writes down what it was given."""
    given = tmp_path / "given"
    tool = tmp_path / "pg_basebackup"
    tool.write_text(f'#!/bin/sh\necho "$@" > {given}\necho "$PGPASSWORD" >> {given}\nexit 3\n')
    tool.chmod(0o755)
    url = servers.url(BACKUP).replace("kibanda_backup@", "kibanda_backup:hush@")
    world.extra |= {"BACKUP_DATABASE_URL": url, "POSTGRES_BIN": str(tmp_path)}
    said = told(world, "backup", str(tmp_path / "new"), code=1)
    line, password = given.read_text().splitlines()
    assert "user=kibanda_backup" in line
    assert "hush" not in line + said
    assert password == "hush"
    assert not (tmp_path / "new").exists()
