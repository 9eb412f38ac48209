"""Requests to the sandbox as its callers make them: the SMS package, a biller's client, a phone."""

import os
from hashlib import md5
from itertools import count
from typing import Any

import requests

from tests.outside_world import Sandbox

METER = "54100234563"
OTHER_METER = "54100234571"
CODE = "*384*123#"
_refs = count(1)


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
    return requests.post(
        f"{outside.url}/version1/messaging", data=form, headers=headers, timeout=10
    )


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


def inquire(outside: Sandbox, meter: str, timeout: float = 20, **changes: str) -> requests.Response:
    body = {"username": "kibanda", "customer_no": meter, "sign": signed(meter), **changes}
    return outside.post("/billers/stima/v1/inquiry-pln", body, timeout)


def dial(outside: Sandbox, msisdn: str, code: str = CODE) -> dict[str, Any]:
    state: dict[str, Any] = outside.post(f"/phones/{msisdn}/dial", {"code": code}).json()
    return state


def reply(outside: Sandbox, msisdn: str, text: str) -> dict[str, Any]:
    state: dict[str, Any] = outside.post(f"/phones/{msisdn}/reply", {"text": text}).json()
    return state


def screens_of(outside: Sandbox, msisdn: str) -> list[dict[str, Any]]:
    return [shown for shown in outside.get("/log/screens").json() if shown["msisdn"] == msisdn]
