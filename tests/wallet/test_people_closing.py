"""Closing a wallet: paid out first, to the last unit, once; never an agent's, never while money may
come back.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.wallet import agents, intents, ledger, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers import closing, records, vouchers
from app.wallet.transfers.records import TransferView
from tests.people import fresh_msisdn
from tests.wallet.bank import posting
from tests.wallet.customers import Town


def close(town: Town, person: Person, closing_id: UUID | None = None) -> TransferView | None:
    now, key = datetime.now(UTC), closing_id or new_key()
    return town.run(lambda s: closing.close(s, town.market, person.id, closing_id=key, now=now))


def refusal(town: Town, person: Person) -> str:
    """What closing says; `done` when it closed."""
    now = datetime.now(UTC)
    return town.said(
        lambda s: closing.close(s, town.market, person.id, closing_id=new_key(), now=now)
    )


def on_the_way(session: Session) -> int:
    account = ledger.house_account(session, "payouts_in_transit", "KES")
    return ledger.balance(session, account).balance_minor


def test_everything_is_paid_out_then_the_wallet_is_closed(town: Town) -> None:
    person, before = town.customer(12_345), town.run(on_the_way)
    offered = town.run(lambda s: closing.offer(s, town.market, people.get(s, person.id)))
    assert (offered.amount_minor, offered.fee_minor, offered.total_minor) == (12_345, 0, 12_345)
    view = close(town, person)
    assert view is not None
    assert (view.kind, view.amount_minor, view.fee_minor) == ("closing", 12_345, 0)
    assert town.again(person).state == "closed"
    assert town.available(person) == 0
    assert town.run(on_the_way) - before == 12_345
    (told,) = town.messages(person.id)
    assert (told.kind, told.facts["amount_minor"]) == ("account_closed", 12_345)
    assert told.facts["reference"] == view.reference
    (shown,) = town.run(lambda s: records.recent(s, person.id, 5))
    assert shown.id == view.id
    assert town.bank.verify() == []


def test_an_empty_wallet_just_closes(town: Town) -> None:
    person = town.customer()
    assert close(town, person) is None
    assert town.again(person).state == "closed"
    assert [told.kind for told in town.messages(person.id)] == ["account_closed_empty"]
    assert refusal(town, person) == "person_closed"


def test_a_sleeping_wallet_can_be_closed(town: Town) -> None:
    person = town.customer(500)
    town.sql("UPDATE people SET state = 'dormant' WHERE id = :id", id=person.id)
    assert close(town, person) is not None
    assert town.again(person).state == "closed"


def test_a_closed_number_stays_closed(town: Town) -> None:
    person = town.customer()
    close(town, person)
    with pytest.raises(Exception, match="already_registered"):
        town.customer(msisdn=person.msisdn)
    assert town.said(lambda s: people.resume(s, person.id, datetime.now(UTC))) == "person_state"


def test_what_comes_back_later_is_paid_out_by_closing_again(town: Town) -> None:
    person = town.customer(500)
    close(town, person)
    assert town.bank.pay_in(person.wallet_id, 700).refusal is None
    view = close(town, person)
    assert view is not None
    assert (view.amount_minor, town.available(person)) == (700, 0)
    assert town.again(person).state == "closed"


def held(town: Town, person: Person) -> None:
    assert town.bank.hold(person.wallet_id, 100).refusal is None


def suspended(town: Town, person: Person) -> None:
    town.run(lambda s: people.suspend(s, person.id, datetime.now(UTC)))


def agent(town: Town, person: Person) -> None:
    town.run(
        lambda s: agents.appoint(
            s, people.get(s, person.id), name="Neema", currency="KES", now=datetime.now(UTC)
        )
    )


@pytest.mark.parametrize(
    ("what", "reason"),
    [(held, "close_has_holds"), (suspended, "person_suspended"), (agent, "close_is_agent")],
)
def test_what_stands_in_the_way_changes_nothing(town: Town, what: object, reason: str) -> None:
    person = town.customer(500)
    what(town, person)  # type: ignore[operator]
    before = (town.again(person).state, town.available(person))
    assert refusal(town, person) == reason
    assert (town.again(person).state, town.available(person)) == before
    offered = town.said(lambda s: closing.offer(s, town.market, people.get(s, person.id)))
    assert offered == reason


def test_a_voucher_that_may_come_back_stands_in_the_way(town: Town) -> None:
    person, intent_id, now = town.customer(100_000), new_key(), datetime.now(UTC)
    offered = town.run(
        lambda s: vouchers.offer(s, town.market, person, fresh_msisdn(), 50_000, at=now)
    )

    def send(session: Session) -> TransferView:
        intents.open_intent(
            session,
            intent_id,
            session_hash=b"x",
            person_id=person.id,
            kind="voucher",
            fingerprint=offered.fingerprint,
            deadline=now + timedelta(minutes=2),
        )
        return vouchers.confirm(
            session,
            town.market,
            town.codes,
            offered,
            intent_id=intent_id,
            by=person.id,
            now=now,
        )

    sent = town.run(send)
    assert refusal(town, person) == "close_has_holds"
    town.run(lambda s: vouchers.cancel(s, sent.id, by=person.id, now=now))
    view = close(town, person)
    assert view is not None
    assert view.amount_minor == 100_000, "fee and amount came back and went out"


def test_who_is_only_invited_cannot_be_closed(town: Town) -> None:
    assert refusal(town, town.invited()) == "person_state"


def test_six_closings_at_once_pay_out_once(town: Town) -> None:
    person, barrier = town.customer(900), Barrier(6)
    before = town.run(on_the_way)

    def one(_: int) -> str:
        barrier.wait(10)
        return refusal(town, person)

    with ThreadPoolExecutor(6) as pool:
        said = Counter(pool.map(one, range(6)))
    assert said == {"done": 1, "person_closed": 5}
    assert town.run(on_the_way) - before == 900
    assert len(town.messages(person.id)) == 1


def test_money_that_moves_meanwhile_is_neither_lost_nor_paid_twice(town: Town) -> None:
    """Payments out of the wallet race with its closing; each unit goes one way."""
    person, other = town.customer(1_000), town.customer()
    barrier = Barrier(6)
    before = town.run(on_the_way)

    def pay(_: int) -> str:
        barrier.wait(10)
        (answer,) = town.bank.post(posting((person.wallet_id, other.wallet_id, 100)))
        return answer.refusal or "paid"

    def end() -> str:
        barrier.wait(10)
        return refusal(town, person)

    with ThreadPoolExecutor(6) as pool:
        ending = pool.submit(end)
        paid = Counter(pool.map(pay, range(5)))["paid"]
        said = ending.result()
    went = town.run(on_the_way) - before
    assert town.available(other) == 100 * paid
    assert town.available(person) == 1_000 - 100 * paid - went
    assert (said, went > 0) in {("done", True), ("insufficient_funds", False)}
    assert town.again(person).state == ("closed" if said == "done" else "active")
    assert town.bank.verify() == []
