"""Africa's Talking's SMS API and its delivery reports: literal payloads, traps, faults."""

import re

import pytest
import requests
from africastalking.SMS import SMSService

from tests.outside_world import Sandbox, StandIn, wait_until
from tests.sandbox.wire import send_sms


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


_BAD_NUMBER = (
    '{"SMSMessageData":{"Message":"Sent to 0/1 Total Cost: 0","Recipients":[{"cost":"0",'
    '"messageId":"None","number":"0722","status":"InvalidPhoneNumber","statusCode":403}]}}\n'
)
_REFUSED_IN_XML = (
    '<?xml version="1.0" encoding="UTF-8"?><AfricasTalkingResponse><SMSMessageData>'
    "<Message>InvalidSenderId</Message><Recipients></Recipients>"
    "</SMSMessageData></AfricasTalkingResponse>"
)


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
        ({"to": "0722"}, 201, "application/json", _BAD_NUMBER),
        ({"from_": "NOBODY", "Accept": "*/*"}, 201, "application/xml", _REFUSED_IN_XML),
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
    service = SMSService("sandbox", "demo-at-key")
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
    outside: Sandbox,
    kibanda: StandIn,
    msisdn: str,
    kind: str | None,
    words: list[str],
    reached: int,
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
