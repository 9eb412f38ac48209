"""The Digiflazz-like biller of bills: inquiry, payment and status under one reference."""

import re
import time

import pytest
import requests

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import new_number, new_ref, postpaid, sold

NUMBER = "12345671"  # two open months, of which the older one has a penalty


def lines(data: dict[str, object]) -> list[dict[str, str]]:
    described = data["desc"]
    assert isinstance(described, dict)
    detail: list[dict[str, str]] = described["detail"]
    assert described["lembar_tagihan"] == len(detail)
    return detail


def test_a_bill_as_the_contract_says_paid_and_then_owed_no_more(billers: Sandbox) -> None:
    ref = new_ref()
    bill = postpaid(billers, "inq-pasca", ref, NUMBER)
    detail = lines(bill)
    periods = [one["periode"] for one in detail]
    assert [{**one, "periode": re.sub(r"\d{6}", "month", one["periode"])} for one in detail] == [
        {"periode": "month", "nilai_tagihan": "236", "admin": "0", "denda": "11"},
        {"periode": "month", "nilai_tagihan": "464", "admin": "0", "denda": "0"},
    ]
    del bill["desc"]
    assert bill == {
        "ref_id": ref,
        "customer_no": NUMBER,
        "customer_name": "GRACE MUTUA",
        "buyer_sku_code": "power",
        "admin": 0,
        "message": "Transaksi Sukses",
        "status": "Sukses",
        "rc": "00",
        "periode": ",".join(periods),
        "price": 711,
        "selling_price": 711,
    }
    paid = postpaid(billers, "pay-pasca", ref, NUMBER)
    assert (paid["rc"], paid["status"], paid["selling_price"]) == ("00", "Sukses", 711)
    assert re.fullmatch(r"\d{16}", paid["sn"])
    assert type(paid["buyer_last_saldo"]) is int
    assert postpaid(billers, "pay-pasca", ref, NUMBER) == paid
    assert postpaid(billers, "status-pasca", ref, NUMBER) == paid
    (sale,) = sold(billers, "stima_post", ref)
    assert (sale["customer_no"], sale["amount"], sale["receipt"]) == (NUMBER, 711, paid["sn"])
    assert postpaid(billers, "inq-pasca", new_ref(), NUMBER)["rc"] == "60"


@pytest.mark.parametrize(
    ("command", "changes", "rc"),
    [
        ("inq-pasca", {"sign": "0" * 32}, "41"),
        ("inq-pasca", {"username": "someone"}, "42"),
        ("inq-pasca", {"buyer_sku_code": "other"}, "43"),
        ("inq-pasca", {"customer_no": ""}, "40"),
        ("buy-pasca", {}, "40"),
        ("inq-pasca", {"customer_no": "12345679"}, "54"),
        ("inq-pasca", {"customer_no": "12345608"}, "60"),
        ("pay-pasca", {}, "50"),
        ("status-pasca", {}, "50"),
    ],
)
def test_what_the_biller_refuses(
    billers: Sandbox, command: str, changes: dict[str, str], rc: str
) -> None:
    ref = new_ref()
    data = postpaid(billers, command, ref, new_number(), **changes)
    assert (data["ref_id"], data["rc"], data["status"]) == (ref, rc, "Gagal")
    assert sold(billers, "stima_post", ref) == []


def test_a_reference_belongs_to_its_customer(billers: Sandbox) -> None:
    ref, number = new_ref(), new_number()
    postpaid(billers, "inq-pasca", ref, number)
    assert postpaid(billers, "inq-pasca", ref, number)["rc"] == "00"
    for command in ("inq-pasca", "pay-pasca"):
        assert postpaid(billers, command, ref, new_number())["rc"] == "49"
    postpaid(billers, "pay-pasca", ref, number)
    for command in ("pay-pasca", "status-pasca"):
        assert postpaid(billers, command, ref, new_number())["rc"] == "49"


def test_a_bill_asked_for_twice_is_paid_once(billers: Sandbox) -> None:
    first, second, number = new_ref(), new_ref(), new_number()
    for ref in (first, second):
        assert postpaid(billers, "inq-pasca", ref, number)["rc"] == "00"
    assert postpaid(billers, "pay-pasca", first, number)["rc"] == "00"
    assert postpaid(billers, "pay-pasca", second, number)["rc"] == "02"
    assert sold(billers, "stima_post", second) == []


@pytest.mark.parametrize(
    ("kind", "first", "then", "sales"),
    [
        ("refuse", "02", "02", 0),
        ("late_success", "03", "00", 1),
        ("late_refusal", "03", "02", 0),
        ("pending_forever", "03", "03", 0),
        ("not_formed", "53", "50", 0),
    ],
)
def test_outcomes(billers: Sandbox, kind: str, first: str, then: str, sales: int) -> None:
    ref, number = new_ref(), new_number()
    postpaid(billers, "inq-pasca", ref, number)
    billers.fault("biller:stima_post", kind, seconds=0.2)
    assert postpaid(billers, "pay-pasca", ref, number)["rc"] == first
    wait_until(lambda: postpaid(billers, "status-pasca", ref, number)["rc"] == then)
    assert len(sold(billers, "stima_post", ref)) == sales


def test_called_a_duplicate_after_a_lost_reply(billers: Sandbox) -> None:
    ref, number = new_ref(), new_number()
    postpaid(billers, "inq-pasca", ref, number)
    billers.fault("biller:stima_post", "refuse_after_lost_reply")
    with pytest.raises(requests.ConnectionError):
        postpaid(billers, "pay-pasca", ref, number)
    assert postpaid(billers, "pay-pasca", ref, number)["rc"] == "49"
    assert postpaid(billers, "status-pasca", ref, number)["rc"] == "00"
    assert len(sold(billers, "stima_post", ref)) == 1


@pytest.mark.parametrize(
    ("number", "first", "then"),
    [
        ("087800001230", "00", "00"),
        ("087800001232", "02", "02"),
        ("087800001233", "03", "00"),
        ("087800001234", "03", "02"),
    ],
)
def test_the_public_test_numbers(billers: Sandbox, number: str, first: str, then: str) -> None:
    ref = new_ref()
    assert postpaid(billers, "inq-pasca", ref, number)["rc"] == "00"
    began = time.monotonic()
    assert postpaid(billers, "pay-pasca", ref, number)["rc"] == first
    wait_until(lambda: postpaid(billers, "status-pasca", ref, number)["rc"] == then)
    assert (time.monotonic() - began > 0.7) == (first == "03")
