"""Posting to the three callbacks: as Africa's Talking does, and as it never would."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from sqlalchemy import text

from app.runtime import Runtime
from tests.people import fresh_msisdn
from tests.world import World

PIN = "7391"
USSD, END, DELIVERY = "ussd", "ussd/end", "sms/delivery"
# Typed where it should not be, or posted in a field that is refused: it must not be written down.
SECRET = "4827163950"
ANSWER_SECONDS = 8.0
FORM_TYPE = "application/x-www-form-urlencoded"


def call(world: World, path: str, token: str | None = "demo", **rest: Any) -> requests.Response:
    """POST to a callback; `rest` as requests takes it."""
    params = {} if token is None else {"token": token}
    url = f"{world.url}/callbacks/africastalking/{path}"
    return requests.post(url, params=params, timeout=ANSWER_SECONDS, **rest)


def ussd_form(**changed: str) -> dict[str, str]:
    return {
        "sessionId": f"ATUid_{secrets.token_hex(16)}",
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
        "input": f"1*1*1*54100234563*200*{SECRET}",
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
    assert answer.text.startswith("CON Kibanda. Language, lugha, langue")


def ends_of(runtime: Runtime, session_id: str) -> list[dict[str, Any]]:
    query = text("SELECT * FROM ussd_ends WHERE session_id = :id")
    return runtime.db.transact(
        lambda session: [dict(row) for row in session.execute(query, {"id": session_id}).mappings()]
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
