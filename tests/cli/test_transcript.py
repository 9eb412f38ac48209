"""`ussd transcript`: played against the running system over HTTP alone, and what it refuses.

The app that the command runs in has neither a database nor a Redis.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from app.errors import DomainError
from app.factory import create_app
from app.gateways.africastalking_phone import WirePhone
from app.settings import Settings
from app.ussd.transcript import FORMS, PATTERNS
from tests.cli.office import said
from tests.outside_world import StandIn, stand_in
from tests.people import fresh_meter
from tests.ports import free_port
from tests.world import ROOT, World

STORIES = ROOT / "tests" / "journeys"
NOWHERE = "http://127.0.0.1:9"
PAGE = (ROOT / "docs" / "sandbox.md").read_text().split("## Transcripts")[1].split("\n## ")[0]
(BALANCE,) = re.findall(r"```text\n(.+?)```\n", PAGE, re.DOTALL)
PIN_LINE = BALANCE.splitlines().index("> {pin}") + 1
DIAL = "dial *384*123#\n< Karibu\n< 1. Balance\n< 2. Pay bill\n"
AddPerson = Callable[..., str]
Run = Callable[..., str]


def bare_app(**changed: str) -> Flask:
    return create_app(
        Settings(
            database_url=f"postgresql://kibanda_app@127.0.0.1:{free_port()}/none",
            redis_url=f"redis://127.0.0.1:{free_port()}/0",
            **changed,
        )
    )


def run(*arguments: str | Path, code: int = 0, **changed: str) -> str:
    """What the command wrote, when it ended with this code."""
    runner = bare_app(**changed).test_cli_runner()
    return said(runner.invoke(args=["ussd", "transcript", *map(str, arguments)]), code=code)


@pytest.fixture
def story(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "story.txt"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def kibanda() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.mark.parametrize(
    "name", ["account_sw", "late_success_en", "pay_en", "register_en", "sms_gateway_down_en"]
)
def test_the_stories_of_the_journeys_play_at_the_wire(
    world: World, add_person: AddPerson, name: str
) -> None:
    path = STORIES / f"{name}.txt"
    begins = re.search(r"^person (\w+) ([\d,]+)\.00$", path.read_text(), re.MULTILINE)
    language, balance = begins.groups() if begins else ("en", "0")
    msisdn = add_person(language, int(balance.replace(",", "")) * 100)
    where = ("--url", world.url, "--sandbox", world.sandbox_url, "--msisdn", msisdn)
    told = run(path, *where, "--set", f"meter={fresh_meter()}")
    assert re.search(rf"^# {name}\.txt: \d+ screens and \d+ SMS as written$", told, re.MULTILINE)
    assert world.sandbox("GET", "/faults") == []


def test_a_pin_of_the_environment_is_typed_and_never_told(
    world: World, add_person: AddPerson, story: Callable[[str], Path]
) -> None:
    msisdn = add_person("en", 500_000)
    told = run(story(BALANCE), "--url", world.url, "--msisdn", msisdn, kibanda_pin="7391")
    assert "> {pin}\n< Balance KES 5,000.00\n" in told
    assert "7391" not in told
    assert told.endswith("# story.txt: 3 screens and 0 SMS as written\n")


def test_a_pin_is_asked_for_without_echo(
    world: World, add_person: AddPerson, story: Callable[[str], Path]
) -> None:
    keys, terminal = pty.openpty()
    command = [sys.executable, "-m", "flask", "--app", "app.factory", "ussd", "transcript"]
    where = ["--url", world.url, "--msisdn", add_person("en", 500_000), str(story(BALANCE))]
    with subprocess.Popen(
        [*command, *where],
        cwd=ROOT,
        env=world.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        seen = b""
        while not seen.endswith(f"{{pin}} of story.txt:{PIN_LINE}: ".encode()):
            seen += os.read(keys, 1024)
        os.write(keys, b"7391\n")
        while b"as written" not in seen:
            seen += os.read(keys, 1024)
        assert process.wait(10) == 0
    os.close(keys)
    assert b"> {pin}" in seen
    assert b"7391" not in seen


def test_the_first_difference_ends_all_and_leaves_nothing_behind(
    kibanda: StandIn, story: Callable[[str], Path], tmp_path: Path
) -> None:
    kibanda.forget()
    right = tmp_path / "right.txt"
    right.write_text(f"{DIAL}> 1\n< You sent 1 characters\nend\n")
    wrong = story(DIAL.replace("2. Pay bill", "2. Pay"))
    told = run(right, wrong, right, "--quiet", "--url", kibanda.url, code=1)
    assert told == (
        "story.txt:2: the screen differs (- expected, + shown)\n"
        "  Karibu\n  1. Balance\n- 2. Pay\n+ 2. Pay bill\n"
    )
    assert [hop["text"] for hop in kibanda.hops] == ["", "1", ""]
    assert [end["status"] for end in kibanda.ends] == ["Success", "Incomplete"]
    assert run(right, right, "--quiet", "--url", kibanda.url) == ""


def test_the_wire_is_the_operators_own(kibanda: StandIn, story: Callable[[str], Path]) -> None:
    kibanda.forget()
    text = f"dial *384*123*5*{{meter}}#\n< You sent 13 characters\n{DIAL}drop\n{DIAL}"
    told = run(story(text), "--url", kibanda.url, "--set", "meter=54100234563")
    assert "dial *384*123*5*54100234563#\n" in told
    first, second, third = kibanda.hops
    assert {**first, "sessionId": ""} == {
        "sessionId": "",
        "phoneNumber": "+254711000001",
        "networkCode": "99999",
        "serviceCode": "*384*123#",
        "text": "5*54100234563",
    }
    assert len({hop["sessionId"] for hop in (first, second, third)}) == 3
    ended = [(end["sessionId"], end["status"], end["hopsCount"]) for end in kibanda.ends]
    assert ended == [
        (first["sessionId"], "Success", "1"),
        (second["sessionId"], "Incomplete", "1"),
        (third["sessionId"], "Incomplete", "1"),
    ]


@pytest.mark.parametrize(
    ("reply", "note"),
    [((500, "END no"), "# the answer was HTTP 500"), ((200, "Hi"), "# neither CON nor END came")],
)
def test_an_error_of_the_server_is_the_networks_own_screen(
    kibanda: StandIn, story: Callable[[str], Path], reply: tuple[int, str], note: str
) -> None:
    kibanda.forget()
    kibanda.answer = lambda _: reply
    text = "dial *384*123#\n< Network error / MMI\nend\n"
    assert note in run(story(text), "--url", kibanda.url)
    assert [end["status"] for end in kibanda.ends] == ["Failed"]


def test_an_answer_that_does_not_end_is_no_answer() -> None:
    """It comes byte by byte, so no wait for a single one of them is long."""

    def trickle(server: socket.socket) -> None:
        line, _ = server.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nCON ")
            for _ in range(200):
                line.sendall(b"a")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        phone = WirePhone(url, "demo", "+254711000001", ["*384*123#"], answer_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(DomainError) as away:
            phone.dial("*384*123#")
        assert time.monotonic() - began < 2
        thread.join(5)
    assert (away.value.code, away.value.facts["reason"]) == ("server_away", "ReadTimeout")
    assert not phone.open


def test_the_page_of_the_sandbox_names_every_verb_and_placeholder() -> None:
    table = PAGE.split("| line | meaning |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z]+<?|[<>])[ `]", table))
    assert named >= set(FORMS)
    assert {f"{{{kind}}}" for kind in PATTERNS} <= set(re.findall(r"`(\{\w+\})`", PAGE))


def test_a_code_of_nobody_reaches_nobody(kibanda: StandIn, story: Callable[[str], Path]) -> None:
    kibanda.forget()
    told = run(story("dial *384*99#\n< Network error / MMI\nend\n"), "--url", kibanda.url)
    assert "*384*99# is none of *384*123#" in told
    assert kibanda.hops == []


@pytest.mark.parametrize("verb", ["person en 1.00", "stranger", "sms< Paid", "fault sms down"])
def test_what_needs_the_sandbox_is_refused_before_anything_is_dialled(
    kibanda: StandIn, story: Callable[[str], Path], verb: str
) -> None:
    kibanda.forget()
    told = run(story(f"{DIAL}{verb}\n"), "--url", kibanda.url, code=2)
    name = verb.split(maxsplit=1)[0]
    assert told == (
        f"Error: story.txt:5: `{name}` needs the sandbox: give its address, --sandbox\n"
    )
    assert kibanda.hops == []


def test_what_could_not_be_asked_is_exit_code_2(
    world: World, kibanda: StandIn, story: Callable[[str], Path]
) -> None:
    """Without a word of the token, which stands in every address that was asked."""
    secret = "a-token-that-nobody-may-read-in-a-log"
    right = ("--url", kibanda.url)
    plain = story(DIAL)
    faulty, pin = plain.with_name("faulty.txt"), plain.with_name("pin.txt")
    faulty.write_text("fault usd down\ndial *384*123#\n")
    pin.write_text(BALANCE)
    for arguments, sentence in (
        ((plain, "--url", NOWHERE), "Error: server_away: Nobody answers at http://127.0.0.1:9 ("),
        ((plain, *right), f"Error: server_refuses: {kibanda.url} refuses our token"),
        (
            (plain, "--url", world.sandbox_url),
            f"Error: server_other: At {world.sandbox_url} there is no Kibanda: HTTP 404.",
        ),
        (
            (plain, *right, "--sandbox", NOWHERE),
            "Error: sandbox_away: No sandbox answers at http://127.0.0.1:9 (",
        ),
        (
            (faulty, *right, "--sandbox", world.sandbox_url),
            "Error: fault_refused: The sandbox knows no such fault: target must be",
        ),
        (
            (pin, *right),
            f"Error: pin.txt:{PIN_LINE}: {{pin}} is a PIN: set KIBANDA_PIN, or run it in a",
        ),
    ):
        told = run("--quiet", *arguments, code=2, callback_token=secret)
        assert told.startswith(sentence), told
        assert secret not in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--set", "meter"), "--set takes NAME=VALUE, and never a PIN"),
        (("--set", "pin2=7391"), "--set takes NAME=VALUE, and never a PIN"),
        (("--msisdn", "Amina"), "this is no telephone number; write it like +254711000001"),
    ],
)
def test_options_that_mean_nothing(
    story: Callable[[str], Path], arguments: tuple[str, str], sentence: str
) -> None:
    assert sentence in run(story(DIAL), *arguments, code=2)


def test_faults_of_the_network_are_for_phones_of_the_sandbox(
    world: World, story: Callable[[str], Path]
) -> None:
    told = run(story(f"fault ussd drop\n{DIAL}"), "--sandbox", world.sandbox_url, code=2)
    assert told == (
        "Error: story.txt:1: faults of ussd are for phones of the sandbox; here, write `drop`\n"
    )
