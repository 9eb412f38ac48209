"""The Xendit-like family: literal answers, its webhooks, and every fault against PostgreSQL."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.billers.protocols import wires
from app.billers.protocols.answers import InquiryError, Line, Order, WebhookError
from app.billers.protocols.http import Reply
from app.billers.protocols.xendit import (
    Xendit,
    read_error,
    read_found,
    read_inquiry,
    read_payment,
)
from app.db import Database
from app.markets.billers import Biller
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials, Settings
from tests.billers import table
from tests.billers.played import Asked, served
from tests.billers.stage import AMOUNT, market_with
from tests.billers.table import Sale, Seen, Till, Word

KES = Currency("KES", 2)
ORDER = Order(
    "0198c0ffee", "afya-premium", "123456789", 50_000, sells_token=False, owes=True,
    bill_ref="inq_1",
)  # fmt: skip
TOKEN_ORDER = Order("0198c0ffee", "afya-premium", "123456789", 50_000, bill_ref="inq_1")
PAID = """{"id": "pay_77", "reference_id": "0198c0ffee", "inquiry_id": "inq_1",
  "product_code": "afya-premium", "account_number": "123456789", "amount": 500,
  "status": "SUCCEEDED", "receipt_number": "AFYA/2026-11 #4471"}"""
FILE = {
    "family": "xendit",
    "refused_codes": ("BILLER_REJECTED", "ACCOUNT_CLOSED"),
    "refused_first_codes": (
        "AMOUNT_NOT_ALLOWED", "INQUIRY_EXPIRED", "INQUIRY_NOT_FOUND", "INSUFFICIENT_BALANCE",
        "INVALID_API_KEY",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def rules(demo: Market) -> Biller:
    return market_with(demo, "afyax", **FILE).billers["afyax"]


def changed(**fields: Any) -> dict[str, Any]:
    return {**json.loads(PAID), **fields}


def failed(code: str) -> dict[str, Any]:
    return changed(status="FAILED", failure_code=code, receipt_number=None)


PAYMENTS: list[tuple[dict[str, Any], str, str]] = [
    (changed(), "paid", "paid"),
    (changed(status="PENDING"), "unknown", "pending"),
    (changed(status="VOIDED"), "unknown", "code_not_final"),
    (failed("BILLER_REJECTED"), "refused", "refused"),
    (failed("ACCOUNT_CLOSED"), "refused", "refused"),
    (failed("INSUFFICIENT_BALANCE"), "refused_first", "refused_first"),
    (failed("BILLER_TIMEOUT"), "unknown", "code_not_final"),
    (failed(""), "unknown", "code_not_final"),
    # A success that names a refusal says two things; what it says of itself is its status.
    (changed(failure_code="BILLER_REJECTED"), "paid", "paid"),
    (changed(status="PENDING", failure_code="BILLER_REJECTED"), "unknown", "pending"),
    # Somebody else's.
    (changed(reference_id="other"), "unknown", "other_reference"),
    (changed(reference_id=None), "unknown", "other_reference"),
    (changed(inquiry_id="inq_2"), "unknown", "other_inquiry"),
    (changed(account_number="123456788"), "unknown", "other_customer"),
    (changed(product_code="bima"), "unknown", "other_product"),
    (changed(id="pay 77/../x"), "unknown", "other_transaction"),
    (changed(id=77), "unknown", "other_transaction"),
    (changed(amount=501), "unknown", "other_amount"),
    (changed(amount=50_000), "unknown", "other_amount"),
    (changed(amount=None), "unknown", "other_amount"),
    (changed(amount=500.0), "unknown", "other_amount"),
    (failed("BILLER_REJECTED") | {"amount": 1}, "unknown", "other_amount"),
    # Not this biller's format.
    (changed(status=None), "unknown", "body_foreign"),
    (changed(status="succeeded"), "unknown", "body_foreign"),
    (changed(failure_code=7), "unknown", "body_foreign"),
    ({"ok": True}, "unknown", "body_foreign"),
]


@pytest.mark.parametrize(("body", "outcome", "reason"), PAYMENTS)
def test_what_a_payment_means(
    rules: Biller, body: dict[str, Any], outcome: str, reason: str
) -> None:
    answer = read_payment(body, ORDER, rules, KES)
    assert (answer.outcome, answer.reason) == (outcome, reason)
    ours = not reason.startswith(("other_reference", "body_"))
    about_ours = not reason.startswith(("other_", "body_"))
    assert (answer.in_format, answer.biller_txn) == (ours, "pay_77" if about_ours else "")
    assert answer.receipt_no == ("AFYA/2026-11 4471" if outcome == "paid" else "")


def test_a_payment_that_was_another_one_before(rules: Biller) -> None:
    known = replace(ORDER, biller_txn="pay_76")
    assert read_payment(changed(), known, rules, KES).reason == "other_transaction"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"token": table.TOKENS[0]}, 1),
        ({"tokens": list(table.TOKENS)}, 3),
        ({"token": table.TOKENS[1], "tokens": [table.TOKENS[0]]}, 1),
        ({"tokens": [*table.TOKENS, "1" * 20]}, 0),
        ({"tokens": [table.TOKENS[0], table.TOKENS[0]]}, 0),
        ({"tokens": [table.TOKENS[0], 7]}, 0),
        ({"token": "73786976294838206464"}, 0),
        ({"token": "1" * 19}, 0),
        ({"tokens": []}, 0),
        ({}, 0),
    ],
)
def test_tokens_are_what_a_meter_takes(rules: Biller, fields: dict[str, Any], found: int) -> None:
    answer = read_payment(changed(**fields), TOKEN_ORDER, rules, KES)
    assert len(answer.tokens) == found
    assert answer.reason == ("paid" if found else "paid_without_token")
    assert answer.outcome == ("paid" if found else "unknown")
    assert answer.biller_txn == "pay_77"


ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"error_code": "INQUIRY_EXPIRED"}, "refused_first", "refused_first"),
    ({"error_code": "INSUFFICIENT_BALANCE"}, "refused_first", "refused_first"),
    # It formed nothing, so it is no word on a payment that was formed.
    ({"error_code": "BILLER_REJECTED"}, "refused_first", "refused_first"),
    ({"error_code": "IDEMPOTENCY_ERROR"}, "unknown", "code_not_final"),
    ({"error_code": "RATE_LIMIT_EXCEEDED"}, "unknown", "code_not_final"),
    ({"error_code": "INQUIRY_EXPIRED", "reference_id": "other"}, "unknown", "other_reference"),
    ({"error_code": "INQUIRY_EXPIRED", "reference_id": None}, "unknown", "other_reference"),
    ({"error_code": 400}, "unknown", "body_foreign"),
    ({"error": "bad gateway"}, "unknown", "body_foreign"),
    # A success that comes as an error is none.
    (json.loads(PAID), "unknown", "body_foreign"),
]


@pytest.mark.parametrize(("body", "outcome", "reason"), ERRORS)
def test_what_an_error_means(
    rules: Biller, body: dict[str, Any], outcome: str, reason: str
) -> None:
    answer = read_error({"reference_id": "0198c0ffee", **body}, ORDER, rules)
    assert (answer.outcome, answer.reason) == (outcome, reason)


def test_what_is_found_under_our_reference(rules: Biller) -> None:
    def found(data: object) -> tuple[str, str, bool]:
        answer = read_found({"data": data}, ORDER, rules, KES)
        return answer.outcome, answer.reason, answer.in_format

    assert found([]) == ("absent", "absent", True)
    assert found([json.loads(PAID)]) == ("paid", "paid", True)
    assert found([changed(reference_id="other")]) == ("unknown", "other_reference", False)
    for foreign in (None, {}, [7], [json.loads(PAID)] * 2, ""):
        assert found(foreign) == ("unknown", "body_foreign", False)


BILL = """{"id": "inq_9", "product_code": "afya-premium", "account_number": "123456789",
  "customer_name": "GRACE  KAMAU", "currency": "KES", "amount": 500, "min_amount": 1,
  "max_amount": 10000000, "expires_at": "2026-11-27T10:00:00+00:00",
  "items": [{"name": "Premium", "period": "202608", "amount": 300, "penalty": 20},
            {"name": "Cover of a child <b>", "amount": 180}]}"""


def inquired(status: int = 200, **fields: Any) -> Any:
    reply = Reply(status, {**json.loads(BILL), **fields})
    return read_inquiry(reply, "afya-premium", "123456789", KES)


def test_a_bill_has_its_lines() -> None:
    bill = inquired()
    assert (bill.name, bill.owed_minor, bill.bill_ref) == ("GRACE KAMAU", 50_000, "inq_9")
    assert bill.lines == (Line("08/2026", 30_000, 2_000), Line("Cover of a child b", 18_000))


def test_an_open_amount_owes_nothing() -> None:
    bill = inquired(amount=0, items=[])
    assert (bill.owed_minor, bill.lines, bill.bill_ref) == (None, (), "inq_9")


def test_an_unknown_account() -> None:
    error = {"error_code": "ACCOUNT_NOT_FOUND", "message": "There is no such account"}
    assert read_inquiry(Reply(404, error), "afya-premium", "123456789", KES) is None


@pytest.mark.parametrize(
    ("status", "fields", "reason", "in_format"),
    [
        (409, {"error_code": "NO_OUTSTANDING_BILL"}, "nothing_owed", True),
        (422, {"error_code": "INQUIRY_REJECTED"}, "code_not_final", True),
        (404, {"error_code": None}, "body_foreign", False),
        (200, {"account_number": "123456788"}, "other_customer", True),
        (200, {"product_code": "bima"}, "other_product", True),
        (200, {"currency": "IDR"}, "other_currency", True),
        (200, {"customer_name": ""}, "nameless", True),
        (200, {"id": "../x"}, "body_foreign", False),
        (200, {"amount": "much"}, "owed_unreadable", True),
        (200, {"amount": 501}, "lines_differ", True),
        (200, {"items": [7]}, "lines_unreadable", True),
        (200, {"items": [{"name": "x", "amount": -1}]}, "lines_unreadable", True),
    ],
)
def test_what_names_nobody(
    status: int, fields: dict[str, Any], reason: str, in_format: bool
) -> None:
    with pytest.raises(InquiryError) as raised:
        inquired(status, **fields)
    assert (raised.value.reason, raised.value.in_format) == (reason, in_format)
    assert raised.value.nothing_owed == (reason == "nothing_owed")


# ---- webhooks


def signed(body: bytes, stamp: object, secret: str = table.WEBHOOK_SECRET) -> dict[str, str]:
    text = f"{stamp}.".encode() + body
    return {
        "x-callback-timestamp": str(stamp),
        "x-callback-signature": hmac.new(secret.encode(), text, hashlib.sha256).hexdigest(),
    }


def wire(rules: Biller, secret: str = table.WEBHOOK_SECRET) -> Xendit:
    account = {"url": "http://127.0.0.1:9", "username": "", "api_key": "key"}
    credentials = BillerCredentials.model_validate({**account, "webhook_secret": secret})
    return Xendit("afyax", rules, credentials, KES)


TOLD = json.dumps({"event": "payment.updated", "data": json.loads(PAID)}).encode()
AT = 1_790_000_000
NOW = datetime.fromtimestamp(AT, UTC)


@pytest.mark.parametrize("stamp", [AT, AT - 300, AT + 300])
def test_a_webhook_says_what_became_of_it(rules: Biller, stamp: int) -> None:
    heard = wire(rules).hear(signed(TOLD, stamp), TOLD, NOW)
    assert heard.biller_ref == "0198c0ffee"
    assert heard.judge
    answer = heard.judge(ORDER)
    assert (answer.outcome, answer.biller_txn) == ("paid", "pay_77")


def other(**fields: Any) -> bytes:
    return json.dumps({**json.loads(TOLD), **fields}).encode()


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, TOLD, "unsigned"),
        ({"x-callback-timestamp": str(AT)}, TOLD, "unsigned"),
        (signed(TOLD, "now"), TOLD, "unsigned"),
        (signed(TOLD, -AT), TOLD, "unsigned"),
        (signed(TOLD, AT, "wrong"), TOLD, "signature_wrong"),
        (signed(TOLD, AT), TOLD + b" ", "signature_wrong"),
        # The time is signed too: an old webhook gets no new one.
        (signed(TOLD, AT - 9000) | {"x-callback-timestamp": str(AT)}, TOLD, "signature_wrong"),
        (signed(TOLD, AT - 301), TOLD, "too_old"),
        (signed(TOLD, AT + 301), TOLD, "too_old"),
        (signed(b"{}", AT), b"{}", "body_foreign"),
        (signed(b"[", AT), b"[", "body_foreign"),
        (signed(other(event="payout"), AT), other(event="payout"), "body_foreign"),
        (signed(other(data=[]), AT), other(data=[]), "body_foreign"),
        (signed(other(data={"reference_id": 7}), AT), other(data={"reference_id": 7}),
         "body_foreign"),
    ],
)  # fmt: skip
def test_a_webhook_that_is_not_the_billers(
    rules: Biller, headers: dict[str, str], body: bytes, reason: str
) -> None:
    with pytest.raises(WebhookError) as raised:
        wire(rules).hear(headers, body, NOW)
    assert raised.value.reason == reason


def test_without_a_secret_nobody_is_believed(rules: Biller) -> None:
    with pytest.raises(WebhookError, match="unsigned"):
        wire(rules, secret="").hear(signed(TOLD, AT, ""), TOLD, NOW)


# ---- every fault, against PostgreSQL


@contextmanager
def serve(till: Till) -> Iterator[str]:
    """Such a biller on a real socket: inquiry, payment under its key, and both questions."""
    asked_for: dict[str, dict[str, Any]] = {}

    def answered(asked: Asked) -> object:
        assert asked.headers["authorization"] == "Basic a2V5Og=="  # key, and an empty password
        if asked.path == "/v1/inquiry":
            return inquiry(asked.body)
        if asked.method == "POST":
            assert asked.headers["idempotency-key"] == asked.body["reference_id"]
            asked_for[asked.body["reference_id"]] = asked.body
            return told(asked.body["reference_id"], buys=True)
        if asked.path == "/v1/payment":
            return told(asked.query["reference_id"], buys=False, listed=True)
        return told(asked.path.removeprefix("/v1/payment/pay_"), buys=False)

    def inquiry(body: dict[str, Any]) -> object:
        found = {
            "id": f"inq_{body['account_number']}", **body, "customer_name": "GRACE KAMAU",
            "currency": "KES", "amount": 0, "items": [],
        }  # fmt: skip
        till.bills[found["id"]] = body
        return found

    def told(ref: str, *, buys: bool, listed: bool = False) -> object:
        payment = asked_for[ref]
        bill = till.bills[payment["inquiry_id"]]
        said = till.take(
            ref, bill["account_number"], bill["product_code"], payment["amount"] * 100, buys=buys
        )
        status, body = in_words(said.word, said.sale)
        if listed and status == 200:
            body = {"data": [body]}
        if said.word == "absent":
            status, body = (200, {"data": []}) if listed else (404, body)
        return table.over_http(said, body, status)

    with served(answered) as url:
        yield url


def in_words(word: Word, sale: Sale) -> tuple[int, dict[str, Any]]:
    errors = {"absent": 404, "not_formed": 410, "duplicate": 409}
    if word in errors:
        code = {
            "absent": "PAYMENT_NOT_FOUND",
            "not_formed": "INQUIRY_EXPIRED",
            "duplicate": "IDEMPOTENCY_ERROR",
        }[word]
        return errors[word], {"error_code": code, "reference_id": sale.ref, "message": "words"}
    payment = {
        "id": f"pay_{sale.ref}", "reference_id": sale.ref, "inquiry_id": f"inq_{sale.customer_no}",
        "product_code": sale.sku, "account_number": sale.customer_no, "amount": sale.amount,
        "status": {"sold": "SUCCEEDED", "pending": "PENDING", "refused": "FAILED"}[word],
    }  # fmt: skip
    if word == "refused":
        payment["failure_code"] = "BILLER_REJECTED"
    if word == "sold":
        payment |= {"receipt_number": sale.receipt, "tokens": list(sale.tokens)}
    return 200, payment


def webhook(sale: Sale, word: Word) -> tuple[dict[str, str], bytes]:
    _, payment = in_words(word, sale)
    body = json.dumps({"event": "payment.updated", "data": payment}).encode()
    return signed(body, int(time.time())), body


KIT = table.Kit(
    family="xendit",
    serve=serve,
    rules=FILE,
    product={"sells": "token", "pay": "any"},
    webhook=webhook,
)
ROWS = table.rows(KIT)


@pytest.fixture(scope="module")
def seen(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, KIT, ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_it(seen: dict[str, Seen], row: table.Row) -> None:
    table.check(row, seen[row.name])


def test_a_bill_is_inquired_over_the_wire(demo: Market) -> None:
    market = market_with(demo, "afyax", **FILE)
    till = Till()
    with serve(till) as url:
        account = {"url": url, "username": "", "api_key": "key"}
        settings = Settings.model_validate({"biller_credentials": {"afyax": account}})
        family = wires(market, settings)["afyax"]
        (product,) = market.billers["afyax"].products
        bill = family.inquire(product, "54100234563", "unused")
    assert bill
    assert till.bills[bill.bill_ref]["product_code"] == product.sku
    assert AMOUNT % KES.minor_per_major == 0
