"""`ussd funnel` after an afternoon of phones: some stopped on the way, one paid, one was failed."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.cli.demo import DemoPerson, add
from app.ussd.ends import PURGED_MOST
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.redis import Redis
from launcher.servers import Servers
from tests.cli.office import Office, app_over, said
from tests.people import fresh_meter, fresh_msisdn
from tests.world import Phone, World, wait_for

PIN = "7391"
ANSWER_SECONDS = 2  # of the gateway's patience; short, for one session here waits it out
SESSIONS = 8


@dataclass
class Afternoon:
    """The world after its sessions ended, and its command line."""

    world: World
    app: Flask

    def ask(self, *options: str) -> dict[str, Any]:
        """The funnel as JSON."""
        found: dict[str, Any] = json.loads(self.shown("--json", *options))
        return found

    def shown(self, *options: str) -> str:
        return said(self.app.test_cli_runner().invoke(args=["ussd", "funnel", *options]))


@pytest.fixture(scope="module")
def afternoon(
    servers: Servers, own_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Afternoon]:
    name = f"{own_name}_{secrets.token_hex(4)}"
    database = f"kibanda_{name}"
    servers.postgres.create_database(database, template=DATABASE)
    own = Redis(servers.places, servers.programs, f"redis_{name}")
    own.start()
    world = World(
        tmp_path_factory.mktemp("funnel"),
        servers.url(APPLICATION, database),
        servers.url(OWNER, database),
        own.url(),
        extra={"SANDBOX_ANSWER_SECONDS": str(ANSWER_SECONDS)},
    )
    try:
        world.start()
        world.wait_ready()
        with app_over(world.database_url) as app:
            live_through(world, app)
            yield Afternoon(world, app)
    finally:
        world.stop()
        own.stop()
        servers.postgres.drop_database(database)


def live_through(world: World, app: Flask) -> None:
    """Each session stops somewhere else; the last one pays."""
    stranger = Phone(world, fresh_msisdn())
    stranger.dial()
    stranger.drop()
    for language, keys in (
        ("en", ["1", "1", "1"]),
        ("sw", ["1", "1", "1", fresh_meter()]),
        ("sw", ["1", "1", "1", fresh_meter(), "200"]),
        ("en", ["7"]),
    ):
        phone = registered(world, app, language)
        typed(phone, *keys)
        phone.drop()
    unlucky = registered(world, app, "sw")
    typed(unlucky, "1", "1", "1")
    web = world._running["web"].pid
    os.killpg(web, signal.SIGSTOP)
    try:
        unlucky.reply("not a meter")
    finally:
        os.killpg(web, signal.SIGCONT)
    clumsy = registered(world, app, "en")
    assert "0711000999" in typed(clumsy, "1", "1", "1", "12", "13", "14"), (
        "after three tries it ends"
    )
    payer = registered(world, app, "en")
    assert "Paid" in typed(payer, "1", "1", "1", fresh_meter(), "200", PIN)
    wait_for(lambda: events(world) == SESSIONS, 15, "the end events")


def registered(world: World, app: Flask, language: str) -> Phone:
    parts = app.extensions["kibanda"]
    person = DemoPerson(fresh_msisdn(), "Amina Wanjiru", language, "customer", 100_000)
    add(parts.db, parts.pins, parts.market, person, datetime.now(UTC), PIN)
    return Phone(world, person.msisdn)


def typed(phone: Phone, *keys: str) -> str:
    screen = phone.dial()
    for key in keys:
        screen = phone.reply(key)
    return screen


def events(world: World) -> int:
    with psycopg.connect(world.database_url) as line:
        found = line.execute("SELECT count(*) FROM ussd_ends").fetchone()
    return int(found[0]) if found else 0


def counts(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Reached and lost by name, in the order of the rows."""
    return {row["name"]: (row["reached"], row["lost"]) for row in found["rows"]}


def test_where_people_stopped(afternoon: Afternoon) -> None:
    found = afternoon.ask()
    assert found["sessions"] == {"ended": 1, "stopped": 1, "dropped": 5, "failed": 1, "unknown": 0}
    assert (found["all"], found["registered"], found["committed"]) == (SESSIONS, 7, 1)
    assert (found["without_path"], found["cut"]) == (0, False)
    assert list(counts(found).items()) == [
        ("home", (7, 0)),
        ("register.language", (1, 1)),
        ("bill.category", (6, 0)),
        ("bill.product", (6, 0)),
        ("bill.number", (6, 3)),
        ("bill.amount", (3, 1)),
        ("bill.confirm", (2, 1)),
        ("bill.paid", (1, 0)),
        ("account", (1, 1)),
    ]
    number = found["rows"][4]
    assert number == {
        "name": "bill.number",
        "reached": 6,
        "reached_percent": 75.0,
        "left": {"ended": 0, "stopped": 1, "dropped": 1, "failed": 1, "unknown": 0},
        "lost": 3,
        "lost_percent": 50.0,
        "last": False,
        "most_lost": True,
    }


def test_a_menu_step_by_step_for_people(afternoon: Afternoon) -> None:
    lines = afternoon.shown("--menu", "bill").splitlines()
    at = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.fullmatch(f"6 sessions with an end event, {at} to {at}", lines[0])
    steps = "bill.category 100 % → bill.product 100 % → bill.number 100 % (◀ most lost: 3)"
    assert lines[1:5] == [
        "ended 1  stopped 1  dropped 3  failed 1  unknown 0",
        "confirmed 1  registered 6  path unknown 0",
        "",
        f"{steps} → bill.amount 50 % → bill.confirm 33 %; last screens: bill.paid 17 %",
    ]
    head = "state reached reached % ended stopped dropped failed unknown lost %"
    assert [" ".join(line.split()) for line in lines[6:]] == [
        head,
        "bill.category 6 100 0 0 0 0 0 0",
        "bill.product 6 100 0 0 0 0 0 0",
        "bill.number 6 100 0 1 1 1 0 50 ◀ most lost",
        "bill.amount 3 50 0 0 1 0 0 33",
        "bill.confirm 2 33 0 0 1 0 0 50",
        "bill.paid 1 17 1 0 0 0 0 0",
    ]


def test_by_language_menu_network_and_version(afternoon: Afternoon) -> None:
    assert counts(afternoon.ask("--by", "language")) == {"en": (5, 4), "sw": (3, 3)}
    assert counts(afternoon.ask("--by", "language", "--state", "bill.number")) == {
        "en": (3, 2),
        "sw": (3, 1),
    }
    sw = afternoon.ask("--language", "sw", "--menu", "bill")
    assert sw["only"] == {"language": "sw", "menu": "bill"}
    assert counts(sw) == {
        "bill.category": (3, 0),
        "bill.product": (3, 0),
        "bill.number": (3, 1),
        "bill.amount": (2, 1),
        "bill.confirm": (1, 1),
    }
    menus = {"home": (7, 0), "register": (1, 1), "bill": (6, 5), "account": (1, 1)}
    assert counts(afternoon.ask("--by", "menu")) == menus
    assert counts(afternoon.ask("--by", "network")) == {"99999": (8, 7)}
    version = afternoon.app.extensions["kibanda"].engine.book.version
    assert counts(afternoon.ask("--by", "version")) == {version: (8, 7)}
    assert afternoon.ask("--network", "63902")["all"] == 0


def test_days_are_those_of_the_market(afternoon: Afternoon) -> None:
    here = afternoon.app.extensions["kibanda"].market.zone
    today = datetime.now(here).date()
    found = afternoon.ask("--from", f"{today}", "--to", f"{today}")
    assert datetime.fromisoformat(found["since"]) == datetime.combine(today, time(), here)
    tomorrow = datetime.combine(today + timedelta(days=1), time(), here)
    assert datetime.fromisoformat(found["until"]) == tomorrow
    assert afternoon.ask("--from", f"{today - timedelta(days=1)}")["all"] == SESSIONS
    assert afternoon.ask("--since", "7d")["all"] == SESSIONS
    long_ago = afternoon.shown("--from", "2001-02-03", "--to", "2001-02-04")
    assert long_ago.splitlines() == [
        "0 sessions with an end event, 2001-02-03 00:00 to 2001-02-05 00:00",
        "ended 0  stopped 0  dropped 0  failed 0  unknown 0",
        "confirmed 0  registered 0  path unknown 0",
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--to", "2026-01-02"], "--to needs --from"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--to is before --from"),
        (["--since", "1h", "--from", "2026-01-02"], "--since and --from exclude each other"),
        (["--since", "1 week"], "'1 week' is not of the form 90m, 24h or 7d"),
        (["--since", "0h"], "'0h' is not of the form"),
        (["--by", "shoe"], "'shoe' is not one of"),
        (["--from", "yesterday"], "'yesterday' does not match the format"),
    ],
)
def test_what_cannot_be_asked_is_said(office: Office, options: list[str], reason: str) -> None:
    assert reason in said(office.run("ussd", "funnel", *options), code=2)


def test_a_purge_keeps_what_came_since_that_day(office: Office) -> None:
    for day in ("2001-01-01", "2001-01-02"):
        office.admin(
            "INSERT INTO ussd_ends (gateway, session_id, msisdn, service_code, network, status,"
            f" received_at) SELECT 'g', '{day}-' || n, '+254711000001', '*1#', '1', 'dropped',"
            f" '{day} 12:00+03' FROM generate_series(1, {PURGED_MOST + 1}) AS n"
        )
    old = ["ussd", "funnel", "--json", "--from", "2001-01-01", "--to", "2001-01-02"]
    before = json.loads(said(office.run(*old)))
    assert (before["all"], before["without_path"]) == (2 * (PURGED_MOST + 1),) * 2
    done = said(office.run("ussd", "purge", "--before", "2001-01-02"))
    assert done == f"{PURGED_MOST + 1} end events deleted\n"
    assert json.loads(said(office.run(*old)))["all"] == PURGED_MOST + 1
    assert said(office.run("ussd", "purge", "--before", "2001-01-02")).startswith("0 ")
    assert "--before" in said(office.run("ussd", "purge"), code=2)


def test_the_command_is_a_process_of_its_own_too(afternoon: Afternoon) -> None:
    done = afternoon.world.flask("ussd", "funnel", "--menu", "account")
    assert (done.returncode, done.stderr) == (0, "")
    assert "account 100 % (◀ most lost: 1)" in done.stdout
