"""Answers that come in together settle together, and each is worth what it is worth alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.billers import claims, models
from app.billers.claims import Work
from app.billers.protocols.answers import Answer, Outcome
from app.billers.settler import Settler
from app.billers.states import State
from app.wallet import ledger
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now

REFUSED = Answer(Outcome.REFUSED, "refused", "02", True)
SILENCE = Answer(Outcome.UNKNOWN, "timeout")


def sold(number: int) -> Answer:
    return Answer(
        Outcome.PAID, "paid", "00", True, (f"{number:020d}",),
        biller_txn=f"T{number}", receipt_no=f"R{number}",
    )  # fmt: skip


def together(settler: Settler, answered: list[tuple[Work, Answer]]) -> list[State | None]:
    """Each in a thread of its own, as calls come home."""
    until = time.monotonic() + claims.LEASE_SECONDS
    with ThreadPoolExecutor(len(answered)) as pool:
        settling = [
            pool.submit(settler.settle, work.claim, answer, lease_end=until)
            for work, answer in answered
        ]
        return [one.result(20) for one in settling]


@pytest.fixture
def settler(stage: Stage) -> Iterator[Settler]:
    made = Settler(stage.db, stage.market)
    yield made
    made.close()


def row(stage: Stage, payment_id: UUID) -> Any:
    (found,) = stage.run("SELECT * FROM payments WHERE id = :id", id=payment_id)
    return found


def test_each_of_many_sales_is_captured_with_its_own_words(stage: Stage, settler: Settler) -> None:
    people = [stage.person() for _ in range(5)]
    payments = [stage.pay(people[turn % 5], AMOUNT) for turn in range(40)]
    works = {work.claim.payment_id: work for work in stage.claim()}
    numbered = [(works[p.id], sold(n)) for n, p in enumerate(payments) if p.id in works]
    assert len(numbered) == 32, "the biller's cap"

    assert together(settler, numbered) == [State.CAPTURED] * len(numbered)

    for number, payment in enumerate(payments):
        if payment.id not in works:
            continue
        stored = row(stage, payment.id)
        assert (stored.state, stored.came_from) == ("captured", "sent")
        assert stored.tokens == [f"{number:020d}"]
        assert (stored.biller_txn, stored.receipt_no) == (f"T{number}", f"R{number}")
        assert (stored.due_at, stored.lease_until) == (None, None)
        assert stage.steps(payment)[-1] == "sent>captured paid"
        ((kind, facts),) = stage.messages(payment)
        assert kind == "payment_paid"
        assert facts["tokens"] == [f"{number:020d}"]
        assert (facts["reference"], facts["receipt_no"]) == (payment.reference, f"R{number}")
    left = {person.id: 0 for person in people}
    for turn, payment in enumerate(payments):
        left[people[turn % 5].id] += payment.id in works
    for person in people:
        balance = stage.balance(person)
        assert balance.balance_minor == BALANCE - left[person.id] * (AMOUNT + FEE)
    assert stage.house(f"settlement:{stage.code}") == 32 * AMOUNT


def test_what_is_no_sale_or_no_longer_undecided_goes_alone(stage: Stage, settler: Settler) -> None:
    refused, silent, captured, undone, plain = (stage.pay(stage.person()) for _ in range(5))
    works = {work.claim.payment_id: work for work in stage.claim()}
    together(settler, [(works[captured.id], sold(3))])
    stage.run("UPDATE payments SET reversing_at = clock_timestamp() WHERE id = :id", id=undone.id)
    states = together(
        settler,
        [
            (works[refused.id], REFUSED),
            (works[silent.id], SILENCE),
            (works[captured.id], sold(3)),
            (works[undone.id], sold(4)),
            (works[plain.id], sold(5)),
        ],
    )
    assert states == ["released", "unknown", "captured", "sent", "captured"]
    assert stage.steps(captured)[-1] == "captured>captured paid_again"
    assert stage.steps(undone)[-1] == "sent>sent sold_before_reversal"
    assert stage.house(f"settlement:{stage.code}") == 2 * AMOUNT


def test_two_answers_about_one_payment_capture_it_once(stage: Stage, settler: Settler) -> None:
    payment, other = stage.pay(stage.person()), stage.pay(stage.person())
    works = {work.claim.payment_id: work for work in stage.claim()}
    mine = works[payment.id]
    states = together(settler, [(mine, sold(1))] * 4 + [(works[other.id], sold(2))])
    assert states == [State.CAPTURED] * 5
    assert stage.steps(payment).count("sent>captured paid") == 1
    assert len(stage.messages(payment)) == 1
    assert stage.house(f"settlement:{stage.code}") == 2 * AMOUNT


def test_one_that_somebody_works_on_does_not_hold_up_the_others(
    stage: Stage, settler: Settler
) -> None:
    busy, free = stage.pay(stage.person()), stage.pay(stage.person())
    works = {work.claim.payment_id: work for work in stage.claim()}
    begun, over = threading.Event(), threading.Event()

    def work_on_it(session: Session) -> None:
        models.lock(session, busy.id)
        begun.set()
        over.wait(5)

    with ThreadPoolExecutor(3) as pool:
        elsewhere = pool.submit(stage.db.transact, work_on_it)
        assert begun.wait(5)
        until = time.monotonic() + claims.LEASE_SECONDS
        slow = pool.submit(settler.settle, works[busy.id].claim, sold(1), lease_end=until)
        quick = pool.submit(settler.settle, works[free.id].claim, sold(2), lease_end=until)
        assert quick.result(5) is State.CAPTURED
        assert not slow.done()
        over.set()
        elsewhere.result(5)
        assert slow.result(5) is State.CAPTURED


def test_one_that_the_ledger_refuses_takes_no_other_with_it(stage: Stage, settler: Settler) -> None:
    """Its hold is gone, which no code of ours does: it stays as it was, and it alone."""
    lost, fine = stage.pay(stage.person()), stage.pay(stage.person())
    works = {work.claim.payment_id: work for work in stage.claim()}
    hold_id = row(stage, lost.id).hold_id
    stage.db.transact(lambda s: ledger.release(s, hold_id, reason="by hand", now=now()))
    until = time.monotonic() + claims.LEASE_SECONDS
    with ThreadPoolExecutor(2) as pool:
        broken = pool.submit(settler.settle, works[lost.id].claim, sold(1), lease_end=until)
        good = pool.submit(settler.settle, works[fine.id].claim, sold(2), lease_end=until)
        assert good.result(10) is State.CAPTURED
        with pytest.raises(RuntimeError, match="capture of"):
            broken.result(10)
    assert stage.view(lost).state == "sent"
    assert stage.messages(lost) == []
