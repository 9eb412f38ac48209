"""The IAK-like billers: PROCESS first, asking again, HTTP 400 for what forms nothing."""

import re

import pytest
import requests

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import (
    bill_of_water,
    check_status,
    new_number,
    new_ref,
    pay_bill_of_water,
    pay_top_up,
    sign,
    sold,
    status_of_water,
    top_up,
    water,
)

PHONE = "0711000001"


def said(answer: requests.Response) -> tuple[int, object, str]:
    data = answer.json()["data"]
    return answer.status_code, data["status"], data.get("rc", data.get("response_code"))


def test_the_first_answer_is_process_and_asking_tells_the_rest(billers: Sandbox) -> None:
    ref = new_ref()
    first = top_up(billers, ref, PHONE).json()["data"]
    number = first["tr_id"]
    assert type(first.pop("balance")) is int
    assert first == {
        "ref_id": ref,
        "status": 0,
        "product_code": "data1",
        "customer_id": PHONE,
        "price": 50,
        "message": "PROCESS",
        "sn": "",
        "tr_id": number,
        "rc": "39",
    }
    wait_until(lambda: said(check_status(billers, ref)) == (200, 1, "00"))
    told = check_status(billers, ref).json()["data"]
    assert (told["message"], told["tr_id"]) == ("SUCCESS", number)
    (sale,) = sold(billers, "bando", ref)
    assert (sale["receipt"], sale["amount"]) == (told["sn"], 50)
    assert top_up(billers, ref, PHONE).json()["data"] == told
    assert len(sold(billers, "bando", ref)) == 1


def test_a_token(billers: Sandbox) -> None:
    ref = new_ref()
    pay_top_up(billers, ref, "pln20")
    wait_until(lambda: sold(billers, "bando", ref))
    serial = check_status(billers, ref).json()["data"]["sn"]
    assert re.fullmatch(r"\d{4}(-\d{4}){4}/PETER KAMAU/R1/1300VA/8\.0", serial)
    (sale,) = sold(billers, "bando", ref)
    assert serial.split("/")[0].replace("-", "") == sale["token"]


@pytest.mark.parametrize(
    ("changes", "rc"),
    [
        ({"sign": "0" * 32}, "102"),
        ({"username": "someone"}, "102"),
        ({"product_code": "other"}, "20"),
        ({"customer_id": ""}, "205"),
        ({"customer_id": 711}, "205"),
    ],
)
def test_what_forms_nothing_is_http_400_in_the_billers_own_form(
    billers: Sandbox, changes: dict[str, object], rc: str
) -> None:
    ref = new_ref()
    answer = top_up(billers, ref, PHONE, **changes)
    assert said(answer) == (400, 2, rc)
    assert answer.json()["data"]["ref_id"] == ref
    assert said(check_status(billers, ref)) == (400, 2, "06")


@pytest.mark.parametrize("changes", [{"customer_id": "0711000002"}, {"product_code": "pln20"}])
def test_a_known_reference_for_something_else(billers: Sandbox, changes: dict[str, str]) -> None:
    ref = new_ref()
    top_up(billers, ref, PHONE)
    assert said(top_up(billers, ref, PHONE, **changes)) == (400, 2, "11")
    wait_until(lambda: len(sold(billers, "bando", ref)) == 1)


@pytest.mark.parametrize(
    ("kind", "then", "sales"),
    [
        ("refuse", (200, 2, "07"), 0),
        ("late_success", (200, 1, "00"), 1),
        ("late_refusal", (200, 2, "07"), 0),
        ("pending_forever", (200, 0, "39"), 0),
    ],
)
def test_outcomes(billers: Sandbox, kind: str, then: tuple[int, int, str], sales: int) -> None:
    ref = new_ref()
    billers.fault("biller:bando", kind, seconds=0.1)
    assert said(top_up(billers, ref, PHONE)) == (200, 0, "39")
    wait_until(lambda: said(check_status(billers, ref)) == then)
    assert len(sold(billers, "bando", ref)) == sales


@pytest.mark.parametrize(
    ("number", "then"),
    [
        ("123", (200, 2, "14")),
        ("087800001230", (200, 1, "00")),
        ("087800001232", (200, 2, "07")),
        ("087800001233", (200, 1, "00")),
        ("087800001234", (200, 2, "07")),
    ],
)
def test_numbers_that_decide(billers: Sandbox, number: str, then: tuple[int, int, str]) -> None:
    ref = new_ref()
    assert said(top_up(billers, ref, number)) == (200, 0, "39")
    wait_until(lambda: said(check_status(billers, ref)) == then)


def test_called_a_duplicate_after_a_lost_reply(billers: Sandbox) -> None:
    ref = new_ref()
    billers.fault("biller:bando", "refuse_after_lost_reply")
    with pytest.raises(requests.ConnectionError):
        top_up(billers, ref, PHONE)
    assert said(top_up(billers, ref, PHONE)) == (400, 2, "11")
    wait_until(lambda: said(check_status(billers, ref)) == (200, 1, "00"))


@pytest.mark.parametrize(
    ("kind", "tokens"), [("two_tokens", 2), ("three_tokens", 3), ("bad_token", 1)]
)
def test_tokens(billers: Sandbox, kind: str, tokens: int) -> None:
    ref = new_ref()
    billers.fault("biller:bando", kind)
    pay_top_up(billers, ref, "pln20")
    wait_until(lambda: sold(billers, "bando", ref))
    (sale,) = sold(billers, "bando", ref)
    told = check_status(billers, ref).json()["data"]["sn"].split("/")[0].split(";")
    assert [one.replace("-", "") for one in told] == sale["tokens"]
    assert len(told) == tokens
    assert (max(int(one) for one in sale["tokens"]) > 2**66 - 1) == (kind == "bad_token")


@pytest.mark.parametrize(
    ("meter", "status", "rc", "name"),
    [("54100234563", "1", "00", "PETER KAMAU"), ("54100234564", "2", "14", "")],
)
def test_the_name_behind_a_meter(
    billers: Sandbox, meter: str, status: str, rc: str, name: str
) -> None:
    body = {"username": "kibanda", "customer_id": meter, "sign": sign(meter)}
    data = billers.post("/billers/bando/api/inquiry-pln", body).json()["data"]
    assert (data["status"], data["rc"], data["name"]) == (status, rc, name)


# ---- bills


def test_a_bill_as_the_contract_says_paid_and_then_owed_no_more(billers: Sandbox) -> None:
    ref, number = new_ref(), "44556671"
    bill = bill_of_water(billers, ref, number)
    tr_id, detail = bill.pop("tr_id"), bill.pop("desc")["tagihan"]["detail"]
    assert [(one["nilai_tagihan"], one["denda"], one["total"]) for one in detail] == [
        (538, 26, 564),
        (454, 0, 454),
    ]
    assert bill == {
        "code": "water",
        "hp": number,
        "tr_name": "MERCY NJERI",
        "period": ",".join(one["periode"] for one in detail),
        "nominal": 1018,
        "admin": 0,
        "ref_id": ref,
        "response_code": "00",
        "message": "INQUIRY SUCCESS",
        "price": 1018,
        "selling_price": 1018,
    }
    asked = status_of_water(billers, ref)
    assert (asked["status"], asked["response_code"]) == (0, "42")
    paid = pay_bill_of_water(billers, tr_id).json()["data"]
    assert (paid["tr_id"], paid["response_code"], paid["status"]) == (tr_id, "00", 1)
    assert pay_bill_of_water(billers, tr_id).json()["data"] == paid
    assert status_of_water(billers, ref) == paid
    (sale,) = sold(billers, "maji", ref)
    assert (sale["amount"], sale["receipt"]) == (1018, paid["noref"])
    assert bill_of_water(billers, new_ref(), number)["response_code"] == "01"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"sign": "0" * 32}, 400, "102"),
        ({"code": "other"}, 400, "20"),
        ({"hp": ""}, 400, "205"),
        ({"commands": "other"}, 400, "205"),
        ({"hp": "44556679"}, 200, "14"),
        ({"hp": "44556608"}, 200, "01"),
    ],
)
def test_an_inquiry_that_finds_nothing(
    billers: Sandbox, changes: dict[str, str], status: int, code: str
) -> None:
    ref = new_ref()
    more = {"code": "water", "hp": new_number(), "ref_id": ref, **changes}
    command = more.pop("commands", "inq-pasca")
    answer = water(billers, command, ref, **more)
    data = answer.json()["data"]
    assert (answer.status_code, data["ref_id"], data["response_code"]) == (status, ref, code)


def test_references_and_numbers_that_nobody_knows(billers: Sandbox) -> None:
    assert said(pay_bill_of_water(billers, 12)) == (400, 2, "06")
    told = status_of_water(billers, new_ref())
    assert (told["status"], told["response_code"]) == (2, "06")


@pytest.mark.parametrize(
    ("kind", "first", "then", "sales"),
    [
        ("refuse", "37", (2, "37"), 0),
        ("late_success", "39", (1, "00"), 1),
        ("late_refusal", "39", (2, "37"), 0),
        ("pending_forever", "39", (0, "39"), 0),
        ("not_formed", "106", (0, "42"), 0),
    ],
)
def test_outcomes_of_bills(
    billers: Sandbox, kind: str, first: str, then: tuple[int, str], sales: int
) -> None:
    ref = new_ref()
    tr_id = bill_of_water(billers, ref, new_number())["tr_id"]
    billers.fault("biller:maji", kind, seconds=0.1)
    assert pay_bill_of_water(billers, tr_id).json()["data"]["response_code"] == first

    def now() -> tuple[int, str]:
        told = status_of_water(billers, ref)
        return told["status"], told["response_code"]

    wait_until(lambda: now() == then)
    assert len(sold(billers, "maji", ref)) == sales
