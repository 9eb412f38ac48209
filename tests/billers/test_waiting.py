"""Who waits a minute for a biller is told so, once, and then the outcome."""

from __future__ import annotations

import pytest

from app.billers import waiting
from tests.billers.played import honest, in_turn, pending
from tests.billers.stage import Stage, now


def test_one_sms_at_a_minute_and_then_the_outcome(stage: Stage) -> None:
    stage.biller.script = in_turn(pending, honest)
    payment = stage.pay()
    stage.drain()
    stage.sent_ago(59)
    waiting.tell(stage.db, stage.market, now())
    assert [kind for kind, _ in stage.messages(payment)] == []
    stage.sent_ago(61)
    waiting.tell(stage.db, stage.market, now())
    waiting.tell(stage.db, stage.market, now())
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_waiting"]
    stage.drain_until(payment, "captured")
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_waiting", "payment_paid"]


@pytest.mark.parametrize("policy", ["wait"])
def test_who_is_paid_by_file_was_told_at_once(stage: Stage, policy: str) -> None:
    stage.biller.script = pending
    payment = stage.pay()
    stage.drain()
    stage.sent_ago(61)
    rules = stage.market.billers[stage.code].model_copy(update={"silence_policy": policy})
    market = stage.market.model_copy(update={"billers": {stage.code: rules}})
    waiting.tell(stage.db, market, now())
    assert stage.messages(payment) == []


def test_what_was_not_sent_yet_gives_way_to_the_outcome(stage: Stage) -> None:
    stage.biller.script = in_turn(pending, honest)
    payment = stage.pay()
    stage.drain()
    stage.sent_ago(61)
    waiting.tell(stage.db, stage.market, now())
    stage.drain_until(payment, "captured")
    rows = stage.run("SELECT kind, state FROM messages WHERE subject = :id", id=payment.id)
    assert {(row.kind, row.state) for row in rows} == {
        ("payment_waiting", "gave_up"),
        ("payment_paid", "due"),
    }
