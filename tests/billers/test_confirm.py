"""One confirmation moves money once, or says why not and moves nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import bell
from app.billers import expiry, payments, resolution
from app.billers.payments import PaidBefore, PaymentView
from app.db import Database
from app.errors import DomainError
from app.wallet import intents, people
from app.wallet.keys import new_key, oldest_key
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now


def refusal(call: Callable[[], Any]) -> DomainError:
    with pytest.raises(DomainError) as raised:
        call()
    return raised.value


@pytest.fixture
def rung(stage: Stage, database_url: str) -> Iterator[list[str]]:
    """The queues that the stage's database rings from now on."""
    queues: list[str] = []
    stage.db = Database(database_url, ring=queues.append)
    yield queues
    stage.db.dispose()


def test_the_money_is_held_the_intent_done_and_the_bell_rung(stage: Stage, rung: list[str]) -> None:
    person = stage.person()
    payment = stage.pay(person)
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{8}", payment.reference)
    assert payment.biller_ref
    assert stage.balance(person).held_minor == AMOUNT + FEE
    intent = stage.db.transact(lambda s: intents.last_of_person(s, person.id))
    assert intent
    assert (intent.state, intent.subject) == ("done", payment.id)
    assert rung == [bell.PAYMENTS]


def test_the_same_intent_again_gives_the_first_payment(stage: Stage) -> None:
    person, agreed = stage.person(), stage.quote()
    intent = stage.intent(person, agreed)
    first = stage.confirm(person, agreed, intent)
    late = now() + timedelta(hours=1)
    assert stage.confirm(person, agreed, intent, at=late).id == first.id
    assert stage.balance(person).held_minor == AMOUNT + FEE


def test_who_was_suspended_meanwhile_pays_nothing(stage: Stage) -> None:
    """The menu has read the person before: staff may have been quicker."""
    person, agreed = stage.person(), stage.quote()
    intent = stage.intent(person, agreed)

    def pay(session: Session) -> PaymentView:
        seen = people.get(session, person.id)
        stage.db.transact(lambda s: people.suspend(s, person.id, now()))
        return payments.confirm(
            session, stage.market, intent_id=intent, person=seen, quote=agreed, now=now()
        )

    assert refusal(lambda: stage.db.transact(pay)).code == "person_suspended"
    assert stage.balance(person).held_minor == 0


def test_sixteen_confirmations_at_once_make_one_payment(stage: Stage) -> None:
    person, agreed = stage.person(), stage.quote()
    intent = stage.intent(person, agreed)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: stage.confirm(person, agreed, intent).id, range(16)))
    assert len(set(made)) == 1
    assert stage.balance(person).held_minor == AMOUNT + FEE


def test_every_refusal_has_a_name_and_changes_nothing(stage: Stage) -> None:
    person, agreed = stage.person(), stage.quote()
    intent = stage.intent(person, agreed)
    other, dearer = stage.person(), stage.quote(AMOUNT + 100)

    def confirm(**changes: Any) -> DomainError:
        facts = {"person": person, "agreed": agreed, "intent_id": intent} | changes
        return refusal(lambda: stage.confirm(**facts))

    assert confirm(intent_id=new_key()).code == "intent_closed"
    assert confirm(person=other).code == "intent_closed"
    assert confirm(agreed=dearer).code == "intent_changed"
    assert confirm(at=now() + timedelta(seconds=121)).code == "intent_expired"
    stage.run("INSERT INTO biller_states (biller) VALUES (:code)", code=stage.code)
    stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=True))
    assert confirm().code == "biller_paused"
    stage.db.transact(lambda s: resolution.set_paused(s, stage.code, paused=False))
    stage.run(
        "UPDATE biller_states SET open_until = now() + interval '1 minute' WHERE biller = :code",
        code=stage.code,
    )
    assert confirm().code == "biller_down"
    stage.run("UPDATE biller_states SET open_until = NULL WHERE biller = :code", code=stage.code)
    assert stage.balance(person).held_minor == 0

    assert stage.confirm(person, agreed, intent).state == "held"


def test_too_little_money_says_what_is_needed_and_what_is_there(stage: Stage) -> None:
    person = stage.person(balance_minor=AMOUNT)
    agreed = stage.quote()
    intent = stage.intent(person, agreed)
    refused = refusal(lambda: stage.confirm(person, agreed, intent))
    assert refused.code == "insufficient_funds"
    assert refused.facts == {"total": "KES 510.00", "available": "KES 500.00"}
    # The intent is still open: the refusal undid its transaction, the channel decides what next.
    assert stage.db.transact(lambda s: intents.abandon(s, person.id, now())) == "not_done"


def test_limits_count_in_the_markets_day_and_come_back_with_the_money(stage: Stage) -> None:
    person = stage.person(balance_minor=20_000_000)
    big = stage.quote(5_000_000)
    # 21:30 and 20:30 UTC are the same date, yet two days in Nairobi.
    evening = now().replace(hour=20, minute=30) + timedelta(days=1)
    night = evening + timedelta(hours=1)

    def confirm(at: datetime) -> PaymentView:
        return stage.confirm(person, big, stage.intent(person, big, seconds=1e9), at=at)

    first, _ = confirm(evening), confirm(evening)
    refused = refusal(lambda: confirm(evening))
    assert (refused.code, refused.facts) == (
        "limit_day",
        {"day": "KES 100,000.00", "month": "KES 1,000,000.00"},
    )
    assert confirm(night).state == "held"
    stage.biller.script = None
    stage.run("UPDATE payments SET expires_at = now() - interval '1 s' WHERE id = :id", id=first.id)
    expiry.cancel_unsent(stage.db, stage.market, now())
    assert stage.view(first).state == "cancelled"
    assert confirm(evening).state == "held"


def test_an_amount_over_the_tier_is_refused_before_the_ledger(stage: Stage) -> None:
    tier = stage.market.tiers["tier0"].model_copy(update={"per_transaction_minor": 10_000})
    stage.market = stage.market.model_copy(update={"tiers": {"tier0": tier}})
    person, agreed = stage.person(), stage.quote()
    refused = refusal(lambda: stage.confirm(person, agreed, stage.intent(person, agreed)))
    assert (refused.code, refused.facts) == ("limit_transaction", {"once": "KES 100.00"})


def test_not_done_is_said_only_by_the_one_who_made_it_true(stage: Stage) -> None:
    person, agreed = stage.person(), stage.quote()
    intent = stage.intent(person, agreed)
    abandon = lambda: stage.db.transact(lambda s: intents.abandon(s, person.id, now()))  # noqa: E731
    taken, go_on = threading.Event(), threading.Event()

    def confirm_slowly(session: Any) -> PaymentView:
        view = payments.confirm(
            session, stage.market, intent_id=intent, person=person, quote=agreed, now=now()
        )
        taken.set()
        go_on.wait(5)
        return view

    with ThreadPoolExecutor(1) as pool:
        confirming = pool.submit(lambda: stage.db.transact(confirm_slowly))
        taken.wait(5)
        assert abandon() == "in_progress"
        go_on.set()
        assert confirming.result().state == "held"
    assert abandon() == "nothing_open"

    late = stage.intent(person, agreed)
    assert abandon() == "not_done"
    assert refusal(lambda: stage.confirm(person, agreed, late)).code == "intent_closed"


def test_the_newest_intent_is_the_one_that_came_last_whatever_a_clock_says(stage: Stage) -> None:
    """The clock of who made the second one stands a minute back, and so does its id."""
    person, agreed = stage.person(), stage.quote()
    stage.intent(person, agreed)
    second = oldest_key(now() - timedelta(seconds=60))
    assert stage.intent(person, agreed, intent_id=second) == second
    newest = stage.db.transact(lambda s: intents.last_of_person(s, person.id))
    assert newest
    assert newest.id == second


def test_an_intent_past_its_deadline_is_closed_by_house_keeping(stage: Stage) -> None:
    person, agreed = stage.person(), stage.quote()
    stage.intent(person, agreed, seconds=-1)
    assert stage.db.transact(lambda s: intents.expire(s, now())) >= 1
    last = stage.db.transact(lambda s: intents.last_of_person(s, person.id))
    assert last
    assert last.state == "expired"
    found = stage.db.transact(lambda s: intents.of_session(s, last.session_hash))
    assert found
    assert found.id == last.id


def test_what_a_person_can_look_up(stage: Stage) -> None:
    person = stage.person()
    meters = [stage.quote().customer_no for _ in range(2)]
    paid = []
    for meter in (meters[0], meters[1], meters[0]):
        agreed = stage.quote(meter=meter)
        paid.append(stage.confirm(person, agreed, stage.intent(person, agreed)))
    stage.drain()
    waiting = stage.pay(person)

    def look(session: Any) -> None:
        recent = payments.recent(session, person.id, 3)
        assert [view.id for view in recent] == [waiting.id, paid[2].id, paid[1].id]
        assert [v.id for v in payments.tokens(session, person.id, 5)] == [p.id for p in paid[::-1]]
        found = payments.of_reference(session, f" {waiting.reference.lower()} ")
        assert found
        assert found.id == waiting.id
        assert payments.of_reference(session, "NOSUCH00") is None

        later = stage.market.model_copy(update={"billers": {}})
        last = payments.last_customer(session, person.id, market=stage.market)
        assert last == PaidBefore(stage.product, meters[0])
        assert payments.last_customer(session, person.id, market=later) is None

    stage.db.transact(look)
    assert BALANCE - stage.balance(person).available_minor == 4 * (AMOUNT + FEE)
