"""Every fault of the wire, at every biller that speaks HTTP: what comes back, and what was sold."""

import pytest
import requests

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import PAY, new_ref, sold

everyone = pytest.mark.parametrize("code", PAY)
AMOUNTS = {"stima": 500, "bando": 50}
# Where each family's answer names the amount.
AMOUNT_KEYS = {
    "stima": "price",
    "stima_post": "selling_price",
    "bando": "price",
    "maji": "selling_price",
    "afya": "amount",
}


def sold_once(outside: Sandbox, code: str, ref: str) -> None:
    wait_until(lambda: sold(outside, code, ref))
    assert len(sold(outside, code, ref)) == 1


@everyone
def test_no_answer(billers: Sandbox, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "no_answer")
    with pytest.raises(requests.ReadTimeout):
        PAY[code](billers, ref)
    assert sold(billers, code, ref) == []


@everyone
def test_a_lost_reply(billers: Sandbox, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "lost_reply")
    with pytest.raises(requests.ConnectionError):
        PAY[code](billers, ref)
    sold_once(billers, code, ref)


@everyone
def test_an_answer_cut_in_the_middle(billers: Sandbox, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        PAY[code](billers, ref)
    sold_once(billers, code, ref)


@everyone
def test_a_malformed_answer(billers: Sandbox, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "malformed")
    answer = PAY[code](billers, ref)
    assert answer.status_code == 200
    assert answer.text.startswith("{")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    sold_once(billers, code, ref)


@everyone
@pytest.mark.parametrize(
    ("kind", "status", "part"),
    [
        ("http_400", 400, "<h1>400 Bad Request</h1>"),
        ("http_500", 500, "<h1>500 Internal Server Error</h1>"),
        ("http_502", 502, "<h1>502 Bad Gateway</h1>"),
        ("wrong_body", 200, "free Wi-Fi"),
    ],
)
def test_an_answer_that_is_not_the_billers(
    billers: Sandbox, code: str, kind: str, status: int, part: str
) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", kind)
    answer = PAY[code](billers, ref)
    assert (answer.status_code, part in answer.text) == (status, True)
    assert sold(billers, code, ref) == []


@everyone
def test_a_wrong_amount(billers: Sandbox, code: str) -> None:
    """The answer lies; the sale is right."""
    ref = new_ref()
    billers.fault(f"biller:{code}", "wrong_amount")
    answer = PAY[code](billers, ref).json()
    told = answer.get("data", answer)[AMOUNT_KEYS[code]]
    sold_once(billers, code, ref)
    (sale,) = sold(billers, code, ref)
    assert told == sale["amount"] + 100
    assert sale["amount"] == AMOUNTS.get(code, sale["amount"])


@everyone
def test_what_is_not_formed_can_be_tried_again(billers: Sandbox, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "not_formed")
    PAY[code](billers, ref)
    assert sold(billers, code, ref) == []
    if code not in ("stima_post", "maji"):  # whose inquiry binds the reference to its customer
        PAY[code](billers, ref)
        sold_once(billers, code, ref)


def test_silence_on_status_leaves_the_payment_alone(billers: Sandbox) -> None:
    billers.fault("biller:afya", "http_502", on="status", times=None)
    ref = new_ref()
    assert PAY["afya"](billers, ref).status_code == 200
    asked = requests.get(f"{billers.url}/billers/afya/v1/payment?reference_id={ref}", timeout=5)
    assert asked.status_code == 502


@pytest.mark.parametrize(
    ("code", "has", "lacks"),
    [
        ("stima", "bad_token", "duplicate_stan"),
        ("stima_post", "flipped_webhook", "two_tokens"),
        ("maji", "cut", "bad_token"),
        ("jiji", "duplicate_stan", "no_webhook"),
        ("shule", "missing_line", "http_502"),
    ],
)
def test_a_biller_has_the_faults_of_its_family(
    billers: Sandbox, code: str, has: str, lacks: str
) -> None:
    """The page lists them, and others are refused."""
    switches = billers.get("/config").json()["switches"]
    kinds = {one["kind"] for one in switches if one["target"] == f"biller:{code}"}
    assert has in kinds
    assert lacks not in kinds
    refused = billers.post("/faults", {"target": f"biller:{code}", "kind": lacks})
    assert refused.status_code == 400
