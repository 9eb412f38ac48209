"""The command line: what each command of the README says, and with which exit code it ends.

Most commands run in this process, for a process each would take a minute of the suite: over the
world's database when a phone must notice, over one of their own when money is bent.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from app import markets
from app.factory import create_app
from app.settings import Settings
from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.cli.office import Office, app_over, refusal, said
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_of_the_readme_is_there(office: Office) -> None:
    table = (ROOT / "README.md").read_text().split("## Command line")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    commands = re.findall(r"`([a-z][a-z -]*[a-z])(?: [A-Z]+)*`", " ".join(cells))
    assert len(commands) >= 11, commands
    for command in commands:
        assert said(office.run(*command.split(), "--help")).startswith(f"Usage: app {command}")


# --- trial-balance, verify, status ---


def test_trial_balance_and_verify_find_one_unit(office: Office) -> None:
    person = office.stage.person()
    balanced = json.loads(said(office.run("trial-balance")))
    assert balanced["balanced"] is True
    assert balanced["off_by_minor"] == {"KES": 0}
    lines = {line["kind"]: line for line in balanced["lines"]}
    assert lines["wallet"]["balance_minor"] > 0 > lines["trust_bank"]["balance_minor"]
    assert said(office.run("verify")).endswith("0 findings\n")

    office.admin(f"UPDATE accounts SET balance = balance + 1 WHERE id = {person.wallet_id}")
    try:
        off = json.loads(said(office.run("trial-balance"), code=1))
        assert (off["balanced"], off["off_by_minor"]) == (False, {"KES": 1})
        assert str(person.wallet_id) in said(office.run("verify"), code=1)
    finally:
        office.admin(f"UPDATE accounts SET balance = balance - 1 WHERE id = {person.wallet_id}")
    assert json.loads(said(office.run("trial-balance"))) == balanced
    assert said(office.run("verify")).endswith("0 findings\n")


def test_status_names_what_is_late(office: Office) -> None:
    payment = office.stage.pay()
    office.stage.run(
        "UPDATE payments SET due_at = clock_timestamp() - interval '90 s' WHERE id = :id",
        id=payment.id,
    )
    status = json.loads(said(office.run("status", "--json")))
    assert 90 <= status["oldest_due_seconds"]["payments"] < 120
    assert status["open_payments"]["held"] >= 1
    shown = said(office.run("status"))
    assert re.search(r"^payments +9\d\.\d s$", shown, re.MULTILINE)
    office.stage.biller.script = None
    office.stage.drain()


def test_the_running_world_is_in_order(world: World) -> None:
    done = world.flask("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    status = json.loads(done.stdout)
    (stima,) = (one for one in status["billers"] if one["code"] == "stima")
    assert (stima["code"], stima["paused"], stima["breaker_open"]) == ("stima", False, False)
    beats = status["heartbeats"]
    assert {beat["queue"] for beat in beats} == {"payments", "messages", "schedule"}
    assert all(beat["age"] < 20 for beat in beats)
    with app_over(world.database_url) as app:
        for command in ("trial-balance", "verify"):
            said(app.test_cli_runner().invoke(args=[command]))


@pytest.mark.parametrize(
    "command",
    ["status", "trial-balance", "verify", "person show 0711000001", "payment show X", "seed demo"],
)
def test_a_database_that_cannot_be_asked_is_not_exit_code_1(
    servers: Servers, own_database: str, tmp_path: Path, command: str
) -> None:
    """An alarm on exit code 1 says that money is off; this is not known here."""
    with app_over(f"postgresql://kibanda_app@/kibanda?host={tmp_path}") as app:
        away = app.test_cli_runner().invoke(args=command.split())
    refusal(away, "database_away", code=2)
    with app_over(servers.url(OWNER, own_database)) as app:
        owner = said(app.test_cli_runner().invoke(args=command.split()), code=2)
    assert owner == (
        "Error: role kibanda_owner owns the tables or is a superuser;"
        " DATABASE_URL needs kibanda_app\n"
    )


# --- migrate, seed, ussd check ---


def test_seeding_twice_changes_nothing(office: Office) -> None:
    people = [one.msisdn for one in markets.load("demo").demo_people]
    first = said(office.run("seed", "demo")).splitlines()
    assert sorted(line.split()[0] for line in first[:-3]) == sorted(people)
    assert [line.removesuffix(", was there") for line in first[-3:]] == [
        "staff mkuu (admin)",
        "staff asha (support, finance)",
        "staff baraka (supervisor, finance)",
    ]
    before = json.loads(said(office.run("trial-balance")))
    second = said(office.run("seed", "demo"))
    assert all(line.endswith(", was there") for line in second.splitlines())
    assert json.loads(said(office.run("trial-balance"))) == before
    amina = said(office.run("person", "show", "0711000001"))
    assert "available KES 5,000.00" in amina


def test_migrate_needs_the_owners_address_and_may_be_repeated(world: World) -> None:
    done = world.flask("migrate")
    assert (done.returncode, done.stdout) == (0, "The database is at this release.\n")
    assert requests.get(f"{world.url}/readyz", timeout=5).status_code == 200
    with app_over(world.database_url) as app:
        unset = app.test_cli_runner().invoke(args=["migrate"])
    assert said(unset, code=1) == "Error: MIGRATION_DATABASE_URL is not set\n"


def test_ussd_check_finds_nothing(office: Office) -> None:
    assert re.fullmatch(
        r"\d+ states in 4 languages, 0 problems\n", said(office.run("ussd", "check"))
    )


def test_commands_of_another_market_than_the_demo(
    servers: Servers, own_database: str, tmp_path: Path
) -> None:
    """Example people never get into a market that is no demo."""
    text = (markets.FOLDER / "demo.toml").read_text()
    market = tmp_path / "real.toml"
    market.write_text(text.replace("demo = true\n", "").replace('code = "demo"', 'code = "real"'))
    keys: dict[str, Any] = {
        "callback_token": "x" * 32,
        "pin_keys": f"1:{'A' * 43}=",
        "session_key": f"{'A' * 43}=",
        "at_username": "kibanda",
        "at_api_key": "k",
    }
    app = create_app(
        Settings(
            database_url=servers.url(APPLICATION, own_database), kibanda_market=str(market), **keys
        )
    )
    result = app.test_cli_runner().invoke(args=["seed", "demo"])
    assert said(result, code=1) == "Error: market real is not a demo market\n"
    app.extensions["kibanda"].db.dispose()
