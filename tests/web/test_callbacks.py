"""What Africa's Talking posts to us, right, wrong and hostile, over real HTTP."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import text

from app.factory import create_app
from app.runtime import Runtime
from app.settings import Settings
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.world import Phone, World, wait_for

PIN = "7391"
AddPerson = Callable[..., str]
USSD, END, DELIVERY = "ussd", "ussd/end", "sms/delivery"
# Typed where it should not be, or posted in a field that is refused: it must not be written down.
SECRET = "4827163950"
ANSWER_SECONDS = 8.0
FORM = "application/x-www-form-urlencoded"


def call(world: World, path: str, token: str | None = "demo", **rest: Any) -> requests.Response:
    """POST to a callback; `rest` as requests takes it."""
    params = {} if token is None else {"token": token}
    url = f"{world.url}/callbacks/africastalking/{path}"
    return requests.post(url, params=params, timeout=ANSWER_SECONDS, **rest)


def ussd_form(**changed: str) -> dict[str, str]:
    return {
        "sessionId": Session(None, "").id,  # type: ignore[arg-type]  # only for a fresh id
        "phoneNumber": fresh_msisdn(),
        "networkCode": "99999",
        "serviceCode": "*384*123#",
        "text": "",
        **changed,
    }


def end_form(**changed: str) -> dict[str, str]:
    form = {
        **ussd_form(),
        "date": "2026-01-02 15:04:05",
        "status": "Incomplete",
        "cost": "KES 0.10",
        "durationInMillis": "9120",
        "hopsCount": "6",
        "input": f"1*1*54100234563*200*{SECRET}",
        "lastAppResponse": f"CON Wrong PIN {SECRET}",
        "hopsMetadata": "bill.confirm",
        **changed,
    }
    del form["text"]
    return form


def report_form(**changed: str) -> dict[str, str]:
    return {"id": "ATXid_nobody", "status": "Success", "networkCode": "99999", **changed}


FORMS: dict[str, Callable[..., dict[str, str]]] = {
    USSD: ussd_form,
    END: end_form,
    DELIVERY: report_form,
}


def serves(world: World) -> None:
    """The web process still does its work."""
    answer = call(world, USSD, data=ussd_form())
    assert answer.status_code == 200
    assert answer.text.startswith("CON Kibanda. Choose language")


def ends_of(runtime: Runtime, session_id: str) -> list[dict[str, Any]]:
    query = text("SELECT * FROM ussd_ends WHERE session_id = :id")
    return runtime.db.transact(
        lambda session: [dict(row) for row in session.execute(query, {"id": session_id}).mappings()]
    )


# --- who may call ---


def test_a_wrong_token_moves_nothing_and_costs_no_try(world: World, add_person: AddPerson) -> None:
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = Session(world, msisdn)
    session.dial()
    assert "Enter PIN to pay" in session.reply("1", "1", meter, "200")
    form = ussd_form(sessionId=session.id, phoneNumber=msisdn)
    for wrong in (
        None,
        "",
        "demo ",
        " demo",
        "Demo",
        "demo0",
        "dem",
        "%00demo",
        "dém©o",
        "x" * 3000,
    ):
        for pin in (PIN, "1111"):
            answer = call(world, USSD, wrong, data={**form, "text": f"{session.text}*{pin}"})
            assert (answer.status_code, answer.text) == (403, "forbidden\n"), wrong
    assert not [sale for sale in world.sales() if sale["customer_no"] == meter]
    assert session.reply(PIN).startswith("END Paid"), "and the session is where it was"
    assert len(Phone(world, msisdn).wait_sms(1)) == 1


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
def test_every_callback_asks_for_the_token(world: World, path: str) -> None:
    for wrong in (None, "", "wrong"):
        assert call(world, path, wrong, data=FORMS[path]()).status_code == 403
    url = f"{world.url}/callbacks/africastalking/{path}?token=wrong&token=demo"
    assert requests.post(url, data=FORMS[path](), timeout=5).status_code == 403
    in_body = {**FORMS[path](), "token": "demo"}
    assert call(world, path, None, data=in_body).status_code == 403


def test_a_refused_end_event_is_not_stored(world: World, runtime: Runtime) -> None:
    form = end_form()
    call(world, END, "wrong", data=form)
    assert ends_of(runtime, form["sessionId"]) == []
    call(world, END, data=form)
    assert len(ends_of(runtime, form["sessionId"])) == 1


def test_refusals_are_counted_by_reason(world: World) -> None:
    def counted(reason: str) -> float:
        return metric(world, f'kibanda_callbacks_refused_total{{reason="{reason}"}}')

    before = [counted(reason) for reason in ("token", "field_missing", "field_malformed")]
    call(world, USSD, "wrong", data=ussd_form())
    call(world, USSD, data={})
    call(world, USSD, data=ussd_form(phoneNumber="0711000001"))
    after = [counted(reason) for reason in ("token", "field_missing", "field_malformed")]
    assert after == [count + 1 for count in before]


def test_no_log_holds_a_token(world: World) -> None:
    guess = f"guess{SECRET}"
    call(world, USSD, guess, data=ussd_form())
    call(world, "nowhere", guess, data=ussd_form())
    call(world, USSD, "demo", data=b"\xff", headers={"Content-Type": FORM})
    target = "/callbacks/africastalking/ussd"
    for token in (guess, "demo"):
        # Request lines that the web server itself refuses, and may quote.
        for line in (
            f"POST {target}?token={token}",
            f"POST {target}?token={token} HTTP/9.9",
            f"P@ST {target}?token={token} HTTP/1.1",
            f"POST {target}?token={token}&b={'x' * 9000} HTTP/1.1",
        ):
            assert raw(world, f"{line}\r\nHost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 4")
    web = wait_for(lambda: log if "request line" in (log := world.logs()) else "", 5, "the log")
    assert guess not in web
    assert not re.findall(r"token=demo[^\n]*", web)
    serves(world)


# --- the list of addresses ---


@contextmanager
def allowing(runtime: Runtime, addresses: str, proxies: int = 0) -> Iterator[FlaskClient]:
    """A web app of its own that lets only some addresses call back."""
    app = create_app(
        Settings(
            database_url=runtime.settings.database_url,
            redis_url=runtime.settings.redis_url,
            callback_allowed_ips=addresses,  # type: ignore[arg-type]  # as the environment gives it
            trusted_proxies=proxies,
        )
    )
    parts: Runtime = app.extensions["kibanda"]
    try:
        yield app.test_client()
    finally:
        parts.sessions.close()
        parts.db.dispose()


@pytest.mark.parametrize(
    ("addresses", "proxies", "forwarded", "status"),
    [
        ("127.0.0.1", 0, None, 200),
        ("10.0.0.0/8, 127.0.0.0/8", 0, None, 200),
        ("10.0.0.0/8", 0, None, 403),
        ("::1", 0, None, 403),
        ("10.0.0.0/8", 0, "10.1.2.3", 403),  # nobody trusted says so
        ("10.0.0.0/8", 1, "10.1.2.3", 200),
        ("10.0.0.0/8", 1, "10.1.2.3, 196.0.0.1", 403),  # the nearest one is the proxy's own word
        ("10.0.0.0/8", 1, "::ffff:10.1.2.3", 200),
        ("2001:db8::/32", 1, "2001:db8::5", 200),
        ("10.0.0.0/8", 1, "unknown", 403),
        ("10.0.0.0/8", 1, "10.1.2.3:4711", 403),
        ("10.0.0.0/8", 1, "", 403),
    ],
)
def test_the_list_of_addresses(
    runtime: Runtime, addresses: str, proxies: int, forwarded: str | None, status: int
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    with allowing(runtime, addresses, proxies) as client:
        for path, form in FORMS.items():
            address = f"/callbacks/africastalking/{path}?token=demo"
            assert client.post(address, data=form(), headers=headers).status_code == status
        assert client.get("/healthz", headers=headers).status_code == 200


def test_a_right_address_needs_the_token_too(runtime: Runtime) -> None:
    with allowing(runtime, "127.0.0.1") as client:
        answer = client.post("/callbacks/africastalking/ussd?token=wrong", data=ussd_form())
        assert answer.status_code == 403


# --- fields ---

BAD_FIELDS = [
    (USSD, "sessionId", "", "field_missing"),
    (USSD, "phoneNumber", "", "field_missing"),
    (USSD, "networkCode", "", "field_missing"),
    (USSD, "serviceCode", "", "field_missing"),
    (USSD, "sessionId", f"{SECRET} {SECRET}", "field_malformed"),
    (USSD, "sessionId", SECRET * 11, "field_malformed"),
    (USSD, "sessionId", f"{SECRET}\n{SECRET}", "field_malformed"),
    (USSD, "phoneNumber", SECRET, "field_malformed"),
    (USSD, "phoneNumber", f"+{SECRET}\n", "field_malformed"),
    (USSD, "phoneNumber", f"+{SECRET * 2}", "field_malformed"),
    (USSD, "phoneNumber", "+٢٥٤٧١١٠٠٠٠٠١", "field_malformed"),
    (USSD, "networkCode", SECRET * 3, "field_malformed"),
    (USSD, "serviceCode", f"*384*{SECRET}é#", "field_malformed"),
    (USSD, "text", SECRET * 410, "field_malformed"),
    (END, "sessionId", "", "field_missing"),
    (END, "phoneNumber", "", "field_missing"),
    (END, "networkCode", "", "field_missing"),
    (END, "serviceCode", "", "field_missing"),
    (END, "phoneNumber", f"tel:{SECRET}", "field_malformed"),
    (DELIVERY, "id", "", "field_missing"),
    (DELIVERY, "status", "", "field_missing"),
]


@pytest.mark.parametrize(
    ("path", "field", "value", "reason"),
    BAD_FIELDS,
    ids=[f"{path}-{field}-{at}" for at, (path, field, _, _) in enumerate(BAD_FIELDS)],
)
def test_a_malformed_field_is_named_and_not_quoted(
    world: World, path: str, field: str, value: str, reason: str
) -> None:
    answer = call(world, path, data={**FORMS[path](), field: value})
    assert (answer.status_code, answer.text) == (400, f"{reason}: {field}\n")
    serves(world)
    assert SECRET not in world.logs()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *((USSD, field) for field in ussd_form()),
        *((END, field) for field in ("sessionId", "phoneNumber", "networkCode", "serviceCode")),
        *((DELIVERY, field) for field in ("id", "status")),
    ],
)
def test_a_missing_field_is_named(world: World, path: str, field: str) -> None:
    form = FORMS[path]()
    del form[field]
    answer = call(world, path, data=form)
    assert (answer.status_code, answer.text) == (400, f"field_missing: {field}\n")
    logged = [json.loads(line) for line in world.logs().splitlines() if "callback_malf" in line]
    assert [line["field"] for line in logged if line["path"].endswith(path)][-1] == field


def test_a_plus_that_was_not_escaped_is_understood(world: World, add_person: AddPerson) -> None:
    msisdn = add_person("sw", 0)
    answer = call(world, USSD, data=ussd_form(phoneNumber=f" {msisdn[1:]}"))
    assert "1 Lipa bili" in answer.text


# --- hostile bodies ---

HOSTILE: dict[str, dict[str, Any]] = {
    "ten megabytes": {"data": ussd_form(text="1" * 10_000_000)},
    "ten megabytes in chunks": {"data": (b"text=" + b"1" * 100_000 for _ in range(100))},
    "ten thousand parameters": {"data": "&".join(f"p{n}" for n in range(10_000))},
    "ten thousand texts": {"data": [*ussd_form().items(), *[("text", "")] * 8000]},
    "ten thousand in the address": {"params": {f"p{n}": "" for n in range(10_000)}},
    "an empty body": {"data": b""},
    "JSON": {"json": ussd_form()},
    "broken UTF-8": {"data": b"sessionId=\xff\xfe&text=\x80\xc3"},
    "broken UTF-8, escaped": {"data": "sessionId=%ff%fe&phoneNumber=%C3&text=%80"},
    "broken escapes": {"data": "sessionId=%zz&phoneNumber=%2&text=%"},
    "UTF-16": {"data": "sessionId=1&text=1".encode("utf-16")},
    "another charset": {
        "data": "text=é".encode("latin-1"),
        "headers": {"Content-Type": f"{FORM}; charset=nonsense"},
    },
    "multipart without an end": {
        "data": b"--x\r\nContent-Disposition: form-data; name=text\r\n\r\n1",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "multipart without a boundary": {
        "data": b"1",
        "headers": {"Content-Type": "multipart/form-data"},
    },
    "a thousand files": {"files": [(f"f{n}", (f"f{n}", b"x")) for n in range(1200)]},
}


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_body_is_no_error_of_ours(world: World, path: str, body: str) -> None:
    request = dict(HOSTILE[body])
    if not isinstance(request.get("data"), bytes | str | dict | list | None):
        request["data"] = (b"text=" + b"1" * 100_000 for _ in range(100))
    if isinstance(request.get("data"), bytes | str):
        request.setdefault("headers", {"Content-Type": FORM})
    if "params" in request:
        url = f"{world.url}/callbacks/africastalking/{path}"
        answered = requests.post(url, timeout=ANSWER_SECONDS, **request).status_code
    else:
        try:
            answered = call(world, path, **request).status_code
        except requests.ConnectionError:  # hung up on while still sending
            answered = 413
    assert 200 <= answered < 500, answered
    serves(world)


@pytest.mark.parametrize(
    "end",
    [
        b"Transfer-Encoding: chunked\r\n\r\nZZZZ\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\nx\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: five\r\n\r\nhello",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"Content-Length: 99999999999\r\n\r\nhello",
    ],
)
def test_a_body_that_contradicts_itself(world: World, end: bytes) -> None:
    head = f"POST /callbacks/africastalking/ussd?token=demo HTTP/1.1\r\nContent-Type: {FORM}\r\n"
    assert re.match(rb"HTTP/1.1 4\d\d ", raw(world, head.encode() + end))
    serves(world)


ODD_TEXTS = [
    "\0",
    "1\0",
    "😀",
    "مرحبا",
    "\u202e1",
    "1*😀*" * 20,
    "*",
    "**",
    "#",
    "\r\n",
    "é",
    "\ufeff",
]


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_odd_characters_get_a_screen_or_a_named_refusal(
    world: World, add_person: AddPerson, odd: str
) -> None:
    session = Session(world, add_person("en", 100_000))
    session.dial()
    answer = session.post(odd)
    if "\0" in odd:
        assert (answer.status_code, answer.text) == (400, "field_malformed: text\n")
    else:
        assert answer.status_code == 200
        assert answer.text.startswith(("CON ", "END "))
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    serves(world)


@pytest.mark.parametrize(
    "field", ["status", "cost", "durationInMillis", "hopsCount", "errorMessage", "hopsMetadata"]
)
def test_odd_characters_in_an_end_event(world: World, runtime: Runtime, field: str) -> None:
    for odd in ("😀" * 200, "مرحبا", "٣٣", "²", "-1", "9" * 30, "\r\n", "\u202e", "a\0b"):
        form = end_form(**{field: odd})
        answer = call(world, END, data=form)
        if "\0" in odd:
            assert (answer.status_code, answer.text) == (400, f"field_malformed: {field}\n")
        else:
            assert answer.status_code == 200, odd
            assert len(ends_of(runtime, form["sessionId"])) == 1


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_a_callback(world: World, path: str, method: str) -> None:
    url = f"{world.url}/callbacks/africastalking/{path}"
    answer = requests.request(method, url, params={"token": "demo"}, timeout=5)
    assert answer.status_code == 405


# --- end events ---


def test_an_end_event_is_kept_without_what_was_typed(world: World, runtime: Runtime) -> None:
    form = end_form()
    assert call(world, END, data=form).status_code == 200
    (row,) = ends_of(runtime, form["sessionId"])
    assert {name: row[name] for name in ("msisdn", "status", "hops", "duration_ms", "cost")} == {
        "msisdn": form["phoneNumber"],
        "status": "dropped",
        "hops": 6,
        "duration_ms": 9120,
        "cost": "KES 0.10",
    }
    assert row["hops_metadata"] == "bill.confirm"
    assert SECRET not in str(row)
    assert "CON" not in str(row)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("Success", "ended"), ("Failed", "failed"), ("Exploded", "unknown"), ("", "unknown")],
)
def test_the_gateways_words_for_an_end(
    world: World, runtime: Runtime, word: str, ours: str
) -> None:
    form = end_form(status=word)
    call(world, END, data=form)
    assert [row["status"] for row in ends_of(runtime, form["sessionId"])] == [ours]


def test_a_repeated_end_event_changes_nothing(world: World, runtime: Runtime) -> None:
    form = end_form()
    call(world, END, data=form)
    (first,) = ends_of(runtime, form["sessionId"])
    assert call(world, END, data=form).status_code == 200
    assert call(world, END, data={**form, "status": "Success", "cost": "9"}).status_code == 200
    assert ends_of(runtime, form["sessionId"]) == [first]


def test_an_end_event_before_its_session_is_over_does_not_end_it(
    world: World, add_person: AddPerson
) -> None:
    """The gateway's two callbacks travel on their own; the phone is what counts."""
    session = Session(world, add_person("en", 0))
    session.dial()
    call(world, END, data=end_form(sessionId=session.id, phoneNumber=session.msisdn))
    assert "Pay bill" in session.reply("1")


# --- delivery reports ---


def test_a_report_of_a_message_that_nobody_sent_is_kept(world: World, runtime: Runtime) -> None:
    odd_id = f"ATXid_{fresh_meter()}"
    assert call(world, DELIVERY, data=report_form(id=odd_id)).status_code == 200
    for odd in ("Exploded", "a\u202eb", "😀"):
        assert call(world, DELIVERY, data=report_form(id=odd_id, status=odd)).status_code == 200
    assert reported(runtime, odd_id) == ["delivered", "unknown", "unknown", "unknown"]


def test_a_report_reaches_its_message(
    world: World, runtime: Runtime, add_person: AddPerson
) -> None:
    session = Session(world, add_person("en", 100_000))
    session.dial()
    session.reply("1", "1", fresh_meter(), "200", PIN)
    Phone(world, session.msisdn).wait_sms(1)
    query = text("SELECT m.delivery, d.provider_id FROM messages m"
                 " JOIN deliveries d ON d.message_id = m.id WHERE m.msisdn = :msisdn")  # fmt: skip

    def message() -> Any:
        return runtime.db.transact(
            lambda found: found.execute(query, {"msisdn": session.msisdn}).one_or_none()
        )

    told = wait_for(lambda: m if (m := message()) and m.delivery == "delivered" else None, 10, "it")
    form = report_form(id=told.provider_id, phoneNumber=session.msisdn)
    call(world, DELIVERY, data={**form, "status": "Sent"})
    assert message().delivery == "delivered", "a word that is not final never follows a final one"
    call(world, DELIVERY, data={**form, "status": "Failed", "failureReason": "DeliveryFailure"})
    assert message().delivery == "failed"
    assert reported(runtime, told.provider_id)[-2:] == ["sent", "failed"]


def reported(runtime: Runtime, provider_id: str) -> list[str]:
    query = text("SELECT word FROM delivery_reports WHERE provider_id = :id ORDER BY id")
    return runtime.db.transact(
        lambda session: list(session.scalars(query, {"id": provider_id}).all())
    )


def metric(world: World, sample: str) -> float:
    """The value of one sample of `/metrics`, 0 when it is not there yet."""
    lines = requests.get(f"{world.url}/metrics", timeout=5).text.splitlines()
    found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{sample} ")]
    return float(found[0]) if found else 0.0


def raw(world: World, request: bytes, seconds: float = ANSWER_SECONDS) -> bytes:
    """The beginning of the answer to bytes that no client library would send."""
    address = urlsplit(world.url)
    began = time.monotonic()
    with socket.create_connection((address.hostname, address.port), 5) as connection:
        connection.settimeout(seconds)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    assert time.monotonic() - began < seconds
    return answer
