"""The market file changes, or the biller's own word does, while a payment is in doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from functools import partial
from typing import Any

import pytest

from app.billers import claims, expiry, hours, resolution, settlement
from app.billers.claims import Work
from app.billers.protocols.answers import Answer, Bill, Outcome
from app.billers.protocols.http import WireError, parse_object
from app.billers.quotes import quote
from app.errors import DomainError
from app.markets.model import Market
from app.wallet.keys import new_key
from tests.billers.played import honest, in_turn, lose_after_selling
from tests.billers.stage import AMOUNT, Stage, now
from tests.billers.table import TOKENS
from tests.people import fresh_meter

PAID = Answer(Outcome.PAID, "paid", "00", True, TOKENS[:1])
SILENCE = Answer(Outcome.UNKNOWN, "timeout")
ABSENT = Answer(Outcome.ABSENT, "absent", "06", True)
TAKEN = Answer(Outcome.UNKNOWN, "pending", "39", True, biller_txn="417")


def record(stage: Stage, work: Work, answer: Answer, market: Market | None = None) -> str:
    settle = partial(settlement.record, claim=work.claim, answer=answer, now=now())
    return stage.db.transact(lambda s: settle(s, market or stage.market))


def buys_again(stage: Stage, *answers: Answer) -> Work:
    """What is claimed after these answers of a biller whose file lets us buy again."""
    product = stage.market.billers[stage.code].products[0].model_dump()
    fixed = {**product, "pay": "fixed", "price_minor": AMOUNT, "min_minor": None, "max_minor": None}
    stage.rules(
        family="iak_prepaid", when_absent="buy_again", refused_codes=("07",),
        refused_first_codes=(), products=(fixed,),
    )  # fmt: skip
    stage.pay()
    for answer in answers:
        (work,) = stage.claim()
        record(stage, work, answer)
        stage.hurry()
    return work


def renamed(stage: Stage, **changes: Any) -> None:
    product = stage.market.billers[stage.code].products[0].model_dump()
    stage.rules(products=({**product, **changes},))


def test_what_the_biller_never_had_is_bought_under_its_own_reference(stage: Stage) -> None:
    first = buys_again(stage, SILENCE, ABSENT)
    (work,) = stage.claim()
    assert work.buys
    assert work.order.biller_ref == first.order.biller_ref


def test_what_the_biller_took_and_forgot_is_not_bought_again(stage: Stage) -> None:
    buys_again(stage, TAKEN, ABSENT)
    (work,) = stage.claim()
    assert not work.buys


def test_a_paused_biller_is_asked_and_not_bought_from(stage: Stage) -> None:
    buys_again(stage, SILENCE, ABSENT)
    stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=True))
    (work,) = stage.claim()
    assert not work.buys


def test_a_closed_biller_is_asked_and_not_bought_from(stage: Stage) -> None:
    buys_again(stage, SILENCE, ABSENT)
    hour = now().astimezone(stage.market.zone).hour
    opens = hour + 2 if hour < 20 else 1
    stage.rules(opens=time(opens), cut_off=time(opens + 1))
    (work,) = stage.claim()
    assert not work.buys


def test_another_family_is_not_asked_about_what_this_one_had(stage: Stage) -> None:
    stage.biller.script = lose_after_selling
    renamed(stage, pay="fixed", price_minor=AMOUNT, min_minor=None, max_minor=None)
    payment = stage.pay()
    stage.drain()
    stage.rules(
        family="iak_prepaid", when_absent="buy_again", refused_codes=("07",), refused_first_codes=()
    )
    stage.hurry()
    assert stage.claim() == []
    stage.sent_ago(10_000)
    stage.run("UPDATE payments SET lease_until = NULL WHERE biller = :c", c=stage.code)
    expiry.end_asking(stage.db, stage.market, now())
    assert stage.view(payment).state == "manual"


def test_a_product_may_get_another_sku_meanwhile(stage: Stage) -> None:
    stage.biller.script = in_turn(lose_after_selling, honest)
    payment = stage.pay()
    stage.drain()
    renamed(stage, sku="other-sku")
    stage.hurry()
    stage.drain()
    assert stage.view(payment).state == "captured"


def test_an_advice_that_is_late_captures_nothing_that_is_being_undone(stage: Stage) -> None:
    payment = stage.pay()
    (first,) = stage.claim()
    record(stage, first, SILENCE)
    stage.hurry()
    (advice,) = stage.claim()
    stage.end_lease()
    rules = stage.market.billers[stage.code].model_copy(update={"silence_policy": "reverse"})
    market = stage.market.model_copy(update={"billers": {stage.code: rules}})
    (reversal,) = stage.db.transact(lambda s: claims.claim(s, market, stage.code, 5, now()))
    assert record(stage, advice, PAID, market) == "unknown"
    assert record(stage, reversal, Answer(Outcome.REFUSED, "reversed", "00", True), market) == (
        "released"
    )
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_refused"]
    # What it had given for it is kept for staff, and shown to nobody else.
    assert stage.run("SELECT told FROM payments WHERE id = :id", id=payment.id)[0].told["tokens"]
    assert stage.view(payment).tokens == ()


def test_an_inquiry_is_paid_on_its_day(stage: Stage) -> None:
    product = stage.market.billers[stage.code].products[0].model_dump()
    exact = {**product, "pay": "exact", "sells": "service"}
    stage.rules(family="digiflazz_postpaid", same_day=True, products=(exact,))
    person, meter = stage.person(), fresh_meter()
    today = now().astimezone(stage.market.zone).date()
    bill = Bill(meter, "GRACE", AMOUNT, biller_ref=new_key().hex, asked_on=today)
    agreed = quote(stage.market, stage.product, meter, "GRACE", AMOUNT, at=now(), bill=bill)
    intent = stage.intent(person, agreed, seconds=200_000)
    tomorrow = hours.day_start(stage.market.zone, now(), days=1) + timedelta(seconds=5)
    with pytest.raises(DomainError, match="bill_old"):
        stage.confirm(person, agreed, intent, at=tomorrow)


def test_an_inquiry_is_paid_once(stage: Stage) -> None:
    person, meter = stage.person(), fresh_meter()
    bill = Bill(meter, "GRACE", AMOUNT, biller_ref=new_key().hex)
    agreed = quote(stage.market, stage.product, meter, "GRACE", AMOUNT, at=now(), bill=bill)
    stage.confirm(person, agreed, stage.intent(person, agreed))
    again = replace(agreed, amount_minor=AMOUNT + 100)
    with pytest.raises(DomainError, match="bill_used"):
        stage.confirm(person, again, stage.intent(person, again))


def test_a_name_twice_is_no_answer() -> None:
    with pytest.raises(WireError, match="body_not_json"):
        parse_object(b'{"data": {"rc": "00", "status": "Sukses", "rc": "02", "status": "Gagal"}}')
