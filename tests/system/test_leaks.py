"""A secret leaves no trace: PINs of ten digits, looked for everywhere but on the phone itself.

The sandbox is the gateway and the phone, where a PIN is typed and may be kept; its own log is not
looked at.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import redis
import requests

from launcher.postgres import SUPERUSER
from launcher.servers import Servers
from tests.people import fresh_meter, fresh_msisdn
from tests.system.scanner import Scanner, dump, redis_ever, redis_now
from tests.system.ten_digits import Stage, fresh_pin, payer, send_code, stage
from tests.world import Phone, wait_for

CODE = "*384*123#"


def type_in(phone: Phone, *replies: str) -> str:
    """Dial and type, not going on with what was cut off; the last screen."""
    screen = phone.dial(CODE)
    if "Go on" in screen:
        screen = phone.reply("2")
    for reply in replies:
        screen = phone.reply(reply)
    return screen


def play_registration(stage: Stage) -> tuple[Phone, str]:
    phone, pin = Phone(stage.world, fresh_msisdn()), stage.pin("first PIN")
    asked_twice = type_in(phone, "1", "1", "Asha Mwangi", pin)
    assert asked_twice.startswith("Enter the PIN once more")
    stage.look("after the first of two PINs")
    assert phone.reply(stage.pin("other second PIN")).startswith("The two PINs were not the same")
    stage.look("after two PINs that differ")
    phone.reply(pin)
    assert phone.reply(pin).startswith("Welcome Asha Mwangi")
    stage.look("after registration")
    phone.wait_sms(1)
    return phone, pin


def play_account(stage: Stage, phone: Phone, pin: str) -> None:
    assert "Wrong PIN" in type_in(phone, "5", stage.pin("wrong PIN at balance"))
    stage.look("after a wrong PIN")
    assert phone.reply(pin).startswith("Balance KES 0.00")
    assert type_in(phone, "6", pin).startswith("No tokens yet")
    assert "Enter a new PIN" in type_in(phone, "7", "1", pin)
    stage.pins["weak PIN"] = "3456789012"
    assert phone.reply(stage.pin("weak PIN")).startswith("Digits in a row")
    new = stage.pin("new PIN")
    assert "once more" in phone.reply(new)
    stage.look("after the first of two new PINs")
    assert phone.reply(new).startswith("Your PIN is changed")
    assert "Wrong PIN" in type_in(phone, "5", pin)
    assert phone.reply(new).startswith("Balance")


def play_payment(stage: Stage) -> None:
    world, pin = stage.world, stage.pin("PIN of the payer")
    phone = payer(stage, pin)
    assert "Enter PIN to pay" in type_in(phone, "1", "1", "1", fresh_meter(), "200")
    stage.look("at a confirmation")
    assert "Wrong PIN" in phone.reply(stage.pin("wrong PIN at payment"))
    assert phone.reply(pin).startswith("Paid KES 200.00")
    stage.look("after a payment")
    phone.wait_sms(1)
    assert type_in(phone, "7", pin).startswith("Your last tokens")
    for kind in ("duplicate", "redeliver"):
        world.fault("ussd", kind)
        assert type_in(phone, "1", "1", "1", fresh_meter(), "150", pin).startswith("Pa")
        world.clear_faults()
    phone.wait_sms(3)
    type_in(phone, "1", "1", "1", fresh_meter(), "200")
    world.fault("ussd", "drop", times=1)
    phone.reply(pin)  # the PIN arrives, its answer does not
    phone.wait_sms(4)
    wrong = stage.pin("wrong PIN before a drop")
    assert "Wrong PIN" in type_in(phone, "1", "1", "1", fresh_meter(), "200", wrong)
    phone.drop()
    assert phone.dial(CODE).startswith("Last payment not done")
    for attempt in ("two", "three"):
        screen = type_in(phone, "6", stage.pin(f"wrong PIN number {attempt}"))
    assert screen.startswith("PIN locked")
    assert type_in(phone, "6", pin).startswith("PIN locked")
    phone.wait_sms(5)


def play_code(stage: Stage) -> None:
    """What may be known to the phone alone: its text is stored with a mark in the code's place."""
    told = send_code(stage, Phone(stage.world, fresh_msisdn()), "code by SMS")
    assert stage.pins["code by SMS"] in told


def play_wrong_places(stage: Stage) -> None:
    """Everything that asks for something else gets a PIN."""
    pin = stage.pin("PIN at a wrong place")
    phone, stranger = payer(stage, pin), Phone(stage.world, fresh_msisdn())
    for code in (f"*384*123*{pin}#", f"*384*123*1*1*1*{pin}#"):
        assert "Pay bill" in phone.dial(code)
    for code in (f"*384*123*51*{fresh_meter()}*200*{pin}#", f"*384*123*51*{pin}#"):
        assert "Never put your PIN into a code" in phone.dial(code)
    one = ("1",)
    for before in (
        *(one * count for count in range(4)),
        (*one * 3, fresh_meter()),
        ("7",),
        ("7", "2"),
    ):
        type_in(phone, *before, pin)
        phone.reply(f"{pin}1")
        stage.look(f"after {len(before)} replies and a PIN where none is asked for")
    for before in ((), ("1",), ("1", "1")):
        type_in(stranger, *before, pin)
    type_in(phone, "5", pin[:-1])
    phone.reply(f"{pin} ")
    url = f"{stage.world.url}/callbacks/africastalking"
    token = stage.world.extra["CALLBACK_TOKEN"]
    form = {
        "sessionId": "s1",
        "phoneNumber": phone.msisdn,
        "networkCode": "1",
        "serviceCode": "*1#",
    }
    for path in ("ussd", "ussd/end"):
        for name in form:
            odd = {**form, "text": pin, name: f"{pin} {pin}"}
            answer = requests.post(f"{url}/{path}", params={"token": token}, data=odd, timeout=5)
            assert answer.status_code == 400
        requests.post(f"{url}/{path}", params={"token": pin}, data=form, timeout=5)


def play_failures(stage: Stage) -> None:
    """A PIN is on its way while something breaks: errors like to quote."""
    pin = stage.pin("PIN while something breaks")
    phone = payer(stage, pin)
    type_in(phone, "5")
    stage.admin("ALTER TABLE pins RENAME TO pins_away")
    assert phone.reply(pin).startswith("Something went wrong here")
    stage.admin("ALTER TABLE pins_away RENAME TO pins")
    type_in(phone, "5")
    stage.admin(
        f"ALTER DATABASE {stage.database} WITH ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{stage.database}'",
        database=SUPERUSER,
    )
    assert phone.reply(pin).startswith("Kibanda cannot answer now")
    stage.admin(f"ALTER DATABASE {stage.database} WITH ALLOW_CONNECTIONS true", database=SUPERUSER)
    type_in(phone, "5")
    stage.redis.stop()
    assert phone.reply(pin).startswith("Kibanda cannot answer now")
    stage.redis.start()
    wait_for(lambda: type_in(phone, "5", pin).startswith("Balance"), 10, "everything to work again")


def test_no_pin_and_no_key_is_anywhere(servers: Servers, own_name: str, tmp_path: Path) -> None:
    with stage(servers, own_name, tmp_path) as here:
        here.world.start()
        here.world.wait_ready()
        phone, pin = play_registration(here)
        play_account(here, phone, pin)
        play_payment(here)
        play_code(here)
        play_wrong_places(here)
        play_failures(here)
        ended = ends_stored(here)
        places = here.places()
    assert ended > 20, "end events hold all that was typed, so there must have been some"
    assert len(here.pins) == 13
    for rich in ("metrics", "database", "Redis at any time", "log of web", "log of worker_sms"):
        assert len(places[rich]) > 1000, f"{rich} holds almost nothing, so it proves nothing"
    keys = {name: value.removeprefix("7:") for name, value in here.world.extra.items()}
    del keys["LOG_LEVEL"]
    scanner = Scanner.of({**here.pins, **keys})
    found = {name: leaks for name, held in places.items() if (leaks := scanner.found(held))}
    assert not found


def ends_stored(stage: Stage) -> int:
    with psycopg.connect(stage.dump_url) as line:
        (count,) = line.execute("SELECT count(*) FROM ussd_ends").fetchone() or (0,)
        return int(count)


def test_the_scanner_finds_what_is_planted(servers: Servers, own_name: str, tmp_path: Path) -> None:
    """The control: one PIN, planted in each form in each store, is found each time."""
    pin = fresh_pin()
    scanner = Scanner.of({"PIN": pin})
    with stage(servers, own_name, tmp_path) as here:
        assert scanner.found(redis_now(here.redis.url())) == []
        assert scanner.found(dump(servers.programs.postgres, here.dump_url)) == []
        for name, planted in scanner.needles.items():
            assert name in scanner.found(b"before" + planted + b"after")
        for kept in stores(here, f"before{pin}after".encode()):
            assert scanner.found(kept) == ["PIN as itself"]
        assert "PIN as itself" in scanner.found(redis_ever(here.redis_folder))
        here.admin(f"CREATE TABLE planted AS SELECT 'x{pin}x' AS t, 'x{pin}x'::bytea AS b")
        found = scanner.found(dump(servers.programs.postgres, here.dump_url))
        assert {"PIN as itself", "PIN as hex"} <= set(found)
    middle = base64.b64encode(f"1*1*5410*{pin}*0".encode())
    assert any("base64" in name for name in scanner.found(middle))


def stores(stage: Stage, value: bytes) -> Iterator[bytes]:
    """Everything that Redis holds, with the value as each of its types in turn."""
    plant: dict[str, Any] = {
        "string": lambda client: client.set("a", value),
        "key": lambda client: client.set(value, "a"),
        "list": lambda client: client.rpush("a", "b", value),
        "set": lambda client: client.sadd("a", value),
        "zset": lambda client: client.zadd("a", {value: 1}),
        "hash": lambda client: client.hset("a", "b", value),
        "field": lambda client: client.hset("a", value, "b"),
        "stream": lambda client: client.xadd("a", {"b": value}),
    }
    with redis.Redis.from_url(stage.redis.url()) as client:
        for planting in plant.values():
            planting(client)
            yield redis_now(stage.redis.url())
            client.flushdb()
