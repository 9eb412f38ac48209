"""The wire of the IAK-like family, prepaid: what we send, and what each literal answer means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import Any

import pytest

from app.billers.protocols.answers import Bill, InquiryError, Order
from app.billers.protocols.http import Reply
from app.billers.protocols.iak import IakPrepaid, read_inquiry, read_transaction
from app.db import Database
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials
from tests.billers import played, table
from tests.billers.played import Asked
from tests.billers.protocols.iak_words import CODES, RESULTS, callback, prepaid
from tests.billers.stage import AMOUNT
from tests.billers.table import (
    CAPTURED,
    HONEST,
    LOST,
    RELEASED,
    Kit,
    Play,
    Row,
    Seen,
    Till,
    over_http,
)

KES = Currency("KES", 2)
ORDER = Order("0198c0ffee", "pln50", "54100234563", 50_000)
TOKENS = ("73786976294838206463", "00000000000000000001")
SERIAL = "7378-6976-2948-3820-6463;00000000000000000001/GRACE KAMAU/R1/1300VA/12.4"
SOLD = """{"data": {"ref_id": "0198c0ffee", "status": 1, "product_code": "pln50",
  "customer_id": "54100234563", "price": 500, "message": "SUCCESS", "balance": 990000,
  "tr_id": 9968, "rc": "00", "sn": "%s"}}"""
REFUSED = {"status": 2, "sn": ""}
NOT_FORMED = {"status": 2, "product_code": "", "customer_id": "", "price": 0, "tr_id": 0}


def reply(http: int = 200, /, **fields: Any) -> Reply:
    body = json.loads(SOLD % SERIAL)
    body["data"] |= fields
    return Reply(http, body)


# Fields, HTTP status → what they mean.
ANSWERS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 200, "paid paid"),
    ({"status": "1", "price": "500"}, 200, "paid paid"),
    ({"sn": ""}, 200, "unknown paid_without_token"),
    ({"sn": "73786976294838206464/GRACE"}, 200, "unknown paid_without_token"),
    ({"sn": f"{TOKENS[0]};{TOKENS[0]}/GRACE"}, 200, "unknown paid_without_token"),
    ({"sn": None}, 200, "unknown paid_without_token"),
    ({"rc": "39", "status": 0, "sn": ""}, 200, "unknown pending"),
    ({"rc": "05", "status": 0}, 200, "unknown pending"),
    ({"rc": "07", **REFUSED}, 200, "refused refused"),
    ({"rc": "14", **REFUSED}, 200, "refused refused"),
    ({"rc": "14", **NOT_FORMED}, 400, "refused refused"),
    ({"rc": "17", **NOT_FORMED}, 400, "refused_first refused_first"),
    ({"rc": "20", **NOT_FORMED}, 400, "refused_first refused_first"),
    ({"rc": "20", **NOT_FORMED}, 200, "refused_first refused_first"),
    ({"rc": "06", **NOT_FORMED}, 400, "absent absent"),
    # Its table says that 400 has failed; ours asks for a code that the file lists.
    ({"rc": "11", **NOT_FORMED}, 400, "unknown code_not_final"),
    ({"rc": "102", **NOT_FORMED}, 400, "unknown code_not_final"),
    ({"rc": "07", "status": 0}, 400, "unknown code_not_final"),
    ({"rc": "07", "status": 1}, 200, "unknown code_not_final"),
    ({"rc": "07", "status": ""}, 200, "unknown code_not_final"),
    ({"rc": "06", "status": 0}, 200, "unknown code_not_final"),
    ({}, 400, "unknown code_not_final"),
    ({"status": 0}, 200, "unknown code_not_final"),
    ({"status": 2}, 200, "unknown code_not_final"),
    ({"status": ""}, 200, "unknown code_not_final"),
    # Somebody else's answer.
    ({"ref_id": "other"}, 200, "unknown other_reference"),
    ({"ref_id": "", "rc": "17", "status": 2}, 400, "unknown other_reference"),
    ({"ref_id": "other", "rc": "06", "status": 2}, 400, "unknown other_reference"),
    ({"customer_id": "54100234571"}, 200, "unknown other_customer"),
    ({"customer_id": ""}, 200, "unknown other_customer"),
    ({"customer_id": "54100234571", "rc": "07", "status": 2}, 200, "unknown other_customer"),
    ({"product_code": "pln100"}, 200, "unknown other_product"),
    ({"product_code": None}, 200, "unknown other_product"),
    ({"price": 501}, 200, "unknown other_amount"),
    ({"price": 50_000}, 200, "unknown other_amount"),
    ({"price": None}, 200, "unknown other_amount"),
    # Not this biller's format.
    ({"rc": 0}, 200, "unknown body_foreign"),
    ({"rc": None}, 200, "unknown body_foreign"),
    ({"rc": "0x"}, 200, "unknown body_foreign"),
    ({"status": 3}, 200, "unknown body_foreign"),
    ({"status": True}, 200, "unknown body_foreign"),
    ({"status": None}, 200, "unknown body_foreign"),
    ({"status": []}, 400, "unknown body_foreign"),
]


@pytest.fixture
def rules(demo: Market) -> Any:
    return demo.billers["stima"].model_copy(update=CODES)


@pytest.mark.parametrize(("fields", "status", "meaning"), ANSWERS)
def test_what_an_answer_means(
    rules: Any, fields: dict[str, Any], status: int, meaning: str
) -> None:
    answer = read_transaction(reply(status, **fields), ORDER, rules, KES, absent="06")
    assert f"{answer.outcome} {answer.reason}" == meaning
    assert answer.in_format == (not answer.reason.startswith(("other_reference", "body_")))
    is_paid = answer.outcome == "paid"
    assert answer.tokens == (TOKENS if is_paid or answer.reason == "other_amount" else ())
    assert answer.deposit_minor == (99_000_000 if is_paid else None)
    if is_paid or answer.reason == "pending":
        assert answer.biller_txn == "9968"


def test_a_foreign_body_means_nothing(rules: Any) -> None:
    for body in ({}, {"data": None}, {"data": []}, {"rc": "07", "status": 2}):
        for status in (200, 400):
            answer = read_transaction(Reply(status, body), ORDER, rules, KES)
            assert (answer.outcome, answer.reason) == ("unknown", "body_foreign")


def test_not_found_in_answer_to_a_purchase_decides_nothing(rules: Any) -> None:
    answer = read_transaction(reply(400, rc="06", **NOT_FORMED), ORDER, rules, KES)
    assert (answer.outcome, answer.reason) == ("unknown", "code_not_final")


def test_what_is_no_token_has_a_receipt(rules: Any) -> None:
    order = Order("0198c0ffee", "pln50", "54100234563", 50_000, sells_token=False)
    answer = read_transaction(reply(sn="20260801\x00/77<1>"), order, rules, KES)
    assert (answer.outcome, answer.tokens, answer.receipt_no) == ("paid", (), "20260801/771")


NAMED = {
    "status": "1", "customer_id": "54100234563", "meter_no": "54100234563",
    "subscriber_id": "523300817840", "name": "GRACE  \x00KAMAU", "segment_power": "R1 /000001300",
    "message": "SUCCESS", "rc": "00",
}  # fmt: skip
NO_NAMES: list[tuple[dict[str, Any], int, str, bool]] = [
    ({"customer_id": "54100234571"}, 200, "other_customer", True),
    ({"customer_id": ""}, 200, "other_customer", True),
    ({"customer_id": "54100234571", "status": "2", "rc": "14"}, 200, "other_customer", True),
    ({"name": ""}, 200, "nameless", True),
    ({"rc": "102", "status": 2, "customer_id": ""}, 400, "code_not_final", True),
    ({"rc": "07", "status": "2"}, 200, "code_not_final", True),
    ({"rc": "14", "status": "1"}, 200, "code_not_final", True),
    ({}, 400, "code_not_final", True),
    ({"rc": None}, 200, "body_foreign", False),
]


def test_what_a_name_check_means() -> None:
    assert read_inquiry(Reply(200, {"data": NAMED}), "54100234563") == Bill(
        "54100234563", "GRACE KAMAU"
    )
    unknown = NAMED | {"status": "2", "rc": "14", "name": ""}
    assert read_inquiry(Reply(200, {"data": unknown}), "54100234563") is None


@pytest.mark.parametrize(("fields", "status", "reason", "in_format"), NO_NAMES)
def test_a_name_check_without_a_name(
    fields: dict[str, Any], status: int, reason: str, in_format: bool
) -> None:
    with pytest.raises(InquiryError, match=reason) as raised:
        read_inquiry(Reply(status, {"data": NAMED | fields}), "54100234563")
    assert raised.value.in_format == in_format


def test_what_we_send(rules: Any) -> None:
    asked: list[Asked] = []

    def answered(one: Asked) -> object:
        asked.append(one)
        return {"data": NAMED} if one.path == "/api/inquiry-pln" else reply().body

    with played.served(answered) as url:
        account = BillerCredentials(url=url, username="kibanda", api_key="key")  # type: ignore[arg-type]
        wire = IakPrepaid("stima", rules, account, KES)
        assert wire.inquire(rules.products[0], "54100234563", "")
        assert wire.pay(ORDER).outcome == "paid"
        assert wire.follow_up(ORDER).outcome == "paid"

    def signed(subject: str, **body: str) -> dict[str, str]:
        sign = md5(f"kibandakey{subject}".encode()).hexdigest()
        return {"username": "kibanda", **body, "sign": sign}

    reference = {"ref_id": "0198c0ffee"}
    bought = {"customer_id": "54100234563", "product_code": "pln50"}
    assert [(one.method, one.path, one.body) for one in asked] == [
        ("POST", "/api/inquiry-pln", signed("54100234563", customer_id="54100234563")),
        ("POST", "/api/top-up", signed("0198c0ffee", **reference, **bought)),
        ("POST", "/api/check-status", signed("0198c0ffee", **reference)),
    ]


# --- through the real settlement ---


@contextmanager
def served(till: Till) -> Iterator[str]:
    """Such a biller: the first answer is PROCESS where the purchase was just formed."""
    orders: dict[str, tuple[str, str]] = {}

    def answered(asked: Asked) -> object:
        body = asked.body
        ref, buys = body["ref_id"], asked.path == "/api/top-up"
        if buys:
            orders[ref] = (body["customer_id"], body["product_code"])
        said = till.take(ref, *orders[ref], AMOUNT, buys=buys)
        return over_http(said, {"data": prepaid(said.sale, said.word)}, RESULTS[said.word][2])

    with played.served(answered) as url:
        yield url


KIT = Kit(
    family="iak_prepaid",
    serve=served,
    rules=CODES,
    product={
        "sells": "token",
        "pay": "fixed",
        "price_minor": AMOUNT,
        "min_minor": None,
        "max_minor": None,
    },
    webhook=lambda sale, word: callback(prepaid(sale, word)),
    signed=False,
)
PROCESS = Play(says="pending")
ROWS = table.rows(
    KIT,
    Row("first PROCESS, then sold", (PROCESS, HONEST), CAPTURED),
    Row("first PROCESS, then failed", (Play(does="refuse", says="pending"), HONEST), RELEASED),
    Row("a repetition judged with 400", (LOST, Play(says="duplicate"), HONEST), CAPTURED),
)


@pytest.fixture(scope="module")
def seen(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, KIT, ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_a_payment(seen: dict[str, Seen], row: Row) -> None:
    table.check(row, seen[row.name])
