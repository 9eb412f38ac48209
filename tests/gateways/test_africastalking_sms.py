"""Africa's Talking's SMS wire: literal answers and what we make of each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from app.errors import DomainError
from app.gateways.africastalking_sms import (
    FINAL_WORDS,
    AfricasTalkingSms,
    Outcome,
    Refused,
    Taken,
    Unknown,
    parse_delivery,
)
from tests.gateways.messaging_server import (
    BROKEN,
    JSON,
    LOST,
    MessagingServer,
    Reply,
    taken,
)
from tests.ports import free_port

TO, TEXT = "+254711000001", "Paid KES 200.00 for Stima token 54100234563."


@pytest.fixture
def server() -> Iterator[MessagingServer]:
    with MessagingServer(free_port()).listening() as running:
        yield running


def gateway(url: str, sender_id: str = "KIBANDA", read_seconds: float = 6.0) -> AfricasTalkingSms:
    return AfricasTalkingSms(
        username="sandbox",
        api_key="demo-at-key",
        api_url=url,
        sender_id=sender_id,
        read_seconds=read_seconds,
    )


def send(server: MessagingServer, *script: Reply) -> Outcome:
    server.script[:] = script
    return gateway(server.url).send(TO, TEXT)


def answer(message: str, *recipients: dict[str, object], content_type: str = JSON) -> Reply:
    data = {"SMSMessageData": {"Message": message, "Recipients": list(recipients)}}
    return Reply(body=json.dumps(data), content_type=content_type)


def recipient(code: object, status: str, message_id: str = "None") -> Reply:
    return answer(
        "Sent to 0/1 Total Cost: 0",
        {
            "cost": "0",
            "messageId": message_id,
            "number": TO,
            "status": status,
            "statusCode": code,
        },
    )


def test_the_form_is_the_contract(server: MessagingServer) -> None:
    assert send(server) == Taken("ATXid_1", "KES 0.8000")
    assert server.paths == ["/version1/messaging"]
    assert server.requests == [
        {
            "username": "sandbox",
            "to": TO,
            "message": TEXT,
            "bulkSMSMode": "1",
            "from": "KIBANDA",
        }
    ]
    assert server.headers[0]["apiKey"] == "demo-at-key"
    assert server.headers[0]["Accept"] == "application/json"


def test_without_a_sender_the_account_has_its_own(server: MessagingServer) -> None:
    gateway(server.url, sender_id="").send(TO, TEXT)
    assert "from" not in server.requests[0]


def test_the_package_knows_the_address_when_none_is_set() -> None:
    for username, host in (("sandbox", "api.sandbox.africastalking.com"), ("x", "api.africas")):
        wire = AfricasTalkingSms(username=username, api_key="k")._wire
        assert wire._make_url("/messaging").startswith(f"https://{host}")
        assert wire._make_url("/messaging").endswith("/version1/messaging")


ANSWERS = [
    # (what the gateway answers, what that means)
    (recipient(100, "Processed", "ATXid_9"), Taken("ATXid_9", "0")),
    (recipient(102, "Queued", "ATXid_9"), Taken("ATXid_9", "0")),
    (recipient("101", "Success", "ATXid_9"), Taken("ATXid_9", "0")),
    (recipient(101, "Success", "None"), Taken(None, "0")),
    (recipient(401, "RiskHold", "ATXid_9"), Unknown("risk_hold")),
    (recipient(402, "InvalidSenderId"), Refused("invalid_sender", permanent=False)),
    (recipient(403, "InvalidPhoneNumber"), Refused("invalid_number", permanent=True)),
    (recipient(404, "UnsupportedNumberType"), Refused("unsupported_number_type", permanent=True)),
    (recipient(405, "InsufficientBalance"), Refused("insufficient_balance", permanent=False)),
    (recipient(406, "UserInBlacklist"), Refused("blacklisted", permanent=True)),
    (recipient(407, "CouldNotRoute"), Refused("not_routable", permanent=False)),
    (recipient(409, "DoNotDisturbRejection"), Refused("do_not_disturb", permanent=True)),
    (recipient(500, "InternalServerError"), Unknown("gateway_internal")),
    (recipient(501, "GatewayError"), Unknown("gateway_error")),
    (recipient(502, "RejectedByGateway"), Refused("rejected_by_gateway", permanent=False)),
    (recipient(455, "SomethingNew"), Unknown("status_455")),
    (answer("InvalidSenderId"), Refused("invalid_sender", permanent=False)),
    (answer("SomethingNew"), Unknown("no_recipient")),
    (
        Reply(401, "The supplied authentication is invalid", "text/plain; charset=UTF-8"),
        Refused("unauthorized", permanent=False),
    ),
    (Reply(400, "<html>Bad Request</html>", "text/html"), Unknown("http_400")),
    (Reply(302, "", "text/html"), Unknown("http_302")),
    (BROKEN, Unknown("http_500")),
    (Reply(201, "<html>all is well</html>", "text/html"), Unknown("unreadable_answer")),
    (Reply(201, "[]", JSON), Unknown("unreadable_answer")),
    (Reply(201, '{"SMSMessageData": null}', JSON), Unknown("unreadable_answer")),
    (recipient(None, "Success"), Unknown("unreadable_answer")),
    (Reply(201, "x" * 70_000, JSON), Unknown("ReadTimeout")),
    (LOST, Unknown("ConnectionError")),
]


@pytest.mark.parametrize(("reply", "outcome"), ANSWERS, ids=[str(o) for _, o in ANSWERS])
def test_answers(server: MessagingServer, reply: Reply, outcome: Outcome) -> None:
    assert send(server, reply) == outcome
    assert len(server.requests) == 1, "a redirect is not followed, a failure not tried again"


def test_json_under_a_charset_is_json(server: MessagingServer) -> None:
    plain = taken({"to": TO}, 7)
    assert send(server, Reply(201, plain.body, "application/json; charset=utf-8")) == Taken(
        "ATXid_7", "KES 0.8000"
    )


def test_no_connection_is_certainly_not_taken() -> None:
    outcome = gateway(f"http://127.0.0.1:{free_port()}").send(TO, TEXT)
    assert outcome == Refused("ConnectionError", permanent=False)


def test_an_address_that_cannot_be_is_certainly_not_taken() -> None:
    assert gateway("foo://nowhere").send(TO, TEXT) == Refused("InvalidSchema", permanent=False)


def test_silence_after_sending_is_unknown_and_bounded(server: MessagingServer) -> None:
    server.wait_seconds = 3
    began = time.monotonic()
    outcome = gateway(server.url, read_seconds=0.2).send(TO, TEXT)
    assert outcome == Unknown("ReadTimeout")
    assert time.monotonic() - began < 2


def test_a_number_that_is_none_never_leaves(server: MessagingServer) -> None:
    assert gateway(server.url).send("0711", TEXT) == Refused("invalid_number", permanent=True)
    assert not server.requests


def test_one_object_serves_many_threads(server: MessagingServer) -> None:
    ours = gateway(server.url)
    outcomes: list[tuple[str, Outcome]] = []

    def one(number: int) -> None:
        msisdn = f"+25471100{number:04d}"
        outcomes.append((msisdn, ours.send(msisdn, f"text {number}")))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {form["to"]: form["message"] for form in server.requests} == {
        f"+25471100{number:04d}": f"text {number}" for number in range(16)
    }
    assert len({outcome for _, outcome in outcomes}) == 16


REPORT = {
    "id": "ATXid_1",
    "status": "Success",
    "phoneNumber": TO,
    "networkCode": "63902",
    "retryCount": "0",
}


@pytest.mark.parametrize(
    ("status", "word", "final"),
    [
        ("Sent", "sent", False),
        ("Submitted", "submitted", False),
        ("Buffered", "buffered", False),
        ("Success", "delivered", True),
        ("Failed", "failed", True),
        ("Rejected", "rejected", True),
        ("Expired", "expired", True),
        ("AbsentSubscriber", "absent", True),
        ("DeliveredToTerminal", "unknown", False),
        ("Success\x00\n", "delivered", True),
    ],
)
def test_report_words(status: str, word: str, final: bool) -> None:
    report = parse_delivery({**REPORT, "status": status})
    assert (report.word, report.word in FINAL_WORDS) == (word, final)


def test_report_fields() -> None:
    report = parse_delivery({**REPORT, "status": "Failed", "failureReason": "UserInBlackList"})
    assert (report.provider_id, report.msisdn, report.network) == ("ATXid_1", TO, "63902")
    assert (report.reason, report.retry_count) == ("UserInBlackList", 0)


@pytest.mark.parametrize("field", ["id", "status"])
@pytest.mark.parametrize("value", [None, "", " \x00"])
def test_a_report_without_its_core_is_refused(field: str, value: str | None) -> None:
    form = {name: text for name, text in REPORT.items() if name != field}
    if value is not None:
        form[field] = value
    with pytest.raises(DomainError) as caught:
        parse_delivery(form)
    assert (caught.value.code, caught.value.facts) == ("field_missing", {"field": field})


@pytest.mark.parametrize("count", ["", "many", "-1", "9" * 30, "²"])
def test_a_strange_retry_count_is_none(count: str) -> None:
    assert parse_delivery({**REPORT, "retryCount": count}).retry_count is None
