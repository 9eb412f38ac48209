"""Whatever a biller writes into a field, reading it raises nothing and sells nothing by mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.billers.protocols import digiflazz, digiflazz_postpaid, iak, iak_postpaid
from app.billers.protocols.answers import Answer, Bill, InquiryError, Order
from app.billers.protocols.http import Reply
from app.markets.billers import Biller
from app.markets.model import Market
from app.money import Currency
from tests.billers.protocols import digiflazz_words, iak_words
from tests.billers.protocols.test_digiflazz_postpaid import words
from tests.billers.table import TOKENS, Sale

KES = Currency("KES", 2)
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 10**400, float("nan"), float("inf"), "", " ", "\0",
    "00 ", "٠٠", "\ud800", "9" * 5000, "-1", "1e3", [], {}, [{}], {"detail": 5},
    {"tagihan": {"detail": [None]}},
]  # fmt: skip
SALE = Sale("0198c0ffee", "54100234563", "sku", 50_000, "sold", TOKENS[:1], "R1", {"tr_id": 7})
TOKEN = Order(SALE.ref, SALE.sku, SALE.customer_no, SALE.amount_minor)
BILL = Order(SALE.ref, SALE.sku, SALE.customer_no, SALE.amount_minor, False, True, bill_ref="7")
Data = dict[str, Any]
Read = Callable[[Data, Biller], Answer]

# Family → a sale's data, how it is read, and the fields without which it is none.
SALES: dict[str, tuple[Data, Read, set[str]]] = {
    "digiflazz_prepaid": (
        digiflazz_words.data_of(SALE, "sold"),
        lambda data, rules: digiflazz.read_transaction({"data": data}, TOKEN, rules, KES),
        {"ref_id", "customer_no", "buyer_sku_code", "status", "rc", "sn", "price"},
    ),
    "digiflazz_postpaid": (
        words(SALE, "sold"),
        lambda data, rules: digiflazz_postpaid.read_status({"data": data}, BILL, rules, KES),
        {"ref_id", "customer_no", "buyer_sku_code", "status", "rc", "selling_price"},
    ),
    "iak_prepaid": (
        iak_words.prepaid(SALE, "sold"),
        lambda data, rules: iak.read_transaction(Reply(200, {"data": data}), TOKEN, rules, KES),
        {"ref_id", "customer_id", "product_code", "status", "rc", "sn", "price"},
    ),
    "iak_postpaid": (
        iak_words.postpaid(SALE, "sold"),
        lambda data, rules: iak_postpaid.read_payment(
            Reply(200, {"data": data}), BILL, rules, KES, asked=True
        ),
        {"ref_id", "hp", "code", "status", "response_code", "selling_price", "tr_id"},
    ),
}


@pytest.mark.parametrize("family", SALES)
def test_an_odd_value_makes_no_sale_and_no_refusal(demo: Market, family: str) -> None:
    data, read, needed = SALES[family]
    rules = demo.billers["stima"].model_copy(update=iak_words.CODES)
    assert read(data, rules).outcome == "paid"
    for name in data:
        for odd in ODD:
            if odd == data[name]:  # True is 1 too
                continue
            answer = read({**data, name: odd}, rules)
            assert answer.outcome == ("unknown" if name in needed else "paid"), (name, odd)
            assert all(len(text) <= 20 for text in (answer.code, answer.receipt_no))
            assert "\0" not in answer.receipt_no + answer.biller_txn + answer.code
        less = {key: value for key, value in data.items() if key != name}
        assert read(less, rules).outcome in ("unknown", "paid"), name


@pytest.mark.parametrize("family", ["digiflazz_postpaid", "iak_postpaid"])
def test_an_odd_value_makes_no_other_bill(family: str) -> None:
    data = SALES[family][0]

    def bill_of(changed: Data) -> Bill | None:
        if family == "digiflazz_postpaid":
            return digiflazz_postpaid.read_inquiry({"data": changed}, BILL, KES)
        return iak_postpaid.read_inquiry(Reply(200, {"data": changed}), BILL, KES)

    for name in data:
        for odd in ODD:
            try:
                bill = bill_of({**data, name: odd})
            except InquiryError:
                continue
            assert bill, (name, odd)
            assert (bill.customer_no, bill.owed_minor) == (SALE.customer_no, 50_000), (name, odd)
