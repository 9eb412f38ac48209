"""The wire of the Digiflazz-like family, postpaid: bills, payments, questions; literal answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.billers.protocols.answers import Bill, InquiryError, Line, Order
from app.billers.protocols.digiflazz_postpaid import (
    DigiflazzPostpaid,
    read_inquiry,
    read_payment,
    read_status,
)
from app.db import Database
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials
from tests.billers import played, table
from tests.billers.played import Asked
from tests.billers.protocols.digiflazz_words import data_of, signed
from tests.billers.stage import AMOUNT
from tests.billers.table import Kit, Sale, Seen, Till, Word, over_http

KES = Currency("KES", 2)
ORDER = Order("0198c0ffee", "maji-bill", "54100234563", 24_750_000, sells_token=False, owes=True)
BILL = """{"data": {"ref_id": "0198c0ffee", "customer_no": "54100234563",
  "customer_name": "GRACE  \\u0000KAMAU", "buyer_sku_code": "maji-bill", "admin": 5000,
  "message": "Transaksi Sukses", "status": "Sukses", "rc": "00", "periode": "202608,202609",
  "buyer_last_saldo": 990000, "price": 246000, "selling_price": 247500, "sn": "",
  "desc": {"lembar_tagihan": 2, "detail": [
    {"periode": "202608", "nilai_tagihan": "120000", "admin": "2500", "denda": "5000"},
    {"periode": "202609", "nilai_tagihan": "117500", "admin": "2500", "denda": "0"}]}}}"""
FAILED = {"status": "Gagal", "sn": ""}


def changed(**fields: Any) -> dict[str, Any]:
    body = json.loads(BILL)
    body["data"] |= fields
    return body  # type: ignore[no-any-return]


PAID = {"sn": "S1234554321N/\x00<b>"}
# Fields of the answer → what it means as the answer to a payment, and to a question.
ANSWERS: list[tuple[dict[str, Any], str, str]] = [
    (PAID, "paid paid", "paid paid"),
    (PAID | {"selling_price": "247500"}, "paid paid", "paid paid"),
    ({"rc": "03", "status": "Pending"}, "unknown pending", "unknown pending"),
    ({"rc": "02", **FAILED}, "refused refused", "refused refused"),
    ({"rc": "54", **FAILED}, "refused refused", "refused refused"),
    ({"rc": "60", **FAILED}, "refused_first refused_first", "refused_first refused_first"),
    # To a payment: no inquiry of today under this reference. To a question: never paid.
    ({"rc": "50", **FAILED}, "refused_first refused_first", "absent absent"),
    ({"rc": "50", "status": "Pending"}, "unknown code_not_final", "unknown code_not_final"),
    ({"rc": "50", "ref_id": "other", **FAILED},
     "unknown other_reference", "unknown other_reference"),
    ({"rc": "50", "customer_no": "", **FAILED},
     "unknown other_customer", "unknown other_customer"),
    ({"rc": "01", **FAILED}, "unknown code_not_final", "unknown code_not_final"),
    ({"rc": "49", **FAILED}, "unknown code_not_final", "unknown code_not_final"),
    ({"rc": "00", "status": "Gagal"}, "unknown code_not_final", "unknown code_not_final"),
    # A sale of something else, or of another amount, is looked into.
    (PAID | {"ref_id": "other"}, "unknown other_reference", "unknown other_reference"),
    (PAID | {"customer_no": "54100234571"}, "unknown other_customer", "unknown other_customer"),
    (PAID | {"buyer_sku_code": "pulsa"}, "unknown other_product", "unknown other_product"),
    (PAID | {"selling_price": 247501}, "unknown other_amount", "unknown other_amount"),
    (PAID | {"selling_price": 24750000}, "unknown other_amount", "unknown other_amount"),
    (PAID | {"selling_price": 247500.0}, "unknown other_amount", "unknown other_amount"),
    (PAID | {"selling_price": True}, "unknown other_amount", "unknown other_amount"),
    (PAID | {"selling_price": None}, "unknown other_amount", "unknown other_amount"),
    ({"rc": 0}, "unknown body_foreign", "unknown body_foreign"),
    ({"status": None}, "unknown body_foreign", "unknown body_foreign"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "paid", "asked"), ANSWERS)
def test_what_an_answer_means(demo: Market, fields: dict[str, Any], paid: str, asked: str) -> None:
    rules = demo.billers["stima"]
    for read, meaning in ((read_payment, paid), (read_status, asked)):
        answer = read(changed(**fields), ORDER, rules, KES)
        assert f"{answer.outcome} {answer.reason}" == meaning
        assert answer.in_format == (not answer.reason.startswith(("other_reference", "body_")))
        is_paid = answer.reason == "paid"
        assert answer.receipt_no == ("S1234554321N/b" if is_paid else "")
        assert answer.deposit_minor == (99_000_000 if is_paid else None)


def test_a_foreign_body_means_nothing(demo: Market) -> None:
    for body in ({}, {"data": None}, {"data": []}, {"rc": "02", "status": "Gagal"}):
        answer = read_status(body, ORDER, demo.billers["stima"], KES)
        assert (answer.outcome, answer.reason) == ("unknown", "body_foreign")


def test_what_a_bill_means() -> None:
    assert read_inquiry(changed(), ORDER, KES) == Bill(
        "54100234563",
        "GRACE KAMAU",
        24_750_000,
        (Line("08/2026", 12_250_000, 500_000), Line("09/2026", 12_000_000)),
    )
    one = {"periode": "AUG/26 - school", "nilai_tagihan": "247500"}
    bill = read_inquiry(changed(desc={"detail": [one]}), ORDER, KES)
    assert bill
    assert bill.lines == (Line("AUG/26 - school", 24_750_000),)
    for without in ({}, None, [], {"detail": None}):
        bill = read_inquiry(changed(desc=without), ORDER, KES)
        assert bill
        assert (bill.owed_minor, bill.lines) == (24_750_000, ())
    assert read_inquiry(changed(rc="54", **FAILED), ORDER, KES) is None


MONTH = {"periode": "202608", "nilai_tagihan": "247500", "denda": "0"}
# Fields of an answer to an inquiry → the error, in the biller's format or not.
NO_BILLS: list[tuple[dict[str, Any], str, bool]] = [
    ({"rc": "60", **FAILED}, "nothing_owed", True),
    ({"selling_price": 0, "desc": {}}, "nothing_owed", True),
    ({"rc": "02", **FAILED}, "code_not_final", True),
    ({"rc": "03", "status": "Pending"}, "code_not_final", True),
    ({"rc": "54", "status": "Sukses"}, "code_not_final", True),
    ({"rc": "60", "status": "Sukses"}, "code_not_final", True),
    ({"customer_name": ""}, "nameless", True),
    ({"customer_name": None}, "nameless", True),
    ({"selling_price": None}, "owed_unreadable", True),
    ({"selling_price": -1}, "owed_unreadable", True),
    ({"selling_price": "1e3"}, "owed_unreadable", True),
    ({"selling_price": 10**12}, "owed_unreadable", True),
    ({"selling_price": 247400}, "lines_differ", True),
    ({"desc": {"detail": [{**MONTH, "denda": "1"}]}}, "lines_differ", True),
    ({"desc": {"detail": "202608"}}, "lines_unreadable", True),
    ({"desc": {"detail": ["202608"]}}, "lines_unreadable", True),
    ({"desc": {"detail": [{**MONTH, "denda": None}]}}, "lines_unreadable", True),
    ({"desc": {"detail": [{**MONTH, "denda": "-1"}]}}, "lines_unreadable", True),
    ({"desc": {"detail": [MONTH] * 101}}, "lines_unreadable", True),
    ({"ref_id": "other"}, "other_reference", False),
    ({"customer_no": "54100234571"}, "other_customer", True),
    ({"buyer_sku_code": "other", "rc": "54", **FAILED}, "other_product", True),
    ({"ref_id": "other", "rc": "60", **FAILED}, "other_reference", False),
    ({"rc": None}, "body_foreign", False),
]


@pytest.mark.parametrize(("fields", "reason", "in_format"), NO_BILLS)
def test_an_inquiry_without_a_bill(fields: dict[str, Any], reason: str, in_format: bool) -> None:
    with pytest.raises(InquiryError, match=reason) as raised:
        read_inquiry(changed(**fields), ORDER, KES)
    assert raised.value.in_format == in_format
    assert raised.value.nothing_owed == (reason == "nothing_owed")


def test_what_we_send(demo: Market) -> None:
    asked: list[Asked] = []

    def answered(one: Asked) -> object:
        asked.append(one)
        return changed(sn="S1")

    with played.served(answered) as url:
        account = BillerCredentials(url=url, username="kibanda", api_key="key")  # type: ignore[arg-type]
        wire = DigiflazzPostpaid("maji", demo.billers["stima"], account, KES)
        product = demo.billers["stima"].products[0].model_copy(update={"sku": "maji-bill"})
        bill = wire.inquire(product, "54100234563", "0198c0ffee")
        assert bill
        assert wire.pay(ORDER).outcome == "paid"
        assert wire.follow_up(ORDER).outcome == "paid"
    body = {
        "username": "kibanda",
        "buyer_sku_code": "maji-bill",
        "customer_no": "54100234563",
        "ref_id": "0198c0ffee",
        "sign": hashlib.md5(b"kibandakey0198c0ffee").hexdigest(),
    }
    assert {(one.method, one.path) for one in asked} == {("POST", "/v1/transaction")}
    assert [one.body for one in asked] == [
        {**body, "commands": command} for command in ("inq-pasca", "pay-pasca", "status-pasca")
    ]


# --- through the real settlement ---


def words(sale: Sale, word: Word) -> dict[str, Any]:
    """`data` of an answer about a bill and its payment."""
    data = {**data_of(sale, word), "sn": sale.receipt if word == "sold" else ""}
    month = {"periode": "202608", "nilai_tagihan": str(sale.amount), "admin": "0", "denda": "0"}
    return {
        **data,
        "customer_name": "GRACE KAMAU",
        "selling_price": sale.amount,
        "desc": {"lembar_tagihan": 1, "detail": [month]},
    }


@contextmanager
def served(till: Till) -> Iterator[str]:
    def answered(asked: Asked) -> object:
        body = asked.body
        order = (body["ref_id"], body["customer_no"], body["buyer_sku_code"], AMOUNT)
        if body["commands"] == "inq-pasca":
            return {"data": words(Sale(*order), "sold")}
        said = till.take(*order, buys=body["commands"] == "pay-pasca")
        return over_http(said, {"data": words(said.sale, said.word)})

    with played.served(answered) as url:
        yield url


KIT = Kit(
    family="digiflazz_postpaid",
    serve=served,
    rules={"same_day": True},
    product={"sells": "service", "pay": "exact"},
    webhook=lambda sale, word: signed({"data": words(sale, word)}),
)
ROWS = table.rows(KIT)


@pytest.fixture(scope="module")
def seen(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, KIT, ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_a_payment(seen: dict[str, Seen], row: table.Row) -> None:
    table.check(row, seen[row.name])
