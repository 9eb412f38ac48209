"""A biller that never answers: the money stays held, staff decide, nobody is left guessing.

In a world of its own, whose market asks every second and gives up asking after five.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.settings import Settings
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.people import fresh_meter, fresh_msisdn
from tests.world import ROOT, Phone, World, wait_for

TOKEN = "12345678901234567890"


@pytest.fixture(scope="module")
def impatient(
    servers: Servers, own_name: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("impatient")
    market = folder / "market.toml"
    text = (ROOT / "app" / "markets" / "demo.toml").read_text()
    for name, value in (("ask_after", "[1]"), ("manual_after", "5"), ("breaker_open", "1")):
        text = re.sub(rf"{name}_seconds = .*", f"{name}_seconds = {value}", text, count=1)
    market.write_text(text)
    name = f"kibanda_{own_name}_silent"
    servers.postgres.create_database(name, template=DATABASE)
    redis = redis_url.replace("db=0", "db=1")
    world = World(
        folder, servers.url(APPLICATION, name), servers.url(OWNER, name), redis, str(market)
    )
    world.start()
    try:
        world.wait_ready()
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="module")
def sessions(impatient: World) -> dict[str, str]:
    """Who is logged in."""
    assert impatient.flask("seed", "demo").returncode == 0
    return {name: impatient.staff_session(name) for name in ("asha", "baraka")}


@pytest.fixture
def phone(impatient: World) -> Phone:
    parts = build_runtime(
        Settings(database_url=impatient.database_url, redis_url=impatient.redis_url)
    )
    who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 100_000)
    add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
    parts.db.dispose()
    return Phone(impatient, who.msisdn)


def pay_into_silence(world: World, phone: Phone, meter: str) -> str:
    """Confirm while the biller says nothing of use; the reference, once the payment is manual."""
    phone.dial()
    for reply in ("1", "1", "1", meter, "200"):
        phone.reply(reply)
    world.fault("biller:stima", "http_500")
    screen = phone.reply(PIN)
    found = re.fullmatch(r"Payment (\w{8}) of KES 200\.00 is in progress\. .*", screen)
    assert found, screen
    reference = found[1]
    wait_for(
        lambda: f"{reference}  manual" in world.flask("payment", "show", reference).stdout,
        40,
        "the payment to become manual",
    )
    return reference


def balance(phone: Phone) -> str:
    home = phone.dial()
    choice = next(line.split()[0] for line in home.splitlines() if line.endswith("Balance"))
    phone.reply(choice)
    return phone.reply(PIN)


def test_staff_find_out_that_it_was_sold(
    impatient: World, phone: Phone, sessions: dict[str, str]
) -> None:
    meter = fresh_meter()
    reference = pay_into_silence(impatient, phone, meter)
    impatient.clear_faults()
    (notice,) = phone.wait_sms(1)
    assert reference in notice
    assert "Paid" not in notice
    assert balance(phone) == "Balance KES 790.00\nSet aside for payments KES 210.00"
    assert "being checked" in phone.dial()

    say = ("--outcome", "paid", "--token", TOKEN, "--evidence", "call with Stima, ticket 4711")

    def resolve(step: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = ("payment", "resolve", step, reference, *options)
        return impatient.flask(*command, session=sessions[name])

    asha = resolve("propose", "asha", *say)
    assert asha.returncode == 0, asha.stderr
    alone = resolve("approve", "asha")
    assert alone.returncode == 1
    assert "same_person" in alone.stderr
    assert len(phone.sms()) == 1, "a proposal moves nothing and says nothing"
    baraka = resolve("approve", "baraka")
    assert baraka.returncode == 0, baraka.stderr

    receipt = phone.wait_sms(2)[1]
    assert receipt.startswith("Paid KES 200.00")
    assert "1234-5678-9012-3456-7890" in receipt
    assert balance(phone) == "Balance KES 790.00\nSet aside for payments KES 0.00"
    assert impatient.flask("verify").returncode == 0


def test_staff_find_out_that_it_was_not(
    impatient: World, phone: Phone, sessions: dict[str, str]
) -> None:
    reference = pay_into_silence(impatient, phone, fresh_meter())
    impatient.clear_faults()
    say = ("--outcome", "refused", "--evidence", "mail of Stima, 22 November")
    for name, command in (
        ("asha", ("propose", reference, *say)),
        ("baraka", ("approve", reference)),
    ):
        done = impatient.flask("payment", "resolve", *command, session=sessions[name])
        assert done.returncode == 0, done.stderr
    assert "back" in phone.wait_sms(2)[1]
    assert balance(phone) == "Balance KES 1,000.00\nSet aside for payments KES 0.00"
    assert impatient.flask("trial-balance").returncode == 0
