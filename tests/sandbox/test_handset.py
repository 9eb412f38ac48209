"""The phone and the USSD callback: what is sent, what is shown, and no kindness in between."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.outside_world import (
    Form,
    Sandbox,
    StandIn,
    demo_menu,
    running_sandbox,
    wait_until,
)
from tests.ports import free_port
from tests.sandbox.wire import CODE, dial, reply, screens_of


def test_a_session_from_the_first_key_to_its_end(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    kibanda.answer = lambda form: (
        200,
        f"{'END' if form['text'] == '1*2' else 'CON'} {form['text']}!",
    )
    first = dial(outside, msisdn)
    session = first["session"]
    assert re.fullmatch(r"ATUid_[0-9a-f]{32}", session)
    assert (first["screen"], first["open"], first["kind"], first["septets"]) == (
        "!",
        True,
        "menu",
        1,
    )
    assert reply(outside, msisdn, "1")["screen"] == "1!"
    last = reply(outside, msisdn, "2")
    assert (last["screen"], last["open"], last["kind"]) == ("1*2!", False, "end")
    assert kibanda.hops == [
        {
            "sessionId": session,
            "phoneNumber": msisdn,
            "networkCode": "99999",
            "serviceCode": CODE,
            "text": text,
        }
        for text in ("", "1", "1*2")
    ]
    wait_until(lambda: kibanda.ends_of(msisdn))
    (end,) = kibanda.ends_of(msisdn)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", end.pop("date"))
    assert end.pop("durationInMillis").isdecimal()
    assert end == {
        "sessionId": session,
        "serviceCode": CODE,
        "networkCode": "99999",
        "phoneNumber": msisdn,
        "status": "Success",
        "cost": "KES 0.10",
        "hopsCount": "3",
        "input": "1*2",
        "lastAppResponse": "END 1*2!",
        "hopsMetadata": "Home,Home,Home",
    }


@pytest.mark.parametrize(
    ("code", "text"), [("*384*123*1*2#", "1*2"), ("*384*123*1*54100234563#", "1*54100234563")]
)
def test_a_one_shot_dial_arrives_as_first_text(
    outside: Sandbox, kibanda: StandIn, msisdn: str, code: str, text: str
) -> None:
    kibanda.answer = lambda _: (200, "CON more")
    dial(outside, msisdn, code)
    reply(outside, msisdn, "9")
    assert [(hop["serviceCode"], hop["text"]) for hop in kibanda.hops] == [
        (CODE, text),
        (CODE, f"{text}*9"),
    ]


@pytest.mark.parametrize("code", ["*384*1234#", "*100#", "*384#"])
def test_a_code_of_nobodys_is_the_networks_own_error(
    outside: Sandbox, kibanda: StandIn, msisdn: str, code: str
) -> None:
    state = dial(outside, msisdn, code)
    assert (state["screen"], state["kind"]) == ("Network error / MMI", "network")
    assert (state["open"], kibanda.hops) == (False, [])


@pytest.mark.parametrize("code", ["", "384", "*384*123", "*384**1#", "*384*abc#", "#" * 300])
def test_what_is_no_code_is_refused(outside: Sandbox, msisdn: str, code: str) -> None:
    answer = outside.post(f"/phones/{msisdn}/dial", {"code": code})
    assert (answer.status_code, answer.json()["error"]) == (409, "a USSD code looks like *384*123#")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, "END Sorry"), "Application answered HTTP 400"),
        ((403, ""), "Application answered HTTP 403"),
        ((500, "CON Menu"), "Application answered HTTP 500"),
        ((302, "CON Menu"), "Application answered HTTP 302"),
        ((200, "Welcome"), "Response was neither CON nor END"),
        ((200, "con menu"), "Response was neither CON nor END"),
        ((200, " CON menu"), "Response was neither CON nor END"),
        ((200, ""), "Response was neither CON nor END"),
    ],
)
def test_an_error_of_ours_ends_the_session(
    outside: Sandbox, kibanda: StandIn, msisdn: str, answer: tuple[int, str], error: str
) -> None:
    kibanda.answer = lambda _: answer
    state = dial(outside, msisdn)
    assert (state["screen"], state["open"]) == ("Network error / MMI", False)
    wait_until(lambda: kibanda.ends_of(state["session"]))
    (end,) = kibanda.ends_of(state["session"])
    assert (end["status"], end["errorMessage"]) == ("Failed", error)
    assert "input" not in end
    assert len(kibanda.hops) == 1, "the phone tried again"


def test_an_answer_that_is_too_late_ends_the_session(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    def late(form: Form) -> tuple[int, str]:
        time.sleep(1.3)
        return 200, "CON too late"

    kibanda.answer = late
    begin = time.monotonic()
    assert dial(outside, msisdn)["kind"] == "network"
    assert time.monotonic() - begin < 1.25
    wait_until(lambda: kibanda.ends_of(msisdn))
    assert kibanda.ends_of(msisdn)[0]["errorMessage"] == "Request timed out"


def test_kibanda_away_is_a_network_error(tmp_path: Path) -> None:
    with running_sandbox(f"http://127.0.0.1:{free_port()}", tmp_path) as lonely:
        assert dial(lonely, "+254711000001")["kind"] == "network"


@pytest.mark.parametrize(
    ("text", "shown", "units", "encoding"),
    [
        ("x" * 182, "x" * 182, 182, "GSM-7"),
        ("x" * 200, "x" * 182, 200, "GSM-7"),
        ("x" * 180 + "€€", "x" * 180 + "€", 184, "GSM-7"),
        ("ш" * 81, "ш" * 80, 81, "UCS-2"),
        ("😀" * 41, "😀" * 40, 82, "UCS-2"),
    ],
)
def test_the_network_cuts_what_does_not_fit(
    outside: Sandbox,
    kibanda: StandIn,
    msisdn: str,
    text: str,
    shown: str,
    units: int,
    encoding: str,
) -> None:
    kibanda.answer = lambda _: (200, f"END {text}")
    state = dial(outside, msisdn)
    assert (state["screen"], state["septets"], state["encoding"]) == (shown, units, encoding)


@pytest.mark.parametrize("action", ["drop", "hangup"])
def test_leaving_a_menu_is_incomplete(
    outside: Sandbox, kibanda: StandIn, msisdn: str, action: str
) -> None:
    session = dial(outside, msisdn)["session"]
    state = outside.post(f"/phones/{msisdn}/{action}").json()
    assert (state["screen"], state["open"]) == ("", False)
    wait_until(lambda: kibanda.ends_of(session))
    assert kibanda.ends_of(session)[0]["status"] == "Incomplete"
    answer = outside.post(f"/phones/{msisdn}/reply", {"text": "1"})
    assert answer.status_code == 409


def test_a_new_dial_closes_the_open_menu(outside: Sandbox, kibanda: StandIn, msisdn: str) -> None:
    first = dial(outside, msisdn)["session"]
    assert dial(outside, msisdn)["session"] != first
    wait_until(lambda: kibanda.ends_of(first))
    assert kibanda.ends_of(first)[0]["status"] == "Incomplete"


def test_a_phone_that_waits_can_only_drop(outside: Sandbox, kibanda: StandIn, msisdn: str) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def held(form: Form) -> tuple[int, str]:
        asked.set()
        go_on.wait(0.9)
        return 200, "CON never seen"

    kibanda.answer = held
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(dial, outside, msisdn)
        asked.wait(5)
        assert outside.get(f"/phones/{msisdn}").json()["asking"] is True
        assert outside.post(f"/phones/{msisdn}/dial", {"code": CODE}).status_code == 409
        assert outside.post(f"/phones/{msisdn}/drop").json()["kind"] == "lost"
        go_on.set()
        assert waiting.result()["screen"] == ""
    assert screens_of(outside, msisdn) == []
    wait_until(lambda: kibanda.ends_of(msisdn))
    assert [end["status"] for end in kibanda.ends_of(msisdn)] == ["Incomplete"]


def test_the_drop_fault_sends_the_request_and_shows_nothing(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    dial(outside, msisdn)
    outside.fault("ussd", "drop")
    state = reply(outside, msisdn, "1")
    assert (state["kind"], state["screen"], state["open"]) == ("lost", "", False)
    assert [hop["text"] for hop in kibanda.hops] == ["", "1"]
    assert len(screens_of(outside, msisdn)) == 1
    wait_until(lambda: kibanda.ends_of(msisdn))
    assert kibanda.ends_of(msisdn)[0]["status"] == "Incomplete"


@pytest.mark.parametrize("kind", ["duplicate", "redeliver"])
@pytest.mark.parametrize("same", [True, False])
def test_a_hop_can_be_delivered_twice(
    outside: Sandbox, kibanda: StandIn, msisdn: str, kind: str, same: bool
) -> None:
    answers = count()
    kibanda.answer = lambda _: (200, f"CON {0 if same else next(answers)}")
    outside.fault("ussd", kind)
    dial(outside, msisdn)
    assert len(kibanda.hops) == 2
    assert kibanda.hops[0] == kibanda.hops[1]
    assert screens_of(outside, msisdn)[0]["second_answer_same"] is same


def test_duplicates_are_on_their_way_at_the_same_time(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    both = threading.Barrier(2)

    def meet(form: Form) -> tuple[int, str]:
        both.wait(0.9)
        return demo_menu(form)

    kibanda.answer = meet
    outside.fault("ussd", "duplicate")
    assert dial(outside, msisdn)["kind"] == "menu"


def test_a_shared_code_comes_without_its_channel(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    outside.fault("ussd", "shared_code")
    dial(outside, msisdn)
    assert kibanda.hops[0]["serviceCode"] == "*384#"


def test_screens_are_kept_and_what_was_typed_is_not(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    kibanda.answer = lambda form: (200, "END done" if form["text"] else "CON Your PIN?")
    session = dial(outside, msisdn)["session"]
    reply(outside, msisdn, "8061937425")
    shown = screens_of(outside, msisdn)
    assert all(screen.pop("at").endswith("Z") for screen in shown)
    common = {"msisdn": msisdn, "session": session}
    assert shown == [
        {**common, "text_len": 0, "screen": "Your PIN?", "kind": "menu"},
        {**common, "text_len": 10, "screen": "done", "kind": "end"},
    ]
    for journal in outside.data.iterdir():
        assert "8061937425" not in journal.read_text()


def test_a_session_ends_with_its_time(kibanda: StandIn, tmp_path: Path) -> None:
    phone = "+254711000001"
    with running_sandbox(kibanda.url, tmp_path, SANDBOX_SESSION_SECONDS="0.5") as hasty:
        session = dial(hasty, phone)["session"]
        wait_until(lambda: kibanda.ends_of(session))
        assert kibanda.ends_of(session)[0]["status"] == "Incomplete"
        state = hasty.get(f"/phones/{phone}").json()
        assert (state["screen"], state["open"]) == ("Session timed out", False)


@pytest.mark.parametrize("path", ["/phones/12", "/phones/amina", "/phones/+0711000001"])
def test_a_phone_needs_a_number(outside: Sandbox, path: str) -> None:
    assert outside.get(path).status_code == 404
