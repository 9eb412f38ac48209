"""Who may call a biller, and whose answer counts: leases, fences, caps, breaker, pause."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.billers import claims, expiry, settlement
from app.billers.claims import Work
from app.billers.payments import PaymentView
from app.billers.protocols import wires
from app.billers.protocols.answers import Answer, Outcome
from app.wallet import ledger
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now

TOKEN, OTHER_TOKEN = "00000000000000000001", "00000000000000000002"
PAID = Answer(Outcome.PAID, "paid", "00", True, (TOKEN,))
REFUSED = Answer(Outcome.REFUSED, "refused", "02", True)
REFUSED_FIRST = Answer(Outcome.REFUSED_FIRST, "refused_first", "44", True)
SILENCE = Answer(Outcome.UNKNOWN, "timeout")


def record(stage: Stage, work: Work, answer: Answer) -> str:
    return stage.db.transact(
        lambda s: settlement.record(s, stage.market, work.claim, answer, now())
    )


def claimed_twice(stage: Stage) -> tuple[PaymentView, Work, Work]:
    """A payment whose first worker stalled, and the claim of the second."""
    payment = stage.pay()
    (first,) = stage.claim()
    stage.end_lease()
    (second,) = stage.claim()
    assert (first.claim.fence, second.claim.fence) == (1, 2)
    assert (first.claim.request, second.claim.request) == (1, 2)
    return payment, first, second


def test_two_workers_claim_a_payment_once(stage: Stage) -> None:
    person = stage.person()
    sent = {stage.pay(person, 5_000).id for _ in range(12)}
    with ThreadPoolExecutor(4) as pool:
        taken = [w for works in pool.map(lambda _: stage.claim(5), range(8)) for w in works]
    assert len(taken) == len(sent)
    assert {work.claim.payment_id for work in taken} == sent


@pytest.mark.parametrize("ahead_seconds", [40, -40])
def test_a_payment_is_due_at_once_whatever_the_clock_that_confirmed_it(
    stage: Stage, ahead_seconds: int
) -> None:
    person, agreed = stage.person(), stage.quote()
    payment = stage.confirm(
        person, agreed, stage.intent(person, agreed), now() + timedelta(seconds=ahead_seconds)
    )
    (row,) = stage.run(
        "SELECT extract(epoch FROM clock_timestamp() - due_at) AS late FROM payments"
        " WHERE id = :id",
        id=payment.id,
    )
    assert 0 <= row.late < 20
    assert [work.claim.payment_id for work in stage.claim()] == [payment.id]


def test_a_claim_is_on_disk_before_any_byte_leaves(stage: Stage) -> None:
    payment = stage.pay()
    (work,) = stage.claim()
    (row,) = stage.run(
        "SELECT p.state, p.biller_ref, h.expires_at FROM payments p"
        " JOIN holds h ON h.id = p.hold_id WHERE p.id = :id",
        id=payment.id,
    )
    assert (row.state, row.biller_ref) == ("sent", work.order.biller_ref)
    assert row.expires_at is None
    assert stage.biller.requests == []


def test_the_cap_holds_over_all_workers(stage: Stage) -> None:
    stage.rules(concurrency=3)
    person = stage.person()
    for _ in range(5):
        stage.pay(person, 5_000)
    assert len(stage.claim()) == 3
    assert stage.claim() == []
    stage.end_lease()
    assert len(stage.claim()) == 3


def test_a_killed_worker_after_the_sale_is_settled_once_by_asking(stage: Stage) -> None:
    person = stage.person()
    payment = stage.pay(person)
    (work,) = stage.claim()
    wires(stage.market, stage.settings)[stage.code].pay(work.order)
    stage.drain()
    assert stage.view(payment).state == "sent"  # leased: nobody touches it
    stage.end_lease()
    stage.drain()
    paid = stage.view(payment)
    assert paid.state == "captured"
    assert stage.biller.calls(paid.biller_ref) == 2
    assert len(stage.biller.sold) == 1
    assert stage.balance(person).balance_minor == BALANCE - AMOUNT - FEE
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_paid"]


def test_a_stalled_workers_success_counts(stage: Stage) -> None:
    payment, first, second = claimed_twice(stage)
    assert record(stage, first, PAID) == "captured"
    assert record(stage, second, PAID) == "captured"
    assert len(stage.messages(payment)) == 1
    assert stage.house(f"settlement:{stage.code}") == AMOUNT


@pytest.mark.parametrize("late", [REFUSED, REFUSED_FIRST, SILENCE])
def test_a_stalled_workers_refusal_does_not(stage: Stage, late: Answer) -> None:
    """The second worker's request may have sold it since; only its answer decides."""
    payment, first, second = claimed_twice(stage)
    assert record(stage, first, late) == "sent"
    assert record(stage, second, PAID) == "captured"
    assert stage.steps(payment)[-2:] == ["sent>sent late_answer", "sent>captured paid"]


def test_a_success_after_the_release_is_paid_late_and_takes_nobodys_money(stage: Stage) -> None:
    late_before = stage.house("suspense:late")
    payment, first, second = claimed_twice(stage)
    assert record(stage, second, REFUSED) == "released"
    assert record(stage, first, PAID) == "paid_late"
    assert record(stage, first, PAID) == "paid_late"
    assert stage.house(f"settlement:{stage.code}") == AMOUNT
    assert stage.house("suspense:late") - late_before == -AMOUNT
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_refused"]


def test_a_refusal_after_the_capture_is_returned_into_suspense(stage: Stage) -> None:
    returned_before = stage.house("suspense:returned")
    payment, first, second = claimed_twice(stage)
    assert record(stage, first, PAID) == "captured"
    assert record(stage, second, REFUSED_FIRST) == "captured"
    assert record(stage, second, REFUSED) == "returned"
    assert stage.house(f"settlement:{stage.code}") == 0
    assert stage.house("suspense:returned") - returned_before == AMOUNT
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_paid", "payment_returned"]


def test_a_stalled_workers_refusal_after_the_capture_is_only_noted(stage: Stage) -> None:
    payment, first, second = claimed_twice(stage)
    assert record(stage, second, PAID) == "captured"
    assert record(stage, first, REFUSED) == "captured"
    assert stage.steps(payment)[-1] == "captured>captured late_answer"
    assert stage.house(f"settlement:{stage.code}") == AMOUNT


def test_another_token_for_a_paid_payment_only_rings_the_alarm(stage: Stage) -> None:
    payment, first, second = claimed_twice(stage)
    record(stage, second, PAID)
    other = Answer(Outcome.PAID, "paid", "00", True, (OTHER_TOKEN,))
    assert record(stage, first, other) == "captured"
    assert stage.view(payment).tokens == (TOKEN,)
    assert stage.steps(payment)[-1] == "captured>captured other_token"


def test_an_answer_that_comes_after_manual(stage: Stage) -> None:
    stage.rules(manual_after_seconds=2)
    for answer, state in ((REFUSED, "manual"), (SILENCE, "manual"), (PAID, "captured")):
        stage.pay()
        (work,) = stage.claim(1)
        stage.sent_ago(3)
        stage.end_lease()
        assert expiry.end_asking(stage.db, stage.market, now()) == 1
        assert record(stage, work, answer) == state


def test_a_process_that_was_stopped_after_its_claim_sends_nothing(stage: Stage) -> None:
    payment = stage.pay()
    worker = stage.worker()
    (work,) = stage.claim()
    long_ago = time.monotonic() - claims.LEASE_SECONDS
    worker._fulfil(stage.code, work, long_ago)
    assert stage.biller.requests == []
    assert stage.view(payment).state == "sent"


def test_nobody_asks_past_the_bound(stage: Stage) -> None:
    """Far past it, asking would be buying anew."""
    payment = stage.pay()
    stage.claim()
    stage.run(
        "UPDATE payments SET first_sent_at = now() - interval '31 days',"
        " lease_until = NULL, due_at = now() WHERE id = :id",
        id=payment.id,
    )
    stage.drain()
    assert stage.biller.requests == []
    expiry.end_asking(stage.db, stage.market, now())
    assert stage.view(payment).state == "manual"


def test_an_unsent_payment_ends_and_a_sent_one_does_not(stage: Stage) -> None:
    person = stage.person()
    sent, unsent = stage.pay(person), stage.pay(person)
    stage.claim(1)
    stage.run(
        "UPDATE payments SET expires_at = now() - interval '1 s' WHERE biller = :code",
        code=stage.code,
    )
    assert stage.claim() == []
    expiry.cancel_unsent(stage.db, stage.market, now())
    assert stage.view(unsent).state == "cancelled"
    assert stage.view(sent).state == "sent"
    assert stage.balance(person).held_minor == AMOUNT + FEE
    ((kind, facts),) = stage.messages(unsent)
    assert (kind, facts["balance_minor"]) == ("payment_cancelled", BALANCE - AMOUNT - FEE)


def test_a_payment_whose_hold_is_gone_is_never_sent(stage: Stage) -> None:
    payment = stage.pay()
    (row,) = stage.run("SELECT hold_id FROM payments WHERE id = :id", id=payment.id)
    stage.db.transact(lambda s: ledger.release(s, row.hold_id, reason="expired", now=now()))
    stage.drain()
    assert stage.biller.requests == []
    assert stage.view(payment).state == "cancelled"


def test_sending_and_expiring_at_once_have_one_winner(stage: Stage) -> None:
    person = stage.person()
    raced = [stage.pay(person, 5_000) for _ in range(20)]
    soon = (
        "UPDATE payments SET expires_at = clock_timestamp() + interval '150 ms' WHERE biller = :c"
    )
    stage.run(soon, c=stage.code)
    stop, taken = threading.Event(), set()

    def cancel() -> None:
        while not stop.is_set():
            expiry.cancel_unsent(stage.db, stage.market, now())

    def send() -> None:
        while not stop.is_set():
            taken.update(work.claim.payment_id for work in stage.claim(1))

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(work) for work in (cancel, send, send)]
        time.sleep(0.6)
        stop.set()
        for thread in running:
            thread.result()
    states = {payment.id: stage.view(payment).state for payment in raced}
    assert {key for key, state in states.items() if state == "sent"} == taken
    assert {key for key, state in states.items() if state == "cancelled"} == set(states) - taken
    held = stage.balance(person).held_minor
    assert held == len(taken) * raced[0].total_minor
