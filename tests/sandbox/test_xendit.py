"""The Xendit-like biller: inquiries with bounds, idempotent payments, decided a little later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import (
    inquire_xendit,
    new_number,
    new_ref,
    pay_inquiry,
    pay_xendit,
    sold,
    xendit,
    xendit_says,
)


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def test_what_is_sold(billers: Sandbox) -> None:
    data = xendit(billers, "GET", "product").json()["data"]
    assert data[3] == {"code": "bundle", "name": "tv", "min": 99, "max": 99}
    assert [one["code"] for one in data] == ["health", "fees", "clinic", "bundle", "units"]


def test_an_inquiry_with_its_lines(billers: Sandbox) -> None:
    told = inquire_xendit(billers, "fees", "20260012")
    items = told.pop("items")
    assert [one["name"] for one in items] == ["Tuition", "Meals", "Bus"]
    assert sum(one["amount"] + one["penalty"] for one in items) == told["amount"]
    expires = datetime.fromisoformat(told.pop("expires_at"))
    assert timedelta() < expires - datetime.now(UTC) <= timedelta(minutes=30)
    assert told.pop("id").startswith("inq_")
    assert told.pop("customer_name")
    assert told == {
        "product_code": "fees",
        "account_number": "20260012",
        "currency": "KES",
        "amount": told["amount"],
        "min_amount": 1,
        "max_amount": told["amount"],
    }


@pytest.mark.parametrize(
    ("sku", "least", "most"),
    [
        ("health", "owed", "owed"),
        ("fees", 1, "owed"),
        ("clinic", 1, 10_000_000),
        ("bundle", 99, 99),
    ],
)
def test_the_bounds_of_an_amount(
    billers: Sandbox, sku: str, least: int | str, most: int | str
) -> None:
    told = inquire_xendit(billers, sku, new_number())
    bounds = [told["amount"] if one == "owed" else one for one in (least, most)]
    assert [told["min_amount"], told["max_amount"]] == bounds
    for wrong in (bounds[0] - 1, bounds[1] + 1):
        refused = pay_inquiry(billers, new_ref(), told["id"], wrong)
        assert error_of(refused) == (400, "AMOUNT_NOT_ALLOWED")


def test_a_payment_as_the_contract_says(billers: Sandbox) -> None:
    ref, number = new_ref(), new_number()
    inquiry = inquire_xendit(billers, "health", number)
    first = pay_inquiry(billers, ref, inquiry["id"], inquiry["amount"]).json()
    known = {
        "id": first["id"],
        "reference_id": ref,
        "inquiry_id": inquiry["id"],
        "product_code": "health",
        "account_number": number,
        "amount": inquiry["amount"],
    }
    assert first == {**known, "status": "PENDING"}
    assert sold(billers, "afya", ref) == []
    wait_until(lambda: xendit_says(billers, ref)["status"] == "SUCCEEDED")
    (sale,) = sold(billers, "afya", ref)
    done = {**known, "status": "SUCCEEDED", "receipt_number": sale["receipt"]}
    assert xendit_says(billers, ref) == done
    assert xendit(billers, "GET", f"payment/{first['id']}").json() == done
    assert pay_inquiry(billers, ref, inquiry["id"], inquiry["amount"]).json() == done
    other = pay_inquiry(billers, ref, inquiry["id"], inquiry["amount"] + 1)
    assert error_of(other) == (409, "IDEMPOTENCY_ERROR")
    nothing = xendit(
        billers, "POST", "inquiry", {"product_code": "health", "account_number": number}
    )
    assert error_of(nothing) == (409, "NO_OUTSTANDING_BILL")


def test_part_of_a_bill_leaves_the_rest(billers: Sandbox) -> None:
    ref, number = new_ref(), new_number()
    inquiry = inquire_xendit(billers, "fees", number)
    pay_inquiry(billers, ref, inquiry["id"], 100)
    wait_until(lambda: sold(billers, "afya", ref))
    rest = inquire_xendit(billers, "fees", number)
    assert rest["amount"] == inquiry["amount"] - 100
    assert rest["items"][0]["amount"] == inquiry["items"][0]["amount"] - 100


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"product_code": "other"}, 404, "PRODUCT_NOT_FOUND"),
        ({"account_number": "20260019"}, 404, "ACCOUNT_NOT_FOUND"),
        ({"account_number": "20260008"}, 409, "NO_OUTSTANDING_BILL"),
        ({"account_number": 20260012}, 400, "API_VALIDATION_ERROR"),
    ],
)
def test_an_inquiry_that_finds_nothing(
    billers: Sandbox, body: dict[str, Any], status: int, code: str
) -> None:
    asked = {"product_code": "health", "account_number": "20260012", **body}
    assert error_of(xendit(billers, "POST", "inquiry", asked)) == (status, code)


def test_what_forms_no_payment(billers: Sandbox) -> None:
    ref = new_ref()
    body = {"reference_id": ref, "inquiry_id": "inq_none", "amount": 5}
    stranger = xendit(billers, "POST", "payment", body, key="other", ref=ref)
    assert error_of(stranger) == (401, "INVALID_API_KEY")
    unknown = xendit(billers, "POST", "payment", body, ref=ref)
    assert error_of(unknown) == (404, "INQUIRY_NOT_FOUND")
    assert unknown.json()["reference_id"] == ref
    keyless = xendit(billers, "POST", "payment", body)
    assert error_of(keyless) == (400, "API_VALIDATION_ERROR")
    billers.fault("biller:afya", "not_formed")
    assert error_of(pay_xendit(billers, ref)) == (410, "INQUIRY_EXPIRED")
    asked = xendit(billers, "GET", f"payment?reference_id={ref}")
    assert (asked.status_code, asked.json()) == (200, {"data": []})
    assert error_of(xendit(billers, "GET", "payment/pay_none")) == (404, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize(
    ("kind", "status", "sales"),
    [
        ("refuse", "FAILED", 0),
        ("late_success", "SUCCEEDED", 1),
        ("late_refusal", "FAILED", 0),
        ("pending_forever", "PENDING", 0),
    ],
)
def test_outcomes(billers: Sandbox, kind: str, status: str, sales: int) -> None:
    ref = new_ref()
    billers.fault("biller:afya", kind, seconds=0.1)
    assert pay_xendit(billers, ref).json()["status"] == "PENDING"
    wait_until(lambda: xendit_says(billers, ref)["status"] == status)
    failed = status == "FAILED"
    assert xendit_says(billers, ref).get("failure_code") == ("BILLER_REJECTED" if failed else None)
    assert len(sold(billers, "afya", ref)) == sales


@pytest.mark.parametrize(("kind", "tokens"), [("two_tokens", 2), ("three_tokens", 3)])
def test_tokens(billers: Sandbox, kind: str, tokens: int) -> None:
    ref = new_ref()
    billers.fault("biller:afya", kind)
    pay_xendit(billers, ref, "units")
    wait_until(lambda: xendit_says(billers, ref)["status"] == "SUCCEEDED")
    told, (sale,) = xendit_says(billers, ref), sold(billers, "afya", ref)
    assert (told["token"], told["tokens"]) == (sale["token"], sale["tokens"])
    assert len(told["tokens"]) == tokens
