"""Who may call back, and which field is missing or malformed, over real HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests
from flask.testing import FlaskClient

from app.factory import create_app
from app.runtime import Runtime
from app.settings import Settings
from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.web.posting import (
    DELIVERY,
    END,
    FORM_TYPE,
    FORMS,
    PIN,
    SECRET,
    USSD,
    call,
    end_form,
    ends_of,
    metric,
    raw,
    serves,
    ussd_form,
)
from tests.world import Phone, World, wait_for

AddPerson = Callable[..., str]


# --- who may call ---


def test_a_wrong_token_moves_nothing_and_costs_no_try(world: World, add_person: AddPerson) -> None:
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = Session(world, msisdn)
    session.dial()
    assert "Enter PIN to pay" in session.reply("1", "1", "1", meter, "200")
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
    call(world, USSD, "demo", data=b"\xff", headers={"Content-Type": FORM_TYPE})
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
    web = wait_for(lambda: log if "RequestLine" in (log := world.logs()) else "", 5, "the log")
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


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_a_callback(world: World, path: str, method: str) -> None:
    url = f"{world.url}/callbacks/africastalking/{path}"
    answer = requests.request(method, url, params={"token": "demo"}, timeout=5)
    assert answer.status_code == 405
