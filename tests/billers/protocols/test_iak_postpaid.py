"""The wire of the IAK-like family, postpaid: bills, payments, questions; literal answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import Any

import pytest

from app.billers.protocols.answers import Bill, InquiryError, Line, Order
from app.billers.protocols.http import Reply
from app.billers.protocols.iak_postpaid import IakPostpaid, read_inquiry, read_payment
from app.db import Database
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials
from tests.billers import played, table
from tests.billers.played import Asked
from tests.billers.protocols.iak_words import CODES, RESULTS, callback, postpaid
from tests.billers.stage import AMOUNT
from tests.billers.table import Kit, Sale, Seen, Till, over_http

KES = Currency("KES", 2)
ORDER = Order(
    "0198c0ffee", "pdam", "54100234563", 24_750_000, sells_token=False, owes=True, bill_ref="9968"
)
BILL = """{"data": {"tr_id": 9968, "code": "pdam", "hp": "54100234563", "tr_name": "GRACE KAMAU",
  "period": "202608,202609", "nominal": 242500, "admin": 5000, "ref_id": "0198c0ffee",
  "response_code": "00", "message": "INQUIRY SUCCESS", "price": 246000, "selling_price": 247500,
  "desc": {"lembar_tagihan": 2, "tagihan": {"detail": [
    {"periode": "202608", "nilai_tagihan": 120000, "admin": "2500", "denda": 5000, "total": 127500},
    {"periode": "202609", "nilai_tagihan": "117500", "admin": 2500, "denda": "0", "total": 120000}
  ]}}}, "meta": []}"""
PAID = {"noref": "S1234554321N", "balance": 990_000, "message": "PAYMENT SUCCESS"}


def reply(http: int = 200, /, **fields: Any) -> Reply:
    body = json.loads(BILL)
    body["data"] |= fields
    return Reply(http, body)


def code(written: str, **more: Any) -> dict[str, Any]:
    return {"response_code": written, "noref": "", **more}


NOBODY: dict[str, Any] = {"tr_id": 0, "code": "", "hp": ""}
# Fields, HTTP status → what they mean as the answer to a payment, and to a question.
ANSWERS: list[tuple[dict[str, Any], int, str, str]] = [
    (PAID | {"status": 1}, 200, "paid paid", "paid paid"),
    # To a payment the biller may answer without a status, but with its number of the sale.
    (PAID, 200, "paid paid", "unknown code_not_final"),
    (PAID | {"noref": ""}, 200, "unknown code_not_final", "unknown code_not_final"),
    ({}, 200, "unknown code_not_final", "unknown code_not_final"),
    (PAID | {"status": 0}, 200, "unknown code_not_final", "unknown code_not_final"),
    (PAID | {"status": 2}, 200, "unknown code_not_final", "unknown code_not_final"),
    (PAID | {"status": 1}, 400, "unknown code_not_final", "unknown code_not_final"),
    (code("39"), 200, "unknown pending", "unknown pending"),
    (code("05", status=0), 200, "unknown pending", "unknown pending"),
    (code("37"), 200, "refused refused", "unknown code_not_final"),
    (code("37", status=2), 200, "refused refused", "refused refused"),
    (code("37", status=2), 400, "refused refused", "refused refused"),
    (code("37", status=0), 200, "unknown code_not_final", "unknown code_not_final"),
    (code("37", status=1), 200, "unknown code_not_final", "unknown code_not_final"),
    (code("17", status=2), 400, "refused_first refused_first", "refused_first refused_first"),
    (code("11", status=2), 400, "unknown code_not_final", "unknown code_not_final"),
    (code("99"), 200, "unknown code_not_final", "unknown code_not_final"),
    # Never paid, and never heard of.
    (code("42", status=0), 200, "unknown code_not_final", "absent absent"),
    (code("42"), 200, "unknown code_not_final", "absent absent"),
    (code("42", status=1), 200, "unknown code_not_final", "unknown code_not_final"),
    (code("06", status=2, **NOBODY), 400, "unknown code_not_final", "absent absent"),
    (code("06", status=1), 200, "unknown code_not_final", "unknown code_not_final"),
    (code("06", status=2, ref_id=""), 400, "unknown other_reference", "unknown other_reference"),
    (code("42", status=0, ref_id="other"), 200,
     "unknown other_reference", "unknown other_reference"),
    # Somebody else's, or another amount.
    (PAID | {"status": 1, "ref_id": "other"}, 200,
     "unknown other_reference", "unknown other_reference"),
    (PAID | {"status": 1, "hp": "54100234571"}, 200,
     "unknown other_customer", "unknown other_customer"),
    (PAID | {"status": 1, "code": ""}, 200, "unknown other_product", "unknown other_product"),
    (PAID | {"status": 1, "tr_id": 9969}, 200, "unknown other_inquiry", "unknown other_inquiry"),
    (PAID | {"status": 1, "tr_id": 0}, 200, "unknown other_inquiry", "unknown other_inquiry"),
    (code("37", status=2, tr_id=9969), 200, "unknown other_inquiry", "unknown other_inquiry"),
    (PAID | {"status": 1, "selling_price": 247501}, 200,
     "unknown other_amount", "unknown other_amount"),
    (PAID | {"status": 1, "selling_price": None}, 200,
     "unknown other_amount", "unknown other_amount"),
    (code("37", status=3), 200, "unknown body_foreign", "unknown body_foreign"),
    ({"response_code": 37}, 400, "unknown body_foreign", "unknown body_foreign"),
]  # fmt: skip


@pytest.fixture
def rules(demo: Market) -> Any:
    return demo.billers["stima"].model_copy(update=CODES)


@pytest.mark.parametrize(("fields", "status", "paid", "asked"), ANSWERS)
def test_what_an_answer_means(
    rules: Any, fields: dict[str, Any], status: int, paid: str, asked: str
) -> None:
    for is_asked, meaning in ((False, paid), (True, asked)):
        answer = read_payment(reply(status, **fields), ORDER, rules, KES, asked=is_asked)
        assert f"{answer.outcome} {answer.reason}" == meaning
        assert answer.in_format == (not answer.reason.startswith(("other_reference", "body_")))
        is_paid = answer.reason == "paid"
        assert answer.receipt_no == ("S1234554321N" if is_paid else "")
        assert answer.deposit_minor == (99_000_000 if is_paid else None)


def test_a_foreign_body_means_nothing(rules: Any) -> None:
    for body in ({}, {"data": None}, {"data": []}, {"response_code": "37", "status": 2}):
        for status in (200, 400):
            answer = read_payment(Reply(status, body), ORDER, rules, KES, asked=True)
            assert (answer.outcome, answer.reason) == ("unknown", "body_foreign")


def test_what_a_bill_means() -> None:
    assert read_inquiry(reply(), ORDER, KES) == Bill(
        "54100234563",
        "GRACE KAMAU",
        24_750_000,
        (Line("08/2026", 12_250_000, 500_000), Line("09/2026", 12_000_000)),
        bill_ref="9968",
    )
    for without in ({}, None, {"tagihan": None}, {"tagihan": {}}, {"tagihan": []}):
        bill = read_inquiry(reply(desc=without), ORDER, KES)
        assert bill
        assert (bill.owed_minor, bill.lines) == (24_750_000, ())
    for status in (200, 400):
        assert read_inquiry(reply(status, response_code="14", **NOBODY), ORDER, KES) is None


NO_BILLS: list[tuple[dict[str, Any], int, str, bool]] = [
    ({"response_code": "01", **NOBODY}, 200, "nothing_owed", True),
    ({"selling_price": 0, "desc": {}}, 200, "nothing_owed", True),
    ({"response_code": "37"}, 200, "code_not_final", True),
    ({"response_code": "102", **NOBODY}, 400, "code_not_final", True),
    ({}, 400, "code_not_final", True),
    ({"tr_name": ""}, 200, "nameless", True),
    ({"tr_id": 0}, 200, "unnumbered", True),
    ({"tr_id": "9968"}, 200, "unnumbered", True),
    ({"tr_id": True}, 200, "unnumbered", True),
    ({"tr_id": 10**18}, 200, "unnumbered", True),
    ({"selling_price": None}, 200, "owed_unreadable", True),
    ({"selling_price": 247400}, 200, "lines_differ", True),
    ({"ref_id": "other"}, 200, "other_reference", False),
    ({"hp": ""}, 200, "other_customer", True),
    ({"code": "other", "response_code": "14"}, 200, "other_product", True),
    ({"ref_id": "", "response_code": "01"}, 200, "other_reference", False),
    ({"response_code": None}, 200, "body_foreign", False),
]


@pytest.mark.parametrize(("fields", "status", "reason", "in_format"), NO_BILLS)
def test_an_inquiry_without_a_bill(
    fields: dict[str, Any], status: int, reason: str, in_format: bool
) -> None:
    with pytest.raises(InquiryError, match=reason) as raised:
        read_inquiry(reply(status, **fields), ORDER, KES)
    assert raised.value.in_format == in_format
    assert raised.value.nothing_owed == (reason == "nothing_owed")


def test_what_we_send(rules: Any) -> None:
    asked: list[Asked] = []

    def answered(one: Asked) -> object:
        asked.append(one)
        return reply(**({} if "code" in one.body else PAID | {"status": 1})).body

    with played.served(answered) as url:
        account = BillerCredentials(url=url, username="kibanda", api_key="key")  # type: ignore[arg-type]
        wire = IakPostpaid("maji", rules, account, KES)
        product = rules.products[0].model_copy(update={"sku": "pdam"})
        bill = wire.inquire(product, "54100234563", "0198c0ffee")
        assert bill
        assert wire.pay(ORDER).outcome == "paid"
        assert wire.follow_up(ORDER).outcome == "paid"

    def signed(subject: str, **body: Any) -> dict[str, Any]:
        sign = md5(f"kibandakey{subject}".encode()).hexdigest()
        return {"username": "kibanda", **body, "sign": sign}

    ref = {"ref_id": "0198c0ffee"}
    whose = {"code": "pdam", "hp": "54100234563"}
    assert {(one.method, one.path) for one in asked} == {("POST", "/api/v1/bill/check")}
    assert [one.body for one in asked] == [
        signed("0198c0ffee", commands="inq-pasca", **whose, **ref),
        signed("9968", commands="pay-pasca", tr_id=9968),
        signed("cs", commands="checkstatus", **ref),
    ]


# --- through the real settlement ---


@contextmanager
def served(till: Till) -> Iterator[str]:
    numbers: dict[int, Sale] = {}

    def sale_of(body: dict[str, Any]) -> Sale:
        if "tr_id" in body:
            return numbers[body["tr_id"]]
        return next(sale for sale in numbers.values() if sale.ref == body["ref_id"])

    def answered(asked: Asked) -> object:
        body = asked.body
        if body["commands"] == "inq-pasca":
            tr_id = len(numbers) + 1
            facts = {"tr_id": tr_id}
            bill = Sale(body["ref_id"], body["hp"], body["code"], AMOUNT, facts=facts)
            numbers[tr_id] = bill
            return {"data": {**postpaid(bill, "sold"), "status": ""}, "meta": []}
        bill = sale_of(body)
        order = (bill.ref, bill.customer_no, bill.sku, AMOUNT)
        said = till.take(*order, buys=body["commands"] == "pay-pasca")
        said.sale.facts.update(bill.facts)
        data = postpaid(said.sale, said.word)
        return over_http(said, {"data": data, "meta": []}, RESULTS[said.word][2])

    with played.served(answered) as url:
        yield url


KIT = Kit(
    family="iak_postpaid",
    serve=served,
    rules={**CODES, "same_day": True},
    product={"sells": "service", "pay": "exact"},
    webhook=lambda sale, word: callback({"ref_id": sale.ref, "status": 1, "response_code": word}),
    signed=False,
)
ROWS = table.rows(KIT)


@pytest.fixture(scope="module")
def seen(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, KIT, ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_a_payment(seen: dict[str, Seen], row: table.Row) -> None:
    table.check(row, seen[row.name])
