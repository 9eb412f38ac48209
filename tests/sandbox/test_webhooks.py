"""What the billers tell us by themselves: signed, once, late; and every way of getting it wrong."""

import hashlib
import hmac
import time

import pytest

from tests.outside_world import Sandbox, StandIn, Webhook, wait_until
from tests.sandbox.billers import (
    PAY,
    SECRET,
    check_status,
    new_ref,
    postpaid,
    sign,
    sold,
    undone,
    xendit_says,
)

everyone = pytest.mark.parametrize("code", PAY)
# Family's word for how it ended, by the key that has it.
SUCCESS = {
    "stima": "Sukses",
    "stima_post": "Sukses",
    "bando": "1",
    "maji": "1",
    "afya": "SUCCEEDED",
}
FAILURE = {"stima": "Gagal", "stima_post": "Gagal", "bando": "2", "maji": "2", "afya": "FAILED"}


def is_signed(code: str, hook: Webhook) -> bool:
    """By the family's own rule."""
    if code.startswith("stima"):
        right = hmac.new(SECRET.encode(), hook.body, hashlib.sha1).hexdigest()
        return hook.headers["x-hub-signature"] == f"sha1={right}"
    if code == "afya":
        at = hook.headers["x-callback-timestamp"]
        assert abs(int(at) - time.time()) < 10
        signed = at.encode() + b"." + hook.body
        right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        return hook.headers["x-callback-signature"] == right
    return hook.data["sign"] == sign(hook.data["ref_id"])


@everyone
def test_one_webhook_a_sale_rightly_signed(billers: Sandbox, kibanda: StandIn, code: str) -> None:
    ref = new_ref()
    PAY[code](billers, ref)
    wait_until(lambda: kibanda.webhooks_of(ref))
    (hook,) = kibanda.webhooks_of(ref)
    assert (hook.biller, hook.data["status"]) == (code, SUCCESS[code])
    assert is_signed(code, hook)
    assert hook.headers["content-type"] == "application/json"


def test_the_words_of_each_family(billers: Sandbox, kibanda: StandIn) -> None:
    refs = {code: new_ref() for code in PAY}
    for code, ref in refs.items():
        PAY[code](billers, ref)
    wait_until(lambda: len({hook.biller for hook in kibanda.webhooks}) == len(PAY))
    hooks = {code: kibanda.webhooks_of(ref)[0] for code, ref in refs.items()}
    assert hooks["stima"].headers["x-digiflazz-event"] == "update"
    assert len(hooks["stima"].headers["x-digiflazz-delivery"]) == 36
    assert hooks["afya"].data == xendit_says(billers, refs["afya"])
    told = check_status(billers, refs["bando"]).json()["data"]
    texts = {name: str(told[name]) for name in ("status", "price", "balance", "tr_id")}
    assert hooks["bando"].data == {**told, **texts, "pin": "", "sign": sign(refs["bando"])}
    assert hooks["maji"].data["response_code"] == "00"
    assert hooks["maji"].data["noref"] == sold(billers, "maji", refs["maji"])[0]["receipt"]
    bill = hooks["stima_post"].data
    status = postpaid(billers, "status-pasca", refs["stima_post"], bill["customer_no"])
    assert bill == status


def test_one_that_is_refused_is_tried_again(billers: Sandbox, kibanda: StandIn) -> None:
    ref = new_ref()
    kibanda.webhook_status = 500
    PAY["stima"](billers, ref)
    wait_until(lambda: kibanda.webhooks_of(ref))
    kibanda.webhook_status = 200
    wait_until(lambda: len(kibanda.webhooks_of(ref)) == 2)


def test_a_duplicate(billers: Sandbox, kibanda: StandIn) -> None:
    ref = new_ref()
    billers.fault("biller:maji", "duplicate_webhook")
    PAY["maji"](billers, ref)
    wait_until(lambda: len(kibanda.webhooks_of(ref)) == 2)
    first, second = kibanda.webhooks_of(ref)
    assert first.body == second.body


@everyone
def test_an_early_one_comes_before_the_answer(
    billers: Sandbox, kibanda: StandIn, code: str
) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "early_webhook")
    PAY[code](billers, ref)
    (hook,) = kibanda.webhooks_of(ref)
    assert hook.data["status"] == SUCCESS[code]
    assert len(sold(billers, code, ref)) == 1


def test_none_and_a_wrong_signature(billers: Sandbox, kibanda: StandIn) -> None:
    silent, last = new_ref(), new_ref()
    for code in PAY:
        billers.fault(f"biller:{code}", "no_webhook")
        PAY[code](billers, silent)
        billers.fault(f"biller:{code}", "bad_signature")
        PAY[code](billers, f"{last}-{code}")
    for code in PAY:
        wait_until(lambda code=code: kibanda.webhooks_of(f"{last}-{code}"))
        assert not is_signed(code, kibanda.webhooks_of(f"{last}-{code}")[0])
    assert kibanda.webhooks_of(silent) == []


@everyone
def test_a_success_that_flips(billers: Sandbox, kibanda: StandIn, code: str) -> None:
    ref = new_ref()
    billers.fault(f"biller:{code}", "flipped_webhook", seconds=0.1)
    PAY[code](billers, ref)
    wait_until(lambda: len(kibanda.webhooks_of(ref)) == 2)
    told = [hook.data["status"] for hook in kibanda.webhooks_of(ref)]
    assert told == [SUCCESS[code], FAILURE[code]]
    assert sold(billers, code, ref) == []
    (sale,) = undone(billers, code, ref)
    assert sale["undone_at"] > sale["at"]


def test_pending_for_ever_tells_nothing_and_late_ones_tell_late(
    billers: Sandbox, kibanda: StandIn
) -> None:
    never, late = new_ref(), new_ref()
    billers.fault("biller:stima", "pending_forever")
    PAY["stima"](billers, never)
    billers.fault("biller:stima", "late_refusal", seconds=0.2)
    PAY["stima"](billers, late)
    wait_until(lambda: kibanda.webhooks_of(late))
    assert kibanda.webhooks_of(late)[0].data["status"] == "Gagal"
    assert kibanda.webhooks_of(never) == []
