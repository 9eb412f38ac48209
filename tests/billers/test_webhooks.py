"""What a biller tells us by itself: whose it is, and what it does to a payment, money and SMS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from app.billers import settlement, webhooks
from app.billers.claims import Work
from app.billers.payments import PaymentView
from app.billers.protocols import MAKE, wires
from app.billers.protocols.answers import Answer, Family, Order, Outcome, WebhookError
from app.errors import DomainError
from app.markets.families import FamilyName
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials
from tests.billers.protocols import digiflazz_words, iak_words
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now
from tests.billers.table import TOKENS, Sale, Word

REF = "0198c0ffee"
Sent = tuple[dict[str, str], bytes]


# --- whose it is ---


def family(demo: Market, name: FamilyName, secret: str = "hush") -> Family:
    account = {"url": "http://127.0.0.1:9", "username": "kibanda", "api_key": "key"}
    credentials = BillerCredentials.model_validate({**account, "webhook_secret": secret})
    return MAKE[name]("stima", demo.billers["stima"], credentials, Currency("KES", 2))


def digiflazz(data: object, secret: str = "hush") -> Sent:
    return digiflazz_words.signed({"data": data}, secret)


def iak(ref: str = REF, key: str = "key", **more: Any) -> Sent:
    return iak_words.callback({"ref_id": ref, "status": 1, "rc": "00", **more}, key)


def without(sent: Sent) -> Sent:
    return {}, sent[1]


def signed_with(signature: str) -> Sent:
    return {"x-hub-signature": signature}, digiflazz({"ref_id": REF})[1]


# Every word that comes with no right signature, or with one over something else than a reference.
FOREIGN: list[tuple[FamilyName, Sent, str]] = [
    *(
        (name, sent, reason)
        for name in ("digiflazz_prepaid", "digiflazz_postpaid")
        for sent, reason in (
            (without(digiflazz({"ref_id": REF})), "unsigned"),
            (signed_with(""), "unsigned"),
            (signed_with("sha256=" + "0" * 64), "unsigned"),
            (signed_with("sha1="), "signature_wrong"),
            (signed_with("sha1=" + "0" * 40), "signature_wrong"),
            (signed_with("sha1=é\0"), "signature_wrong"),
            (digiflazz({"ref_id": REF}, secret="key"), "signature_wrong"),
            ((digiflazz({"ref_id": REF})[0], b'{"data": {"ref_id": "other"}}'), "signature_wrong"),
            (digiflazz(None), "body_foreign"),
            (digiflazz([]), "body_foreign"),
            (digiflazz({}), "body_foreign"),
            (digiflazz({"ref_id": 5}), "body_foreign"),
            (digiflazz({"ref_id": ""}), "body_foreign"),
            (digiflazz({"ref_id": "a\0b"}), "body_foreign"),
            (digiflazz({"ref_id": "\ud800"}), "body_foreign"),
            (digiflazz({"ref_id": "x" * 65}), "body_foreign"),
        )
    ),
    *(
        (name, sent, reason)
        for name in ("iak_prepaid", "iak_postpaid")
        for sent, reason in (
            (({}, b'{"data": {"ref_id": "0198c0ffee"}}'), "unsigned"),
            (({}, b'{"data": {"ref_id": "0198c0ffee", "sign": ""}}'), "unsigned"),
            (({}, b'{"data": {"ref_id": "0198c0ffee", "sign": 5}}'), "unsigned"),
            (({}, b'{"data": {"ref_id": "0198c0ffee", "sign": "\\ud800"}}'), "signature_wrong"),
            (iak(key="hush"), "signature_wrong"),
            (({}, iak()[1].replace(REF.encode(), b"0198c0ffef")), "signature_wrong"),
            (({}, b""), "body_foreign"),
            (({}, b"\xff\0"), "body_foreign"),
            (({}, b"[" * 50_000), "body_foreign"),
            (({}, b'{"data": "x"}'), "body_foreign"),
            (iak("a\0b"), "body_foreign"),
        )
    ),
]


@pytest.mark.parametrize(("name", "sent", "reason"), FOREIGN)
def test_what_is_refused(demo: Market, name: FamilyName, sent: Sent, reason: str) -> None:
    with pytest.raises(WebhookError) as raised:
        family(demo, name).hear(*sent, now())
    assert raised.value.reason == reason


def test_without_a_secret_nothing_is_signed(demo: Market) -> None:
    wire = family(demo, "digiflazz_prepaid", secret="")
    with pytest.raises(WebhookError, match="unsigned"):
        wire.hear(*digiflazz({"ref_id": REF}, secret=""), now())


def test_what_a_signed_webhook_says_is_judged_as_an_answer(demo: Market) -> None:
    order = Order(REF, "stima-token", "54100234563", 50_000)
    sale = Sale(REF, order.customer_no, order.sku, order.amount_minor, tokens=TOKENS[:2])

    def outcome(of: Sale, word: Word) -> tuple[str, str]:
        sent = digiflazz(digiflazz_words.data_of(of, word))
        told = family(demo, "digiflazz_prepaid").hear(*sent, now())
        assert told.biller_ref == REF
        assert told.judge
        answer = told.judge(order)
        return answer.outcome, answer.reason

    assert outcome(sale, "sold") == ("paid", "paid")
    assert outcome(sale, "refused") == ("refused", "refused")
    assert outcome(sale, "pending") == ("unknown", "pending")
    more = Sale(REF, order.customer_no, order.sku, 60_000, tokens=TOKENS[:1])
    assert outcome(more, "sold") == ("unknown", "other_amount")
    other = Sale(REF, "54100234571", order.sku, 50_000, tokens=TOKENS[:1])
    assert outcome(other, "refused") == ("unknown", "other_customer")


@pytest.mark.parametrize("name", ["iak_prepaid", "iak_postpaid"])
def test_what_a_callback_says_is_asked(demo: Market, name: FamilyName) -> None:
    told = family(demo, name).hear(*iak(rc="07", status="2"), now())
    assert (told.biller_ref, told.judge) == (REF, None)


# --- what it does ---


def sale_of(payment: PaymentView, **changed: Any) -> Sale:
    sale = Sale(payment.biller_ref, payment.customer_no, "stima-token", AMOUNT, tokens=TOKENS[:1])
    vars(sale).update(changed)
    return sale


def tell(stage: Stage, payment: PaymentView, word: Word, **changed: Any) -> str:
    """A signed webhook about a payment reaches us; the state after it."""
    sent = digiflazz(digiflazz_words.data_of(sale_of(payment, **changed), word))
    return take_in(stage, sent)


def take_in(stage: Stage, sent: Sent, code: str | None = None) -> str:
    told = wires(stage.market, stage.settings)[stage.code].hear(*sent, now())
    take = partial(
        webhooks.heard, market=stage.market, biller=code or stage.code, heard_of=told, now=now()
    )
    return stage.db.transact(take)


def record(stage: Stage, work: Work, answer: Answer) -> str:
    settle = partial(
        settlement.record, market=stage.market, claim=work.claim, answer=answer, now=now()
    )
    return stage.db.transact(settle)


def postings(stage: Stage, payment: PaymentView) -> list[str]:
    query = "SELECT kind FROM postings WHERE reference = :reference ORDER BY id"
    return [row.kind for row in stage.run(query, reference=payment.reference)]


def kinds(stage: Stage, payment: PaymentView) -> list[str]:
    return [kind for kind, _ in stage.messages(payment)]


def row_of(stage: Stage, payment: PaymentView) -> Any:
    query = """SELECT state, fence, requests, lease_until, due_at <= clock_timestamp() AS is_due
        FROM payments WHERE id = :id"""
    return stage.run(query, id=payment.id)[0]


PAID = Answer(Outcome.PAID, "paid", "00", True, TOKENS[:1])
REFUSED = Answer(Outcome.REFUSED, "refused", "02", True)
SILENCE = Answer(Outcome.UNKNOWN, "timeout")


@pytest.fixture
def sent(stage: Stage) -> tuple[PaymentView, Work]:
    """A payment that has left, its answer still to come."""
    payment = stage.pay()
    (work,) = stage.claim()
    return payment, work


Pair = tuple[PaymentView, Work]


def test_a_success_settles_before_its_answer(stage: Stage, sent: Pair) -> None:
    payment, work = sent
    assert tell(stage, payment, "sold") == "captured"
    assert record(stage, work, PAID) == "captured"
    assert tell(stage, payment, "sold") == "captured"
    assert postings(stage, payment) == ["bill_payment"]
    assert kinds(stage, payment) == ["payment_paid"]
    assert stage.view(payment).tokens == TOKENS[:1]
    # Its answer is noted; the webhook that comes again is not.
    assert stage.steps(payment)[-2:] == ["sent>captured paid", "captured>captured paid_again"]


@pytest.mark.parametrize("late", [SILENCE, REFUSED])
def test_what_comes_after_a_success_takes_nothing_back_from_the_person(
    stage: Stage, sent: Pair, late: Answer
) -> None:
    payment, work = sent
    tell(stage, payment, "sold")
    after = "returned" if late is REFUSED else "captured"
    assert record(stage, work, late) == after
    assert kinds(stage, payment) == ["payment_paid", *["payment_returned"] * (late is REFUSED)]
    held = stage.run("SELECT state FROM holds WHERE id = :id", id=payment_hold(stage, payment))
    assert [row.state for row in held] == ["captured"]


def payment_hold(stage: Stage, payment: PaymentView) -> Any:
    return stage.run("SELECT hold_id FROM payments WHERE id = :id", id=payment.id)[0].hold_id


def test_a_refusal_is_asked_about_first(stage: Stage, sent: Pair) -> None:
    payment, work = sent
    assert tell(stage, payment, "refused") == "sent"
    assert not row_of(stage, payment).is_due, "somebody is waiting for the answer right now"
    assert record(stage, work, SILENCE) == "unknown"
    assert not row_of(stage, payment).is_due
    assert tell(stage, payment, "refused") == "unknown"
    assert row_of(stage, payment).is_due
    assert kinds(stage, payment) == []
    (again,) = stage.claim()
    assert record(stage, again, REFUSED) == "released"
    assert kinds(stage, payment) == ["payment_refused"]


def test_a_refusal_that_lies_costs_a_question_and_nothing_else(stage: Stage) -> None:
    person = stage.person()
    payment = stage.pay(person)
    stage.biller.script = lambda biller, body: biller.sell(body)  # it has sold
    (work,) = stage.claim()
    record(stage, work, SILENCE)
    tell(stage, payment, "refused")
    stage.drain()
    assert stage.view(payment).state == "captured"
    assert stage.balance(person).balance_minor == BALANCE - AMOUNT - FEE


@pytest.mark.parametrize(
    "changed", [{"amount_minor": AMOUNT + 100}, {"customer_no": "54100234571"}, {"tokens": ()}]
)
def test_a_success_of_something_else_captures_nothing(
    stage: Stage, sent: Pair, changed: dict[str, Any]
) -> None:
    payment, _ = sent
    assert tell(stage, payment, "sold", **changed) == "sent"
    assert postings(stage, payment) == []


def test_a_success_that_flips(stage: Stage, sent: Pair) -> None:
    payment, work = sent
    record(stage, work, PAID)
    before = stage.house("suspense:returned")
    assert tell(stage, payment, "refused") == "returned"
    assert tell(stage, payment, "refused") == "returned"
    assert stage.house("suspense:returned") == before + AMOUNT
    assert stage.house(f"settlement:{stage.code}") == 0
    assert kinds(stage, payment) == ["payment_paid", "payment_returned"]
    assert tell(stage, payment, "sold") == "returned"
    assert postings(stage, payment) == ["bill_payment", "bill_payment_returned"]


def test_a_success_after_the_money_went_back(stage: Stage, sent: Pair) -> None:
    payment, work = sent
    record(stage, work, REFUSED)
    before = stage.house("suspense:late")
    assert tell(stage, payment, "sold") == "paid_late"
    assert tell(stage, payment, "sold") == "paid_late"
    assert stage.house("suspense:late") == before - AMOUNT
    assert kinds(stage, payment) == ["payment_refused"]


def test_what_was_never_sent_is_not_settled_by_a_word(stage: Stage) -> None:
    person = stage.person()
    payment = stage.pay(person)
    assert tell(stage, payment, "sold") == "held"
    assert stage.balance(person).held_minor == AMOUNT + FEE
    assert tell(stage, payment, "refused") == "held"
    assert postings(stage, payment) == []


def test_a_reference_that_is_not_this_billers(stage: Stage, sent: Pair) -> None:
    payment, _ = sent
    words = digiflazz_words.data_of(sale_of(payment), "sold")
    with pytest.raises(DomainError, match="reference_unknown"):
        take_in(stage, digiflazz(words), code="somebody_else")
    with pytest.raises(DomainError, match="reference_unknown"):
        take_in(stage, digiflazz({**words, "ref_id": "0" * 32}))
    assert row_of(stage, payment).state == "sent"


def test_a_product_that_is_gone_is_asked_about_by_people(stage: Stage, sent: Pair) -> None:
    payment, _ = sent
    product = stage.market.billers[stage.code].products[0].model_dump()
    stage.rules(products=({**product, "code": "another"},))
    assert tell(stage, payment, "sold") == "sent"
    assert stage.steps(payment)[-1] == "sent>sent webhook"


def test_webhook_and_answer_at_one_moment_capture_once(stage: Stage) -> None:
    """Both in threads of their own, released together, for many payments."""
    payments = [stage.pay(amount_minor=AMOUNT) for _ in range(10)]
    works = {work.claim.payment_id: work for work in stage.claim()}

    def race(payment: PaymentView) -> None:
        start = threading.Barrier(3)
        word: Callable[[], str] = partial(tell, stage, payment, "sold")
        acts = [partial(record, stage, works[payment.id], PAID), word, word]

        def run(act: Callable[[], str]) -> str:
            start.wait()
            return act()

        with ThreadPoolExecutor(3) as pool:
            assert set(pool.map(run, acts)) == {"captured"}

    for payment in payments:
        race(payment)
        assert postings(stage, payment) == ["bill_payment"]
        assert kinds(stage, payment) == ["payment_paid"]
    assert stage.house(f"settlement:{stage.code}") == 10 * AMOUNT


def test_a_flip_and_the_answer_at_one_moment(stage: Stage) -> None:
    """Whichever comes first, the books agree with the last word that counts."""
    for _ in range(6):
        payment = stage.pay()
        (work,) = stage.claim()
        with ThreadPoolExecutor(2) as pool:
            answer = pool.submit(record, stage, work, PAID)
            word = pool.submit(tell, stage, payment, "refused")
            answer.result(), word.result()
        state = str(stage.view(payment).state)
        expected = {
            "captured": ["bill_payment"],
            "returned": ["bill_payment", "bill_payment_returned"],
        }
        assert postings(stage, payment) == expected[state]
        told = ["payment_returned"] * (state == "returned")
        assert kinds(stage, payment) == ["payment_paid", *told]
