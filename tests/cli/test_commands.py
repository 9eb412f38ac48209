"""The command line: what each command of the README says, and with which exit code it ends.

Most commands run in this process, for a process each would take a minute of the suite: over the
world's database when a phone must notice, over one of their own when money is bent.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from click.testing import Result
from flask import Flask

from app import markets
from app.billers import expiry
from app.billers.payments import PaymentView
from app.factory import create_app
from app.settings import Settings
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.servers import Servers
from tests.billers.played import pending, played_biller
from tests.billers.stage import Stage, market_with, now
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.world import Phone, World

ROOT = Path(__file__).resolve().parents[2]
PIN = "7391"
TOKEN = "12345678901234567890"
AddPerson = Callable[..., str]


@contextmanager
def app_over(database_url: str) -> Iterator[Flask]:
    app = create_app(Settings(database_url=database_url))
    try:
        yield app
    finally:
        app.extensions["kibanda"].db.dispose()


@dataclass
class Office:
    """The command line over a database that nobody else uses, and a way to make payments in it."""

    app: Flask
    admin_url: str
    stage: Stage

    def run(self, *arguments: str) -> Result:
        return self.app.test_cli_runner().invoke(args=arguments)

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as line:
            line.execute(statement.encode())

    def manual(self) -> PaymentView:
        """A payment that its biller never decided, so that staff must."""
        self.stage.biller.script = pending
        payment = self.stage.pay()
        self.stage.drain()
        self.stage.run(
            "UPDATE payments SET first_sent_at = now() - interval '1 day' WHERE id = :id",
            id=payment.id,
        )
        expiry.end_asking(self.stage.db, self.stage.market, now())
        assert self.stage.view(payment).state == "manual"
        return payment


@pytest.fixture(scope="module")
def office(servers: Servers, own_name: str) -> Iterator[Office]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with app_over(servers.url(APPLICATION, name)) as app, played_biller() as biller:
            market = market_with(markets.load("demo"), "stima")
            stage = Stage(app.extensions["kibanda"].db, market, "stima", biller)
            yield Office(app, servers.url(SUPERUSER, name), stage)
    finally:
        servers.postgres.drop_database(name)


def said(result: Result, *, code: int = 0) -> str:
    """Everything that a command wrote, if it ended with that code and in order."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.output


def refusal(result: Result, reason: str, *, code: int = 1) -> None:
    """A refusal is one line: its name, and a sentence."""
    line = said(result, code=code)
    assert re.fullmatch(rf"Error: {reason}: [A-Z].+\.\n", line), line


def test_every_command_of_the_readme_is_there(office: Office) -> None:
    table = (ROOT / "README.md").read_text().split("## Command line")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    commands = re.findall(r"`([a-z][a-z -]*[a-z])(?: [A-Z]+)?`", " ".join(cells))
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
    assert lines["wallet"]["balance_minor"] == -lines["trust_bank"]["balance_minor"] > 0
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
    (stima,) = status["billers"]
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


# --- person and payment ---


def test_person_show_tells_the_whole_story(world: World, add_person: AddPerson) -> None:
    msisdn, meter = add_person("en", 100_000, "Asha Mwangi"), fresh_meter()
    phone = Phone(world, msisdn)
    phone.dial()
    for reply in ("1", "1", meter, "200", PIN):
        screen = phone.reply(reply)
    reference = re.findall(r"Ref (\w{8})", screen)[0]
    phone.wait_sms(1)
    done = world.flask("person", "show", msisdn.replace("+254", "0"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Asha Mwangi  {msisdn}  customer  active  en")
    assert "available KES 790.00  held KES 0.00" in done.stdout
    for fact in (f"{reference} sent → captured", meter, "sms", "payment_paid sent", "intent"):
        assert fact in done.stdout, done.stdout
    with app_over(world.database_url) as app:
        shown = said(app.test_cli_runner().invoke(args=["payment", "show", reference.lower()]))
    assert shown.startswith(f"{reference}  captured  stima_token {meter}")
    assert "amount KES 200.00  fee KES 10.00  total KES 210.00" in shown


def test_who_or_what_does_not_exist(office: Office) -> None:
    number = fresh_msisdn()
    result = office.run("person", "show", number)
    refusal(result, "person_unknown")
    assert number in result.output
    refusal(office.run("person", "show", "nobody"), "msisdn_invalid")
    refusal(office.run("payment", "show", "NOSUCHREF"), "payment_unknown")
    refusal(
        office.run("payment", "resolve", "approve", "NOSUCHREF", "--as", "a"), "payment_unknown"
    )
    for command in ("pause", "resume"):
        refusal(office.run("biller", command, "nobody"), "biller_unknown")
    for usage in (["person", "show"], ["payment", "resolve", "approve", "X"], ["biller", "pause"]):
        assert said(office.run(*usage), code=2).startswith("Usage: app ")


def propose(office: Office, payment: PaymentView, **changes: str) -> Result:
    options = {"outcome": "paid", "evidence": "call with Stima, ticket 4711", "token": TOKEN}
    options |= {"as": "asha"} | changes
    given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    return office.run("payment", "resolve", "propose", payment.reference, *given)


def approve(office: Office, payment: PaymentView, name: str) -> Result:
    return office.run("payment", "resolve", "approve", payment.reference, "--as", name)


def test_two_people_decide_a_payment(office: Office) -> None:
    payment = office.manual()
    assert "manual" in said(office.run("payment", "show", payment.reference))
    refusal(approve(office, payment, "baraka"), "proposal_missing")
    refusal(propose(office, payment, evidence=" "), "evidence_missing")
    refusal(propose(office, payment, token="123"), "token_invalid")
    refusal(propose(office, payment, token=""), "token_invalid")
    refusal(propose(office, payment, outcome="refused"), "token_invalid")
    refusal(propose(office, payment, outcome="returned", token=""), "resolution_does_not_fit")
    assert "proposed by asha; another person must approve" in said(propose(office, payment))
    refusal(propose(office, payment), "proposal_open")
    refusal(approve(office, payment, "asha"), "same_person")
    assert office.stage.view(payment).state == "manual", "a proposal moves nothing"
    withdrawn = office.run("payment", "resolve", "withdraw", payment.reference, "--as", "asha")
    assert "withdrawn" in said(withdrawn)
    refusal(approve(office, payment, "baraka"), "proposal_missing")
    said(propose(office, payment))
    assert said(approve(office, payment, "baraka")) == f"{payment.reference}: captured\n"
    assert office.stage.view(payment).tokens == (TOKEN,)
    refusal(propose(office, payment), "resolution_does_not_fit")
    shown = said(office.run("payment", "show", payment.reference))
    for step in ("unknown → manual", "proposed", "withdrawn", "manual → captured", "baraka"):
        assert step in shown, shown


# --- billers ---


@contextmanager
def paused(world: World) -> Iterator[Callable[..., str]]:
    """The world's biller is paused; gives the command line."""
    with app_over(world.database_url) as app:

        def run(*arguments: str) -> str:
            return said(app.test_cli_runner().invoke(args=arguments))

        assert run("biller", "pause", "stima") == "stima: paused\n"
        try:
            yield run
        finally:
            assert run("biller", "resume", "stima") == "stima: takes payments\n"


def test_a_paused_biller_takes_nothing_and_the_phone_says_so(
    world: World, add_person: AddPerson
) -> None:
    early, late = (Session(world, add_person("en", 100_000)) for _ in range(2))
    meter = fresh_meter()
    early.dial()
    assert "PIN to pay" in early.reply("1", "1", meter, "200")
    with paused(world) as run:
        assert run("biller", "pause", "stima") == "stima: paused already\n"
        assert json.loads(run("status", "--json"))["billers"][0]["paused"] is True
        late.dial()
        for answer in (early.reply(PIN), late.reply("1", "1", meter, "200", PIN)):
            assert answer == (
                "END The biller is closed for now. Nothing was taken. Help: 0711000999"
            )
    assert meter not in [sale["customer_no"] for sale in world.sales()]
    for session in (early, late):
        again = Session(world, session.msisdn)
        again.dial()
        balance = "END Balance KES 1,000.00\nSet aside for payments KES 0.00"
        assert again.reply("3", PIN) == balance
    again = Session(world, early.msisdn)
    again.dial()
    assert again.reply("1", "1", meter, "200", PIN).startswith("END Pa"), "it is open again"


# --- migrate, seed, ussd check ---


def test_seeding_twice_changes_nothing(office: Office) -> None:
    first = said(office.run("seed", "demo"))
    assert [line.split()[0] for line in first.splitlines()] == [
        "+254711000001",
        "+254711000002",
        "+254711000101",
    ]
    before = json.loads(said(office.run("trial-balance")))
    second = said(office.run("seed", "demo"))
    assert all(line.endswith(", was there") for line in second.splitlines())
    assert json.loads(said(office.run("trial-balance"))) == before
    amina = said(office.run("person", "show", "0711000001"))
    assert "available KES 5,000.00" in amina


def test_migrate_needs_the_owners_address_and_may_be_repeated(
    world: World, database_url: str
) -> None:
    done = world.flask("migrate")
    assert (done.returncode, done.stdout) == (0, "The database is at this release.\n")
    assert requests.get(f"{world.url}/readyz", timeout=5).status_code == 200
    with app_over(database_url) as app:
        unset = app.test_cli_runner().invoke(args=["migrate"])
    assert said(unset, code=1) == "Error: MIGRATION_DATABASE_URL is not set\n"


def test_ussd_check_finds_nothing(office: Office) -> None:
    assert re.fullmatch(
        r"\d+ states in 2 languages, 0 problems\n", said(office.run("ussd", "check"))
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
    }
    app = create_app(
        Settings(
            database_url=servers.url(APPLICATION, own_database), kibanda_market=str(market), **keys
        )
    )
    result = app.test_cli_runner().invoke(args=["seed", "demo"])
    assert said(result, code=1) == "Error: market real is not a demo market\n"
    app.extensions["kibanda"].db.dispose()
