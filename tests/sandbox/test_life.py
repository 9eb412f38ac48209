"""Faults by HTTP, memory over kill -9, start and stop, and the phone in a terminal."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.outside_world import ROOT, Sandbox, StandIn, running_sandbox, wait_until
from tests.sandbox.wire import CODE, buy, dial, send_sms, sold


def test_faults_are_listed_used_up_and_cleared(outside: Sandbox) -> None:
    added = outside.post("/faults", {"target": "sms", "kind": "refuse_sender", "times": 2}).json()
    outside.post("/faults", {"target": "biller:stima", "kind": "slow"})
    send_sms(outside, "+254722999999")
    listed = outside.get("/faults").json()
    assert listed[0] == {**added, "times": 1}
    assert {name: listed[1][name] for name in ("times", "seconds", "on")} == {
        "times": None,
        "seconds": 5.0,
        "on": "transaction",
    }
    assert requests.delete(f"{outside.url}/faults/{added['id']}", timeout=5).ok
    assert requests.delete(f"{outside.url}/faults/{added['id']}", timeout=5).status_code == 404
    assert requests.delete(f"{outside.url}/faults", timeout=5).json() == {"cleared": 1}
    assert outside.get("/faults").json() == []


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ([], 'a fault is a JSON object like {"target": "sms", "kind": "down"}'),
        ({"target": "moon", "kind": "down"}, "target must be one of: biller:stima, sms, ussd"),
        (
            {"target": "ussd", "kind": "down"},
            "kind of ussd must be one of: drop, duplicate, redeliver, shared_code",
        ),
        (
            {"target": "sms", "kind": "down", "times": 0},
            "times must be null or a whole number from 1 to 1000000",
        ),
        (
            {"target": "sms", "kind": "down", "seconds": -1},
            "seconds must be a number from 0 to 3600",
        ),
        (
            {"target": "sms", "kind": "down", "on": "sale"},
            "on must be one of: transaction, inquiry, status, reversal, all",
        ),
    ],
)
def test_a_fault_that_does_not_exist_says_what_does(
    outside: Sandbox, fault: object, sentence: str
) -> None:
    answer = outside.post("/faults", fault)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_a_killed_sandbox_still_knows_what_it_sold_and_sent(
    kibanda: StandIn, tmp_path: Path
) -> None:
    phone = "+254711000001"
    with running_sandbox(kibanda.url, tmp_path) as first:
        paid = buy(first, "r-1").json()
        first.fault("biller:stima", "late_success", seconds=0.2)
        buy(first, "r-2")
        send_sms(first, phone)
        dial(first, phone)
        told = ("/billers/stima/sales", f"/phones/{phone}/sms", "/gateway/sms", "/log/screens")
        wait_until(lambda: len(sold(first, "r-2")) == 1)
        before = [first.get(path).json() for path in told]
        first.kill()
    for journal in tmp_path.iterdir():
        with journal.open("a") as torn:
            torn.write('{"torn":')
    with running_sandbox(kibanda.url, tmp_path) as second:
        assert [second.get(path).json() for path in told] == before
        assert buy(second, "r-1").json() == paid
        assert second.get(f"/phones/{phone}").json()["kind"] == "idle"
        buy(second, "r-3")
        assert len(second.get("/billers/stima/sales").json()) == 3
    for journal in tmp_path.iterdir():
        assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_it_stops_at_once_although_requests_are_held(kibanda: StandIn, tmp_path: Path) -> None:
    with running_sandbox(kibanda.url, tmp_path) as held, ThreadPoolExecutor(2) as pool:
        held.fault("biller:stima", "no_answer")
        waiting = pool.submit(buy, held, "r-1")
        with requests.get(f"{held.url}/events", stream=True, timeout=10) as stream:
            assert next(stream.iter_lines()) == b"event: hello"
            wait_until(lambda: held.get("/faults").json() == [])
            begin = time.monotonic()
            held.process.send_signal(signal.SIGTERM)
            assert held.process.wait(timeout=10) == 0
            assert time.monotonic() - begin < 4
        assert isinstance(waiting.exception(), requests.ConnectionError)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"SANDBOX_PORT": "x"}, "sandbox: SANDBOX_PORT must be a port number from 1 to 65535"),
        (
            {"SANDBOX_SESSION_SECONDS": "181"},
            "sandbox: SANDBOX_SESSION_SECONDS must be above 0 and",
        ),
        ({"SANDBOX_ANSWER_SECONDS": "x"}, "sandbox: SANDBOX_ANSWER_SECONDS must be a number of"),
        ({"BILLER_CREDENTIALS": "{"}, "sandbox: BILLER_CREDENTIALS: it must be JSON like"),
        ({"SANDBOX_PEOPLE": '[{"name": "Siti"}]'}, "sandbox: SANDBOX_PEOPLE must be JSON like"),
        ({"SANDBOX_REGION": "Kenya"}, "sandbox: SANDBOX_REGION must be a country like KE"),
    ],
)
def test_a_bad_setting_is_one_clear_line(settings: dict[str, str], line: str) -> None:
    assert start_and_fail(settings).startswith(line)


def test_a_taken_port_is_one_clear_line(outside: Sandbox) -> None:
    port = outside.url.rpartition(":")[2]
    expected = f"sandbox: port {port} is taken; set SANDBOX_PORT to a free one\n"
    assert start_and_fail({"SANDBOX_PORT": port}) == expected


def start_and_fail(settings: dict[str, str]) -> str:
    environ = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(
        [sys.executable, "-m", "sandbox"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def terminal(outside: Sandbox, *lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox.terminal"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SANDBOX_PORT": outside.url.rpartition(":")[2]},
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_the_terminal_phone_in_a_pipe(outside: Sandbox, msisdn: str) -> None:
    local = f"0{msisdn.removeprefix('+254')}"
    send_sms(outside, msisdn)
    done = terminal(outside, f"/number {local}", CODE, "1", CODE, "/drop", "/sms", "/quit", "never")
    assert done.returncode == 0
    shown = re.sub(r"\[.*?Z]", "[at]", done.stdout)
    assert shown.splitlines() == [
        "(idle)",
        "Karibu",
        "1. Balance",
        "2. Pay bill",
        "-- 29/182 GSM-7, 180 s left",
        "You sent 1 characters",
        "-- 21/182 GSM-7, session over",
        "Karibu",
        "1. Balance",
        "2. Pay bill",
        "-- 29/182 GSM-7, 180 s left",
        "(no service)",
        "[at] KIBANDA: Habari",
    ]


def test_the_terminal_phone_says_what_it_cannot_do(outside: Sandbox) -> None:
    done = terminal(outside, "/number amina", "/hangup", "5", "/dance", "*384#x", "/number 12")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("!")] == [
        "! no menu is open; dial *384*123# first, or see /help",
        "! /dance is no word of this phone; /help lists them",
        "! a USSD code looks like *384*123#",
        "! choose amina, juma, neema, zawadi, or write a number like +254711000001",
    ]
