"""What a clock ends, however much there is of it and whatever stands at its head."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from app.billers import expiry, resolution
from app.billers.payments import PaymentView
from app.billers.settlement import ALARMS
from tests.billers.stage import AMOUNT, FEE, Stage, now


def overdue(stage: Stage, payments: list[PaymentView]) -> None:
    """Their time is over, in this order, before that of anybody else's payments."""
    for place, payment in enumerate(payments):
        stage.run(
            "UPDATE payments SET expires_at = now() - interval '1 day' + make_interval(secs => :n)"
            " WHERE id = :id",
            id=payment.id,
            n=place,
        )


def states(stage: Stage, payments: list[PaymentView]) -> list[str]:
    return [str(stage.view(payment).state) for payment in payments]


def test_a_round_ends_as_many_as_there_are(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "PAGE", 3)
    person = stage.person()
    unsent = [stage.pay(person, 5_000) for _ in range(60)]
    overdue(stage, unsent)
    assert expiry.cancel_unsent(stage.db, stage.market, now()) >= 60
    assert set(states(stage, unsent)) == {"cancelled"}


def test_a_round_has_an_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "ROUND_SECONDS", 0.0)
    overdue(stage, [stage.pay()])
    assert expiry.cancel_unsent(stage.db, stage.market, now()) == 0


def test_a_payment_that_cannot_be_ended_stops_no_other(
    stage: Stage, migration_database_url: str
) -> None:
    broken, sound = stage.pay(), stage.pay()
    overdue(stage, [broken, sound])

    def count(used: int) -> None:
        """Below what its hold has to give back, the counter's CHECK refuses the release."""
        with psycopg.connect(migration_database_url) as owner:
            owner.execute(
                "UPDATE limit_counters SET used = %s WHERE account_id ="
                " (SELECT wallet_id FROM payments WHERE id = %s)",
                [used, broken.id],
            )

    count(0)
    alarms = ALARMS.labels("not_ended")._value.get()
    expiry.cancel_unsent(stage.db, stage.market, now())
    assert states(stage, [broken, sound]) == ["held", "cancelled"]
    assert ALARMS.labels("not_ended")._value.get() == alarms + 1
    count(AMOUNT)
    expiry.cancel_unsent(stage.db, stage.market, now())
    assert states(stage, [broken]) == ["cancelled"]


def test_a_payment_that_somebody_works_on_waits_for_the_next_round(stage: Stage) -> None:
    person = stage.person()
    busy, free = stage.pay(person), stage.pay()
    overdue(stage, [busy, free])
    with stage.db.engine.begin() as holder:
        lock = text("SELECT FROM payments WHERE id = :id FOR UPDATE")
        holder.execute(lock, {"id": busy.id})
        expiry.cancel_unsent(stage.db, stage.market, now())
        assert states(stage, [busy, free]) == ["held", "cancelled"]
    expiry.cancel_unsent(stage.db, stage.market, now())
    assert states(stage, [busy]) == ["cancelled"]


def test_a_payment_of_a_biller_that_left_the_market_becomes_manual(stage: Stage) -> None:
    person = stage.person()
    payment = stage.pay(person)
    stage.claim()
    stage.end_lease()
    later = stage.market.model_copy(update={"billers": {}})
    expiry.end_asking(stage.db, later, now())
    assert stage.view(payment).state == "sent"

    stage.run(
        "UPDATE payments SET first_sent_at = now() - make_interval(secs => :bound) WHERE id = :id",
        id=payment.id,
        bound=expiry.GONE_BILLER_SECONDS,
    )
    expiry.end_asking(stage.db, later, now())
    assert stage.view(payment).state == "manual"
    assert stage.balance(person).held_minor == AMOUNT + FEE
    ((kind, facts),) = stage.messages(payment)
    assert (kind, facts["product"]) == ("payment_manual", stage.product)

    decide = {"evidence": "the biller's last letter", "now": now()}
    stage.db.transact(
        lambda s: resolution.propose(s, payment.reference, "refused", maker="rose", **decide)  # type: ignore[arg-type]
    )
    stage.db.transact(
        lambda s: resolution.approve(s, later, payment.reference, checker="paul", now=now())
    )
    assert stage.view(payment).state == "released"
