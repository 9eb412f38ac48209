"""A biller in trouble: the pause, the breaker, and the name check that respects both."""

from __future__ import annotations

import time

import pytest

from app.billers import resolution
from app.billers.breaker import BreakerView
from app.billers.inquiries import Inquiries
from app.billers.protocols import wires
from app.errors import DomainError
from tests.billers.played import honest, http, in_turn, lose_after_selling, pending, refuse
from tests.billers.stage import Stage, now


def test_a_pause_stops_new_payments_and_still_asks_about_sent_ones(stage: Stage) -> None:
    stage.biller.script = in_turn(lose_after_selling, honest)
    sent = stage.pay()
    stage.drain()
    held = stage.pay()
    stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=True))
    stage.hurry()
    stage.drain()
    assert stage.view(sent).state == "captured"
    assert stage.view(held).state == "held"
    stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=False))
    stage.drain_until(held, "captured")


def test_a_biller_is_paused_before_any_worker_has_written_its_row(stage: Stage) -> None:
    assert stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=True))
    assert BreakerView(stage.db).standing(stage.code).paused
    assert not stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=True))


def test_the_breaker_opens_probes_once_and_closes(stage: Stage) -> None:
    stage.rules(breaker_failures=3, breaker_open_seconds=1, concurrency=4)
    stage.biller.script = http("502 Bad Gateway")
    person = stage.person()
    waiting = [stage.pay(person, 5_000) for _ in range(9)]
    stage.drain(seconds=0.6)
    tried = len(stage.biller.requests)
    assert 3 <= tried <= 4 + 3  # those that had left when the third failure was counted
    assert stage.claim() == []
    view = BreakerView(stage.db)
    assert view.standing(stage.code).breaker == "open"

    time.sleep(1.1)
    (probe,) = stage.claim()
    assert stage.claim() == []
    stage.biller.script = None
    stage.end_lease()
    stage.run("UPDATE biller_states SET probe_until = NULL WHERE biller = :c", c=stage.code)
    for payment in waiting:
        stage.drain_until(payment, "captured")
    assert len(stage.biller.sold) == 9
    assert probe.claim.payment_id in {payment.id for payment in waiting}


def test_an_answer_in_the_billers_own_words_is_no_failure(stage: Stage) -> None:
    stage.rules(breaker_failures=1)
    stage.biller.script = in_turn(pending, refuse("02"))
    stage.drain_until(stage.pay(), "released")
    stage.biller.script = None
    stage.drain_until(stage.pay(), "captured")
    (row,) = stage.run("SELECT * FROM biller_states WHERE biller = :c", c=stage.code)
    assert (row.failures, row.open_until) == (0, None)
    assert row.deposit_minor == 99_000_000


def test_a_name_check_respects_the_breaker_and_counts(stage: Stage) -> None:
    stage.rules(breaker_failures=2, breaker_open_seconds=60)
    stage.run("INSERT INTO biller_states (biller) VALUES (:c)", c=stage.code)
    stage.biller.script = lambda _biller, _body: None

    def refusal() -> str:
        inquiries = Inquiries(stage.db, stage.market, wires(stage.market, stage.settings))
        with pytest.raises(DomainError) as raised:
            inquiries.inquire(stage.product, "54100234563", at=now())
        return raised.value.code

    assert refusal() == "biller_down"
    assert refusal() == "biller_down"
    asked = len(stage.biller.requests)
    assert refusal() == "biller_down"
    assert len(stage.biller.requests) == asked


def test_one_unusual_meter_does_not_shut_the_biller(stage: Stage) -> None:
    stage.rules(breaker_failures=2)
    stage.run("INSERT INTO biller_states (biller, failures) VALUES (:c, 1)", c=stage.code)
    stage.biller.script = lambda _biller, body: {
        "rc": "42", "status": "Gagal", "customer_no": body["customer_no"], "message": "blocked",
    }  # fmt: skip
    inquiries = Inquiries(stage.db, stage.market, wires(stage.market, stage.settings))
    for _ in range(3):
        with pytest.raises(DomainError, match="biller_down"):
            inquiries.inquire(stage.product, "54100234563", at=now())
    assert BreakerView(stage.db).standing(stage.code).breaker == "closed"
    assert len(stage.biller.requests) == 3


def test_a_name_check_tells_the_customer(stage: Stage) -> None:
    stage.biller.script = lambda _biller, body: {
        "rc": "00", "status": "Sukses", "customer_no": body["customer_no"], "name": "GRACE KAMAU",
    }  # fmt: skip
    inquiries = Inquiries(stage.db, stage.market, wires(stage.market, stage.settings))
    assert inquiries.inquire(stage.product, "54100234563", at=now()).name == "GRACE KAMAU"
    stage.biller.script = lambda _biller, body: {
        "rc": "54", "status": "Gagal", "customer_no": body["customer_no"],
    }  # fmt: skip
    with pytest.raises(DomainError, match="customer_unknown"):
        inquiries.inquire(stage.product, "54100234563", at=now())


def test_an_odd_answer_in_its_own_form_is_no_silence(stage: Stage) -> None:
    stage.rules(breaker_failures=2, breaker_open_seconds=60)
    stage.biller.script = lambda biller, body: {**biller.sell(body), "price": 1}
    for _ in range(3):
        stage.pay()
    stage.drain()
    assert BreakerView(stage.db).standing(stage.code).breaker == "closed"
