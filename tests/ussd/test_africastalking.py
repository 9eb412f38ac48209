"""Africa's Talking's USSD wire: literal payloads as the operator sends them."""

from __future__ import annotations

import pytest

from app.errors import DomainError
from app.gateways import africastalking
from app.gateways.wire import Screen, form_fields

HOP = {
    "sessionId": "ATUid_4dd9ac8c9b9c1d1d0e5f6a7b8c9d0e1f",
    "phoneNumber": "+254711000001",
    "networkCode": "99999",
    "serviceCode": "*384*123#",
    "text": "1*54100234563*200",
}
END = {
    "date": "2026-01-02 15:04:05",
    "sessionId": "ATUid_4dd9ac8c9b9c1d1d0e5f6a7b8c9d0e1f",
    "serviceCode": "*384*123#",
    "networkCode": "63902",
    "phoneNumber": "+254711000001",
    "status": "Incomplete",
    "cost": "KES 0.10",
    "durationInMillis": "10300",
    "hopsCount": "4",
    "input": "1*54100234563*200*7391826450",
    "lastAppResponse": "CON Wrong PIN 7391826450",
}


def test_a_hop() -> None:
    request = africastalking.parse_ussd(HOP)
    assert request.gateway.mode == "accumulated"
    assert request.gateway.exactness == "exact"
    assert (request.session_id, request.msisdn) == (HOP["sessionId"], "+254711000001")
    assert (request.service_code, request.network) == ("*384*123#", "99999")
    assert (request.event, request.text) == ("input", "1*54100234563*200")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {"": ""}),
        (b"text=&a=b", {"text": "", "a": "b"}),
        (b"text=1%2A2&text=9", {"text": "1*2"}),
        (b"phoneNumber=%2B254711000001", {"phoneNumber": "+254711000001"}),
        (b"phoneNumber=+254711000001", {"phoneNumber": " 254711000001"}),
        ("text=%C3%A9é+x=y".encode(), {"text": "éé x=y"}),
    ],
)
def test_a_form(body: bytes, fields: dict[str, str]) -> None:
    assert form_fields(body) == fields


@pytest.mark.parametrize("body", [b"text=\xff", b"text=%FF", b"&" * 41])
def test_a_form_that_is_none(body: bytes) -> None:
    with pytest.raises(DomainError, match="field_malformed"):
        form_fields(body)


def test_the_first_hop() -> None:
    assert africastalking.parse_ussd({**HOP, "text": ""}).event == "new"


def test_a_request_does_not_print_its_text() -> None:
    assert "54100234563" not in repr(africastalking.parse_ussd(HOP))


@pytest.mark.parametrize(
    "field", ["sessionId", "phoneNumber", "serviceCode", "networkCode", "text"]
)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(DomainError, match="field_missing") as refused:
        africastalking.parse_ussd({name: value for name, value in HOP.items() if name != field})
    assert refused.value.facts == {"field": field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sessionId", "with space"),
        ("sessionId", "x" * 101),
        ("phoneNumber", "0711000001"),
        ("phoneNumber", "+254711\n00001"),
        ("serviceCode", "*384*123#" * 9),
        ("networkCode", "é"),
        ("text", "1" * 4097),
    ],
)
def test_a_malformed_field_is_named(field: str, value: str) -> None:
    with pytest.raises(DomainError, match="field_malformed") as refused:
        africastalking.parse_ussd({**HOP, field: value})
    assert refused.value.facts == {"field": field}


def test_a_plus_that_the_form_turned_into_a_space() -> None:
    assert africastalking.parse_ussd({**HOP, "phoneNumber": " 254711000001"}).msisdn[0] == "+"


@pytest.mark.parametrize(
    ("screen", "body"),
    [
        (Screen("Hello\n1 Pay", open=True, name="home"), b"CON Hello\n1 Pay"),
        (Screen("Kwaheri", open=False, name="bye"), b"END Kwaheri"),
        (Screen("€5", open=False), "END €5".encode()),
    ],
)
def test_a_screen(screen: Screen, body: bytes) -> None:
    assert africastalking.render(screen) == (body, {"at-ussd-hop-metadata": screen.name})


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Success", "ended"),
        ("Incomplete", "dropped"),
        ("Failed", "failed"),
        ("Exploded", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_end_event(word: str, status: str) -> None:
    end = africastalking.parse_end({**END, "status": word})
    assert (end.status, end.hops, end.duration_ms, end.cost) == (status, 4, 10300, "KES 0.10")
    assert "7391826450" not in repr(end)


def test_an_end_event_with_the_least() -> None:
    least = {name: END[name] for name in ("sessionId", "serviceCode", "networkCode", "phoneNumber")}
    end = africastalking.parse_end({**least, "hopsCount": "many", "cost": "0.1"})
    assert (end.hops, end.duration_ms, end.cost, end.error) == (None, None, "0.1", None)
