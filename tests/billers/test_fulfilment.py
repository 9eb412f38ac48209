"""From a held payment to its outcome: what the biller said, and what happened to the money."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import text

from app.billers import expiry
from app.db import Database
from app.markets.model import Market
from tests.billers.played import (
    Body,
    PlayedBiller,
    honest,
    http,
    in_turn,
    lose_after_selling,
    pending,
    played_biller,
    refuse,
    slow,
)
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, market_with, now


def test_a_sale_captures_every_share_and_tells_the_token(stage: Stage) -> None:
    house = {name: stage.house(name) for name in ("fees", "tax", "commission")}
    person = stage.person()
    payment = stage.pay(person)
    assert payment.state == "held"
    assert stage.balance(person).available_minor == BALANCE - AMOUNT - FEE

    stage.drain()

    paid = stage.view(payment)
    assert paid.state == "captured"
    sold = stage.biller.sold[paid.biller_ref]
    assert paid.token == sold["sn"].split("/")[0]
    assert stage.biller.requests[0]["amount"] == AMOUNT // 100
    balance = stage.balance(person)
    assert (balance.balance_minor, balance.held_minor) == (BALANCE - AMOUNT - FEE, 0)
    # 15 % excise is contained in the fee of 10.00; no agent took part, so nobody earns of it.
    assert stage.house(f"settlement:{stage.code}") == AMOUNT
    assert stage.house("tax") - house["tax"] == 130
    assert stage.house("commission") - house["commission"] == 0
    assert stage.house("fees") - house["fees"] == FEE - 130
    ((kind, facts),) = stage.messages(payment)
    assert kind == "payment_paid"
    assert facts["tokens"] == [paid.token]
    assert facts["balance_minor"] == BALANCE - AMOUNT - FEE
    assert (facts["amount_minor"], facts["fee_minor"]) == (AMOUNT, FEE)
    assert (facts["reference"], facts["product"]) == (paid.reference, "Stima token")
    assert stage.steps(payment) == [
        "held>held confirmed",
        "held>sent claimed",
        "sent>captured paid",
    ]


@pytest.mark.parametrize("code", ["02", "54", "40", "44", "60"])
def test_a_listed_code_gives_the_money_back_and_says_so(stage: Stage, code: str) -> None:
    stage.biller.script = refuse(code)
    person = stage.person()
    payment = stage.pay(person)
    stage.drain()
    assert stage.view(payment).state == "released"
    assert stage.balance(person).available_minor == BALANCE
    ((kind, facts),) = stage.messages(payment)
    assert kind == "payment_refused"
    assert (facts["total_minor"], facts["balance_minor"]) == (AMOUNT + FEE, BALANCE)


@pytest.mark.parametrize("code", ["01", "49", "42", "99"])
def test_an_unlisted_failure_is_unknown(stage: Stage, code: str) -> None:
    stage.biller.script = refuse(code)
    payment = stage.pay()
    stage.drain()
    assert stage.view(payment).state == "unknown"
    assert stage.messages(payment) == []


@pytest.mark.parametrize(
    "first",
    [
        lose_after_selling,
        http("400 Bad Request"),
        http("500 Internal Server Error"),
        http("200 OK", "<html>free wifi</html>"),
        pending,
    ],
)
def test_whatever_is_no_answer_is_asked_about_with_the_same_reference(
    stage: Stage, first: object
) -> None:
    stage.biller.script = in_turn(first, honest)  # type: ignore[arg-type]
    person = stage.person()
    payment = stage.pay(person)
    stage.drain()
    assert stage.view(payment).state == "unknown"
    assert stage.balance(person).held_minor == AMOUNT + FEE

    paid = stage.drain_until(payment, "captured")

    assert {body["ref_id"] for body in stage.biller.requests} == {paid.biller_ref}
    assert stage.balance(person).balance_minor == BALANCE - AMOUNT - FEE
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_paid"]


@pytest.mark.parametrize("code", ["40", "41", "44", "49", "50", "53", "55", "60"])
def test_on_a_repeated_request_these_codes_never_refuse_the_first(stage: Stage, code: str) -> None:
    stage.biller.script = in_turn(lose_after_selling, refuse(code), honest)
    payment = stage.pay()
    paid = stage.drain_until(payment, "captured", "released")
    assert paid.state == "captured"
    assert stage.biller.calls(paid.biller_ref) == 3


def test_a_refusal_of_our_reference_counts_also_when_asked(stage: Stage) -> None:
    stage.biller.script = in_turn(pending, refuse("02"))
    payment = stage.pay()
    assert stage.drain_until(payment, "captured", "released").state == "released"


def test_an_endless_silence_becomes_manual_once_and_keeps_the_hold(stage: Stage) -> None:
    stage.rules(manual_after_seconds=2)
    stage.biller.script = pending
    person = stage.person()
    payment = stage.pay(person)
    worker, deadline = stage.worker(), time.monotonic() + 8
    while stage.view(payment).state != "manual":
        assert time.monotonic() < deadline
        stage.drain(worker)
        expiry.end_asking(stage.db, stage.market, now())
        time.sleep(0.1)
    asked = len(stage.biller.requests)
    assert asked >= 2
    expiry.end_asking(stage.db, stage.market, now())
    assert stage.balance(person).held_minor == AMOUNT + FEE
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_manual"]
    stage.drain()
    assert len(stage.biller.requests) == asked


def test_a_slow_answer_within_the_time_out_is_an_answer(stage: Stage) -> None:
    stage.biller.script = slow(0.3)
    payment = stage.pay()
    stage.drain()
    assert stage.view(payment).state == "captured"


def test_a_silent_biller_starves_no_other(stage: Stage, silent_stage: Stage) -> None:
    stage.rules(timeout_seconds=3)
    both = stage.market.model_copy(
        update={"billers": {**silent_stage.market.billers, **stage.market.billers}}
    )
    stuck = [silent_stage.pay() for _ in range(4)]
    worker = silent_stage.worker_for(both, stage)
    drain = threading.Thread(target=lambda: stage.drain(worker, seconds=5))
    drain.start()
    time.sleep(0.3)  # the silent biller's threads are all taken
    payment = stage.pay()
    while stage.view(payment).state != "captured":
        assert silent_stage.biller.in_flight == 4, "the silent ones came to their end before it"
        time.sleep(0.02)
    drain.join()
    assert all(silent_stage.view(p).state == "unknown" for p in stuck)


def test_a_biller_whose_row_is_locked_holds_up_no_other(
    db: Database, demo: Market, stage: Stage
) -> None:
    with played_biller() as running:
        code = f"a{stage.code}"
        locked = Stage(db, market_with(demo, code), code, running)
        # It comes first, and its claim waits for the lock in vain.
        both = locked.market.model_copy(
            update={"billers": {**locked.market.billers, **stage.market.billers}}
        )
        worker = locked.worker_for(both, stage)
        worker.introduce()
        waiting, payment = locked.pay(), stage.pay()
        with db.engine.begin() as holder:
            holder.execute(
                text("SELECT FROM biller_states WHERE biller = :c FOR UPDATE"), {"c": locked.code}
            )
            began = time.monotonic()
            stage.drain(worker, seconds=5)
            assert time.monotonic() - began < 4
            assert stage.view(payment).state == "captured"
            assert locked.view(waiting).state == "held"
        assert locked.drain_until(waiting, "captured")


def test_thirty_two_are_in_flight_at_once(stage: Stage) -> None:
    stage.rules(timeout_seconds=5)

    def when_all_are_there(biller: PlayedBiller, body: Body) -> Body:
        deadline = time.monotonic() + 4
        while biller.most_in_flight < 32 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.4)  # for a thirty-third
        return biller.sell(body)

    stage.biller.script = when_all_are_there
    person = stage.person()
    sent = [stage.pay(person, 5_000) for _ in range(64)]
    began = time.monotonic()
    stage.drain()
    took = time.monotonic() - began
    assert all(stage.view(payment).state == "captured" for payment in sent)
    assert stage.biller.most_in_flight == 32
    assert took < 64 * 0.4 / 4
