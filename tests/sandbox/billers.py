"""One biller of every family in one sandbox, and requests to them as their callers make them."""

import json
import os
from collections.abc import Callable
from hashlib import md5
from itertools import count
from typing import Any

import requests

from tests.outside_world import Sandbox
from tests.ports import free_port

USER, KEY, SECRET = "kibanda", "demo-key", "demo-secret"
_refs = count(1)


def product(sku: str, category: str, pay: str, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "category": category, "pay": pay, **more}


PRODUCTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "stima": (
        "digiflazz_prepaid",
        [
            product("token", "electricity", "any", sells="token"),
            product("airtime", "data", "any"),
        ],
    ),
    "stima_post": ("digiflazz_postpaid", [product("power", "electricity", "exact")]),
    "bando": (
        "iak_prepaid",
        [
            product("data1", "data", "fixed", price=50),
            product("pln20", "electricity", "fixed", price=200, sells="token"),
        ],
    ),
    "maji": ("iak_postpaid", [product("water", "water", "exact")]),
    "afya": (
        "xendit",
        [
            product("health", "insurance", "exact"),
            product("fees", "school", "partial"),
            product("clinic", "health", "over"),
            product("bundle", "tv", "fixed", price=99),
            product("units", "electricity", "any", sells="token"),
        ],
    ),
    "jiji": (
        "iso8583",
        [
            product("UNITS", "electricity", "any", sells="token"),
            product("POWER", "electricity", "partial"),
            product("PERMIT", "government", "exact"),
        ],
    ),
    "shule": ("file", [product("fees", "school", "partial")]),
}


def settings(kibanda_url: str, folder: str) -> tuple[str, int]:
    """SANDBOX_BILLERS, and the port of the one that speaks ISO 8583."""
    port = free_port()
    billers = {
        code: {
            "family": family,
            "username": "12345" if family == "iso8583" else USER,
            "api_key": "KIBANDA1" if family == "iso8583" else KEY,
            "webhook_secret": SECRET,
            "callback_url": f"{kibanda_url}/callbacks/billers/{code}",
            "port": port,
            "folder": folder,
            "products": products,
        }
        for code, (family, products) in PRODUCTS.items()
    }
    return json.dumps(billers), port


def new_ref() -> str:
    return f"ref-{os.getpid()}-{next(_refs)}"


def sign(subject: object) -> str:
    return md5(f"{USER}{KEY}{subject}".encode()).hexdigest()


def asked(outside: Sandbox, path: str, body: dict[str, Any], timeout: float = 5) -> Any:
    return outside.post(f"/billers/{path}", body, timeout)


def digiflazz(ref: str, sku: str, number: str, **more: Any) -> dict[str, Any]:
    return {
        "username": USER,
        "buyer_sku_code": sku,
        "customer_no": number,
        "ref_id": ref,
        "sign": sign(ref),
        **more,
    }


def postpaid(outside: Sandbox, command: str, ref: str, number: str, **more: Any) -> dict[str, Any]:
    """A command to the Digiflazz-like biller of bills; its `data`."""
    body = digiflazz(ref, "power", number, commands=command, **more)
    data: dict[str, Any] = asked(outside, "stima_post/v1/transaction", body).json()["data"]
    return data


def top_up(outside: Sandbox, ref: str, number: str, **more: Any) -> requests.Response:
    body = {"username": USER, "ref_id": ref, "customer_id": number, "product_code": "data1"}
    answer: requests.Response = asked(
        outside, "bando/api/top-up", {**body, "sign": sign(ref), **more}
    )
    return answer


def check_status(outside: Sandbox, ref: str) -> requests.Response:
    body = {"username": USER, "ref_id": ref, "sign": sign(ref)}
    answer: requests.Response = asked(outside, "bando/api/check-status", body)
    return answer


def water(outside: Sandbox, command: str, subject: object, **more: Any) -> requests.Response:
    body = {"commands": command, "username": USER, "sign": sign(subject), **more}
    answer: requests.Response = asked(outside, "maji/api/v1/bill/check", body)
    return answer


def xendit(
    outside: Sandbox, method: str, path: str, body: Any = None, key: str = KEY, ref: str = ""
) -> requests.Response:
    return requests.request(
        method,
        f"{outside.url}/billers/afya/v1/{path}",
        json=body,
        auth=(key, ""),
        headers={"Idempotency-Key": ref} if ref else {},
        timeout=5,
    )


def sold(outside: Sandbox, code: str, ref: str) -> list[dict[str, Any]]:
    sales = outside.get(f"/billers/{code}/sales").json()
    return [sale for sale in sales if sale["ref_id"] == ref]


def undone(outside: Sandbox, code: str, ref: str) -> list[dict[str, Any]]:
    sales = outside.get(f"/billers/{code}/undone").json()
    return [sale for sale in sales if sale["ref_id"] == ref]


def new_number(digits: int = 8) -> str:
    """A customer number that no other test uses: it exists, and owes something."""
    return f"{10 ** (digits - 1) + next(_refs) * 10 + 1}"


# ---- one whole payment of each HTTP family: an inquiry where there must be one, and the paying


def pay_postpaid(outside: Sandbox, ref: str) -> requests.Response:
    number = new_number()
    postpaid(outside, "inq-pasca", ref, number)
    return pay_postpaid_again(outside, ref, number)


def pay_postpaid_again(outside: Sandbox, ref: str, number: str) -> requests.Response:
    body = digiflazz(ref, "power", number, commands="pay-pasca")
    answer: requests.Response = asked(outside, "stima_post/v1/transaction", body, 0.5)
    return answer


def pay_prepaid(outside: Sandbox, ref: str) -> requests.Response:
    body = digiflazz(ref, "token", "54100234563", amount=500)
    answer: requests.Response = asked(outside, "stima/v1/transaction", body, 0.5)
    return answer


def pay_top_up(outside: Sandbox, ref: str, code: str = "data1") -> requests.Response:
    number = "54100234563" if code == "pln20" else "0711000001"
    body = {"username": USER, "ref_id": ref, "customer_id": number, "product_code": code}
    answer: requests.Response = asked(outside, "bando/api/top-up", {**body, "sign": sign(ref)}, 0.5)
    return answer


def bill_of_water(outside: Sandbox, ref: str, number: str) -> dict[str, Any]:
    answer = water(outside, "inq-pasca", ref, code="water", hp=number, ref_id=ref)
    data: dict[str, Any] = answer.json()["data"]
    return data


def pay_water(outside: Sandbox, ref: str) -> requests.Response:
    return pay_bill_of_water(outside, bill_of_water(outside, ref, new_number())["tr_id"])


def pay_bill_of_water(outside: Sandbox, tr_id: int) -> requests.Response:
    body = {"commands": "pay-pasca", "username": USER, "sign": sign(tr_id), "tr_id": tr_id}
    answer: requests.Response = asked(outside, "maji/api/v1/bill/check", body, 0.5)
    return answer


def status_of_water(outside: Sandbox, ref: str) -> dict[str, Any]:
    data: dict[str, Any] = water(outside, "checkstatus", "cs", ref_id=ref).json()["data"]
    return data


def inquire_xendit(outside: Sandbox, sku: str, number: str) -> dict[str, Any]:
    body = {"product_code": sku, "account_number": number}
    told: dict[str, Any] = xendit(outside, "POST", "inquiry", body).json()
    return told


def pay_xendit(outside: Sandbox, ref: str, sku: str = "health") -> requests.Response:
    number = "54100234563" if sku == "units" else new_number()
    inquiry = inquire_xendit(outside, sku, number)
    amount = inquiry["amount"] or 500
    return pay_inquiry(outside, ref, inquiry["id"], amount)


def pay_inquiry(outside: Sandbox, ref: str, inquiry: str, amount: int) -> requests.Response:
    return requests.post(
        f"{outside.url}/billers/afya/v1/payment",
        json={"reference_id": ref, "inquiry_id": inquiry, "amount": amount},
        auth=(KEY, ""),
        headers={"Idempotency-Key": ref},
        timeout=0.5,
    )


def xendit_says(outside: Sandbox, ref: str) -> dict[str, Any]:
    (data,) = xendit(outside, "GET", f"payment?reference_id={ref}").json()["data"]
    payment: dict[str, Any] = data
    return payment


PAY: dict[str, Callable[[Sandbox, str], requests.Response]] = {
    "stima": pay_prepaid,
    "stima_post": pay_postpaid,
    "bando": pay_top_up,
    "maji": pay_water,
    "afya": pay_xendit,
}
