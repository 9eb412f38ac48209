"""The outside world keeps its wire formats and its bad manners: literal payloads, faults, memory."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from itertools import count
from pathlib import Path
from typing import Any

import africastalking.SMS
import pytest
import requests

from tests.outside_world import (
    ROOT,
    Form,
    Sandbox,
    StandIn,
    demo_menu,
    free_port,
    running_sandbox,
    stand_in,
    wait_until,
)

METER = "54100234563"
OTHER_METER = "54100234571"
CODE = "*384*123#"
_numbers = count(254722000001)
_refs = count(1)


@pytest.fixture(scope="module")
def kibanda() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def outside(kibanda: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    data = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(kibanda.url, data, SANDBOX_ANSWER_SECONDS="1") as running:
        yield running


@pytest.fixture(autouse=True)
def good_manners(outside: Sandbox, kibanda: StandIn) -> Iterator[None]:
    yield
    outside.clear_faults()
    kibanda.forget()


@pytest.fixture
def msisdn() -> str:
    return f"+{next(_numbers)}"


# --- Africa's Talking's SMS API -------------------------------------------------------------------


def send_sms(outside: Sandbox, to: str, **changes: str | None) -> requests.Response:
    """The request as the operator's package makes it; a change to None leaves the field out."""
    form = {
        "username": "sandbox",
        "to": to,
        "message": "Habari",
        "from": "KIBANDA",
        "bulkSMSMode": "1",
    }
    headers = {"apiKey": "demo-at-key", "Accept": "application/json"}
    for name, value in changes.items():
        place = headers if name in headers else form
        place.pop(name.rstrip("_"), None)
        if value is not None:
            place[name.rstrip("_")] = value
    return requests.post(f"{outside.url}/version1/messaging", data=form, headers=headers, timeout=10)


def test_an_sms_is_taken_as_the_contract_says(outside: Sandbox, msisdn: str) -> None:
    answer = send_sms(outside, msisdn)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    data = answer.json()
    message_id = data["SMSMessageData"]["Recipients"][0].pop("messageId")
    assert re.fullmatch(r"ATXid_[0-9a-f]{32}", message_id)
    assert data == {
        "SMSMessageData": {
            "Message": "Sent to 1/1 Total Cost: KES 0.8000",
            "Recipients": [
                {"cost": "KES 0.8000", "number": msisdn, "status": "Success", "statusCode": 101}
            ],
        }
    }
    inbox = outside.get(f"/phones/{msisdn}/sms").json()
    assert [(sms["id"], sms["from"], sms["text"]) for sms in inbox] == [
        (message_id, "KIBANDA", "Habari")
    ]
    assert outside.get(f"/phones/{msisdn.removeprefix('+')}/sms").json() == inbox


@pytest.mark.parametrize(
    ("changes", "status", "content_type", "body"),
    [
        ({"apiKey": "wrong"}, 401, "text/plain", "The supplied authentication is invalid"),
        ({"apiKey": None}, 401, "text/plain", "The supplied authentication is invalid"),
        ({"username": "live"}, 401, "text/plain", "The supplied authentication is invalid"),
        ({"to": None}, 400, "text/plain", "Request is missing required form field 'to'"),
        ({"message": None}, 400, "text/plain", "Request is missing required form field 'message'"),
        (
            {"from_": "NOBODY"},
            201,
            "application/json",
            '{"SMSMessageData":{"Message":"InvalidSenderId","Recipients":[]}}\n',
        ),
        (
            {"to": "0722"},
            201,
            "application/json",
            '{"SMSMessageData":{"Message":"Sent to 0/1 Total Cost: 0","Recipients":[{"cost":"0",'
            '"messageId":"None","number":"0722","status":"InvalidPhoneNumber","statusCode":403}]}}\n',
        ),
        (
            {"from_": "NOBODY", "Accept": "*/*"},
            201,
            "application/xml",
            '<?xml version="1.0" encoding="UTF-8"?><AfricasTalkingResponse><SMSMessageData>'
            "<Message>InvalidSenderId</Message><Recipients></Recipients>"
            "</SMSMessageData></AfricasTalkingResponse>",
        ),
    ],
)
def test_traps_of_the_sms_api(
    outside: Sandbox,
    msisdn: str,
    changes: dict[str, str | None],
    status: int,
    content_type: str,
    body: str,
) -> None:
    taken = len(outside.get("/gateway/sms").json())
    answer = send_sms(outside, **{"to": msisdn, **changes})
    assert (answer.status_code, answer.text) == (status, body)
    assert answer.headers["Content-Type"].startswith(content_type)
    assert len(outside.get("/gateway/sms").json()) == taken


def test_a_long_sms_costs_two_parts_and_a_bad_number_stands_beside_good_ones(
    outside: Sandbox, msisdn: str
) -> None:
    data = send_sms(outside, f"{msisdn},12", message="x" * 161).json()["SMSMessageData"]
    assert data["Message"] == "Sent to 1/2 Total Cost: KES 1.6000"
    assert [recipient["statusCode"] for recipient in data["Recipients"]] == [101, 403]


def test_the_operators_own_package_understands_us(outside: Sandbox, msisdn: str) -> None:
    service = africastalking.SMS.SMSService("sandbox", "demo-at-key")
    service._baseUrl = f"{outside.url}/version1"
    answer = service.send("Habari", [msisdn], "KIBANDA")
    assert answer["SMSMessageData"]["Recipients"][0]["status"] == "Success"


@pytest.mark.parametrize(("kind", "taken"), [("down", 0), ("lost_reply", 1)])
def test_sms_faults_that_close_the_connection(
    outside: Sandbox, msisdn: str, kind: str, taken: int
) -> None:
    outside.fault("sms", kind)
    with pytest.raises(requests.ConnectionError):
        send_sms(outside, msisdn)
    assert len(outside.get(f"/phones/{msisdn}/sms").json()) == taken
    assert send_sms(outside, msisdn).status_code == 201


def test_sms_faults_that_answer(outside: Sandbox, msisdn: str) -> None:
    outside.fault("sms", "http_500")
    assert send_sms(outside, msisdn).status_code == 500
    outside.fault("sms", "refuse_sender")
    answer = send_sms(outside, msisdn)
    assert (answer.status_code, answer.json()["SMSMessageData"]) == (
        201,
        {"Message": "InvalidSenderId", "Recipients": []},
    )
    assert outside.get(f"/phones/{msisdn}/sms").json() == []


@pytest.mark.parametrize(
    ("kind", "words", "reached"),
    [
        (None, ["Sent", "Success"], 1),
        ("duplicate_report", ["Sent", "Sent", "Success", "Success"], 1),
        ("out_of_order_report", ["Success", "Sent"], 1),
        ("unknown_report", ["Sent", "DeliveredToTerminal"], 1),
        ("undelivered", ["Sent", "Failed"], 0),
    ],
)
def test_delivery_reports(
    outside: Sandbox, kibanda: StandIn, msisdn: str, kind: str | None, words: list[str], reached: int
) -> None:
    if kind:
        outside.fault("sms", kind)
    data = send_sms(outside, msisdn).json()["SMSMessageData"]
    message_id = data["Recipients"][0]["messageId"]
    wait_until(lambda: len(kibanda.reports_of(message_id)) == len(words))
    assert kibanda.reports_of(message_id) == words
    assert len(outside.get(f"/phones/{msisdn}/sms").json()) == reached
    last = kibanda.reports[-1]
    reason = {"failureReason": "DeliveryFailure"} if kind == "undelivered" else {}
    assert last == {
        "id": message_id,
        "status": words[-1],
        "phoneNumber": msisdn,
        "networkCode": "99999",
        "retryCount": "0",
        **reason,
    }


def test_a_report_that_is_not_accepted_is_tried_three_times(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    kibanda.report_status = 500
    data = send_sms(outside, msisdn).json()["SMSMessageData"]
    message_id = data["Recipients"][0]["messageId"]
    wait_until(lambda: len(kibanda.reports_of(message_id)) >= 3, 8)
    kibanda.report_status = 200
    wait_until(lambda: kibanda.reports_of(message_id)[-1] == "Success", 8)
    assert kibanda.reports_of(message_id) == ["Sent", "Sent", "Sent", "Success"]


# --- the biller -----------------------------------------------------------------------------------


def new_ref() -> str:
    return f"ref-{os.getpid()}-{next(_refs)}"


def signed(subject: str) -> str:
    return md5(f"kibandademo-stima-key{subject}".encode()).hexdigest()


def order(ref: str, **changes: object) -> dict[str, Any]:
    return {
        "username": "kibanda",
        "buyer_sku_code": "stima-token",
        "customer_no": METER,
        "ref_id": ref,
        "sign": signed(ref),
        "amount": 500,
        **changes,
    }


def buy(outside: Sandbox, ref: str, timeout: float = 20, **changes: object) -> requests.Response:
    return outside.post("/billers/stima/v1/transaction", order(ref, **changes), timeout)


def sold(outside: Sandbox, ref: str) -> list[dict[str, Any]]:
    return [sale for sale in outside.get("/billers/stima/sales").json() if sale["ref_id"] == ref]


def test_a_sale_as_the_contract_says(outside: Sandbox) -> None:
    ref = new_ref()
    answer = buy(outside, ref)
    data = answer.json()["data"]
    serial = data.pop("sn")
    saldo = data.pop("buyer_last_saldo")
    assert data == {
        "ref_id": ref,
        "customer_no": METER,
        "buyer_sku_code": "stima-token",
        "message": "Transaksi Sukses",
        "status": "Sukses",
        "rc": "00",
        "price": 500,
    }
    assert type(saldo) is int
    assert re.fullmatch(r"\d{4}(-\d{4}){4}/[A-Z]+ [A-Z]+/R\d/\d+VA/20\.1", serial)
    token = serial.split("/")[0].replace("-", "")
    assert int(token) <= 2**66 - 1
    (sale,) = sold(outside, ref)
    assert sale.pop("at").endswith("Z")
    assert sale == {"ref_id": ref, "customer_no": METER, "amount": 500, "token": token}
    assert buy(outside, ref).json() == answer.json()
    assert len(sold(outside, ref)) == 1


@pytest.mark.parametrize(
    ("changes", "rc", "message"),
    [
        ({"sign": "0" * 32}, "41", "Signature tidak valid"),
        ({"username": "someone"}, "42", "Gagal memproses API Buyer"),
        ({"buyer_sku_code": "airtime"}, "43", "SKU tidak ditemukan atau Non-Aktif"),
        ({"amount": 10**12}, "44", "Saldo tidak cukup"),
        ({"amount": None}, "40", "Payload Error"),
        ({"amount": 0}, "40", "Payload Error"),
        ({"amount": 12.5}, "40", "Payload Error"),
        ({"amount": "500"}, "40", "Payload Error"),
        ({"amount": True}, "40", "Payload Error"),
        ({"customer_no": ""}, "40", "Payload Error"),
        ({"customer_no": 54100234563}, "40", "Payload Error"),
        ({"customer_no": "54100234564"}, "54", "Nomor Tujuan Salah"),
        ({"customer_no": "5410023456"}, "54", "Nomor Tujuan Salah"),
    ],
)
def test_what_the_biller_refuses(
    outside: Sandbox, changes: dict[str, object], rc: str, message: str
) -> None:
    ref = new_ref()
    answer = buy(outside, ref, **changes)
    data = answer.json()["data"]
    assert answer.status_code == 200
    assert (data["ref_id"], data["rc"], data["status"]) == (ref, rc, "Gagal")
    assert (data["message"], data["sn"]) == (message, "")
    assert sold(outside, ref) == []


@pytest.mark.parametrize("changes", [{"customer_no": OTHER_METER}, {"amount": 501}])
def test_the_same_reference_for_something_else_is_49(
    outside: Sandbox, changes: dict[str, object]
) -> None:
    ref = new_ref()
    buy(outside, ref)
    assert buy(outside, ref, **changes).json()["data"]["rc"] == "49"
    assert len(sold(outside, ref)) == 1


def test_one_reference_asked_by_many_at_once_is_sold_once(outside: Sandbox) -> None:
    ref = new_ref()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: buy(outside, ref).json()["data"]["sn"], range(16)))
    assert len(set(answers)) == 1
    assert len(sold(outside, ref)) == 1


@pytest.mark.parametrize(
    ("meter", "name", "segment"),
    [
        (METER, "PETER KAMAU", "R1 /000001300"),
        (OTHER_METER, "BRIAN KAMAU", "R2 /000003500"),
    ],
)
def test_the_name_behind_a_meter(outside: Sandbox, meter: str, name: str, segment: str) -> None:
    data = inquire(outside, meter).json()["data"]
    assert re.fullmatch(r"5\d{11}", data.pop("subscriber_id"))
    assert data == {
        "message": "Transaksi Sukses",
        "status": "Sukses",
        "rc": "00",
        "customer_no": meter,
        "meter_no": meter,
        "name": name,
        "segment_power": segment,
    }


def inquire(outside: Sandbox, meter: str, timeout: float = 20, **changes: str) -> requests.Response:
    body = {"username": "kibanda", "customer_no": meter, "sign": signed(meter), **changes}
    return outside.post("/billers/stima/v1/inquiry-pln", body, timeout)


@pytest.mark.parametrize(
    ("meter", "changes", "rc"),
    [
        ("54100234564", {}, "54"),
        ("5410023456", {}, "54"),
        ("541002345630", {}, "54"),
        ("٥٤١٠٠٢٣٤٥٦٣", {}, "54"),
        (METER, {"sign": "x"}, "41"),
        (METER, {"username": "x"}, "42"),
    ],
)
def test_an_inquiry_that_finds_nobody(
    outside: Sandbox, meter: str, changes: dict[str, str], rc: str
) -> None:
    answer = inquire(outside, meter, **changes)
    data = answer.json()["data"]
    assert (answer.status_code, data["rc"], data["status"], data["name"]) == (200, rc, "Gagal", "")


def test_an_unknown_biller_is_404(outside: Sandbox) -> None:
    assert outside.get("/billers/water/sales").status_code == 404


def test_no_answer_sells_nothing_and_ends_with_the_clients_patience(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "no_answer")
    with pytest.raises(requests.ReadTimeout):
        buy(outside, ref, timeout=0.3)
    assert sold(outside, ref) == []
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_slow_sells_although_the_client_left(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "slow", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        buy(outside, ref, timeout=0.2)
    wait_until(lambda: sold(outside, ref))
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_a_lost_reply_is_a_sale(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "lost_reply")
    with pytest.raises(requests.ConnectionError):
        buy(outside, ref)
    assert len(sold(outside, ref)) == 1
    assert buy(outside, ref).json()["data"]["status"] == "Sukses"
    assert len(sold(outside, ref)) == 1


def test_refuse_is_a_formed_transaction(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "refuse")
    first = buy(outside, ref).json()
    assert (first["data"]["rc"], first["data"]["status"]) == ("02", "Gagal")
    assert buy(outside, ref).json() == first
    assert sold(outside, ref) == []


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "part"),
    [
        ("http_400", 400, "text/html", "<h1>400 Bad Request</h1>"),
        ("http_500", 500, "text/html", "<h1>500 Internal Server Error</h1>"),
        ("wrong_body", 200, "application/json", "free Wi-Fi"),
    ],
)
def test_answers_that_are_not_the_billers(
    outside: Sandbox, kind: str, status: int, content_type: str, part: str
) -> None:
    ref = new_ref()
    outside.fault("biller:stima", kind, times=2, on="all")
    for answer in (inquire(outside, METER), buy(outside, ref)):
        assert (answer.status_code, part in answer.text) == (status, True)
        assert answer.headers["Content-Type"].startswith(content_type)
    assert sold(outside, ref) == []
    assert buy(outside, ref).json()["data"]["rc"] == "00"


@pytest.mark.parametrize(
    ("kind", "rc", "sales"), [("late_success", "00", 1), ("late_refusal", "02", 0)]
)
def test_pending_becomes_final_by_itself(outside: Sandbox, kind: str, rc: str, sales: int) -> None:
    ref = new_ref()
    outside.fault("biller:stima", kind, seconds=0.6)
    first = buy(outside, ref).json()["data"]
    assert (first["rc"], first["status"], first["sn"]) == ("03", "Pending", "")
    assert sold(outside, ref) == []
    wait_until(lambda: buy(outside, ref).json()["data"]["rc"] == rc)
    assert len(sold(outside, ref)) == sales


def test_a_duplicate_code_after_a_lost_reply_lasts_until_cleared(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "refuse_after_lost_reply")
    with pytest.raises(requests.ConnectionError):
        buy(outside, ref)
    assert len(sold(outside, ref)) == 1
    for _ in range(2):
        data = buy(outside, ref).json()["data"]
        assert (data["rc"], data["message"]) == ("49", "Ref ID tidak unik")
    outside.clear_faults()
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_faults_of_one_call_leave_the_other_alone(outside: Sandbox) -> None:
    outside.fault("biller:stima", "refuse", times=None)
    assert inquire(outside, METER).json()["data"]["rc"] == "00"
    outside.clear_faults()
    outside.fault("biller:stima", "refuse", on="inquiry")
    assert inquire(outside, METER).json()["data"]["rc"] == "02"


def test_many_held_requests_leave_room_for_others(outside: Sandbox) -> None:
    outside.fault("biller:stima", "no_answer", times=40)
    begin = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        held = [pool.submit(_give_up, outside) for _ in range(40)]
        wait_until(lambda: outside.get("/faults").json() == [])
        assert buy(outside, new_ref()).json()["data"]["rc"] == "00"
        assert time.monotonic() - begin < 1.5
        assert all(one.result() for one in held)


def _give_up(outside: Sandbox) -> bool:
    try:
        buy(outside, new_ref(), timeout=1.5)
    except requests.ReadTimeout:
        return True
    return False


# --- the phone and the USSD callback --------------------------------------------------------------


def dial(outside: Sandbox, msisdn: str, code: str = CODE) -> dict[str, Any]:
    state: dict[str, Any] = outside.post(f"/phones/{msisdn}/dial", {"code": code}).json()
    return state


def reply(outside: Sandbox, msisdn: str, text: str) -> dict[str, Any]:
    state: dict[str, Any] = outside.post(f"/phones/{msisdn}/reply", {"text": text}).json()
    return state


def screens_of(outside: Sandbox, msisdn: str) -> list[dict[str, Any]]:
    return [shown for shown in outside.get("/log/screens").json() if shown["msisdn"] == msisdn]


def test_a_session_from_the_first_key_to_its_end(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    kibanda.answer = lambda form: (200, f"{'END' if form['text'] == '1*2' else 'CON'} {form['text']}!")
    first = dial(outside, msisdn)
    session = first["session"]
    assert re.fullmatch(r"ATUid_[0-9a-f]{32}", session)
    assert (first["screen"], first["open"], first["kind"], first["septets"]) == ("!", True, "menu", 1)
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
    wait_until(lambda: kibanda.ends)
    (end,) = kibanda.ends
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
    wait_until(lambda: kibanda.ends)
    assert kibanda.ends[0]["errorMessage"] == "Request timed out"


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
    outside: Sandbox, kibanda: StandIn, msisdn: str, text: str, shown: str, units: int, encoding: str
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
    wait_until(lambda: kibanda.ends)
    assert [end["status"] for end in kibanda.ends] == ["Incomplete"]


def test_the_drop_fault_sends_the_request_and_shows_nothing(
    outside: Sandbox, kibanda: StandIn, msisdn: str
) -> None:
    dial(outside, msisdn)
    outside.fault("ussd", "drop")
    state = reply(outside, msisdn, "1")
    assert (state["kind"], state["screen"], state["open"]) == ("lost", "", False)
    assert [hop["text"] for hop in kibanda.hops] == ["", "1"]
    assert len(screens_of(outside, msisdn)) == 1
    wait_until(lambda: kibanda.ends)
    assert kibanda.ends[0]["status"] == "Incomplete"


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


# --- faults by HTTP -------------------------------------------------------------------------------


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
            "on must be one of: transaction, inquiry, all",
        ),
    ],
)
def test_a_fault_that_does_not_exist_says_what_does(
    outside: Sandbox, fault: object, sentence: str
) -> None:
    answer = outside.post("/faults", fault)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


# --- memory and life ------------------------------------------------------------------------------


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
        assert [json.loads(line) for line in journal.read_text().splitlines()]


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
        ({"SANDBOX_SESSION_SECONDS": "181"}, "sandbox: SANDBOX_SESSION_SECONDS must be above 0 and"),
        ({"SANDBOX_ANSWER_SECONDS": "x"}, "sandbox: SANDBOX_ANSWER_SECONDS must be a number of"),
        ({"BILLER_CREDENTIALS": "{"}, "sandbox: BILLER_CREDENTIALS must be JSON like"),
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


# --- the phone in a terminal ----------------------------------------------------------------------


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
        "! choose amina, juma, agent, or write a number like +254711000003",
    ]
