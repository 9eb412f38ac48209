"""The states of a person: who changes them, who waits for whom, and when a wallet falls asleep."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.notices import Recipient, notify
from app.wallet import intents, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from tests.wallet.customers import Town

NOW = datetime.now(UTC)
DAYS = timedelta(days=1)


def changes(town: Town, person: Person) -> dict[str, str]:
    """What each change of state says to this person as they are."""
    return {
        "suspend": town.said(lambda s: people.suspend(s, person.id, NOW)),
        "resume": town.said(lambda s: people.resume(s, person.id, NOW)),
        "close": town.said(lambda s: people.close(s, person.id, NOW)),
        "resume closed": town.said(lambda s: people.resume(s, person.id, NOW)),
        "tier": town.said(lambda s: people.set_tier(s, person.id, "tier2", NOW)),
    }


def test_suspended_and_resumed_until_closed_for_good(town: Town) -> None:
    assert changes(town, town.customer()) == {
        "suspend": "done",
        "resume": "done",
        "close": "done",
        "resume closed": "person_state",
        "tier": "person_state",
    }


def test_who_is_only_invited_can_be_changed_by_nobody(town: Town) -> None:
    assert set(changes(town, town.invited()).values()) == {"person_state"}


@pytest.mark.parametrize(
    ("state", "receives"),
    [
        ("active", True),
        ("dormant", True),
        ("suspended", False),
        ("closed", False),
        ("invited", False),
    ],
)
def test_who_may_receive(town: Town, state: str, receives: bool) -> None:
    person = town.invited() if state == "invited" else town.customer()
    town.sql("UPDATE people SET state = :state WHERE id = :id", state=state, id=person.id)
    found = town.again(person)
    assert people.may_receive(found) is receives
    pays = town.said(lambda s: people.refuse_inactive(people.get(s, person.id)))
    assert pays == ("done" if state == "active" else "person_suspended")


def test_a_tier_changes_the_limits_and_says_since_when(town: Town) -> None:
    person, later = town.customer(), NOW + DAYS
    town.run(lambda s: people.set_tier(s, person.id, "tier2", later))
    found = town.again(person)
    assert (found.tier, found.tier_since, found.state) == ("tier2", later, "active")


def test_a_change_of_state_waits_for_a_payment_that_is_under_way(town: Town) -> None:
    person = town.customer()
    locked, go_on, suspended = threading.Event(), threading.Event(), threading.Event()

    def pay(session: Session) -> str:
        state = people.locked_for_payment(session, person.id).state
        locked.set()
        assert go_on.wait(5)
        return state

    def suspend() -> None:
        town.run(lambda s: people.suspend(s, person.id, NOW))
        suspended.set()

    paying = threading.Thread(target=town.run, args=(pay,))
    paying.start()
    assert locked.wait(5)
    suspending = threading.Thread(target=suspend)
    suspending.start()
    assert not suspended.wait(0.3), "the payment still holds the row"
    go_on.set()
    for thread in (paying, suspending):
        thread.join(5)
    assert suspended.is_set()
    assert town.again(person).state == "suspended"


# --- dormancy ---


def look(town: Town, now: datetime) -> int:
    """Every chore until nobody is left to look at; how many fell asleep."""
    found = 0
    while town.sql(
        "SELECT 1 FROM people WHERE state = 'active' AND role = 'customer'"
        " AND look_again_at <= :now LIMIT 1",
        now=now,
    ):
        found += town.run(lambda s: people.find_dormant(s, town.market, now))
    return found


def age(town: Town, person: Person, days: int) -> None:
    """As if everything about a person had happened so long ago."""
    back = f"make_interval(days => {days})"
    times = ("created_at", "state_since", "look_again_at")
    earlier = ", ".join(f"{time} = {time} - {back}" for time in times)
    for query in (
        f"UPDATE people SET {earlier} WHERE id = :id",
        f"UPDATE intents SET created_at = created_at - {back} WHERE person_id = :id",
        f"UPDATE messages SET created_at = created_at - {back} WHERE person_id = :id",
    ):
        town.sql(query, id=person.id)


def confirm_something(town: Town, person_id: UUID) -> None:
    town.run(
        lambda s: intents.open_intent(
            s,
            new_key(),
            session_hash=b"x",
            person_id=person_id,
            kind="send",
            fingerprint=b"x",
            deadline=NOW + DAYS,
        )
    )


def tell_something(town: Town, person: Person) -> None:
    message_id = new_key()
    town.run(
        lambda s: notify(
            s,
            "deposit_received",
            Recipient(person.msisdn, "en", person.id),
            message_id=message_id,
            subject=message_id,
            facts={},
            now=NOW,
        )
    )


def test_who_is_quiet_for_the_markets_time_falls_asleep_and_wakes(town: Town) -> None:
    days = town.market.people.dormant_days
    quiet, fresh = town.customer(), town.customer()
    age(town, quiet, days + 1)
    look(town, NOW)
    assert (town.again(quiet).state, town.again(fresh).state) == ("dormant", "active")
    assert town.again(quiet).state_since == NOW
    town.run(lambda s: people.wake(s, quiet.id, NOW))
    assert town.again(quiet).state == "active"
    look(town, NOW + DAYS)
    assert town.again(quiet).state == "active", "waking is activity"


def test_what_keeps_a_wallet_awake(town: Town) -> None:
    """An old one that confirmed something, or got an SMS, which every movement makes."""
    days = town.market.people.dormant_days
    confirming, told, neither = (town.customer() for _ in range(3))
    for person in (confirming, told, neither):
        age(town, person, days + 1)
    confirm_something(town, confirming.id)
    tell_something(town, told)
    look(town, NOW)
    states = [town.again(person).state for person in (confirming, told, neither)]
    assert states == ["active", "active", "dormant"]


def test_each_is_looked_at_again_only_when_they_could_be_quiet(town: Town) -> None:
    person, days = town.customer(), town.market.people.dormant_days
    look(town, NOW + DAYS)
    after = town.again(person)
    assert after.look_again_at == after.state_since + days * DAYS
    assert look(town, NOW + DAYS) == 0
    look(town, NOW + (days + 2) * DAYS)
    assert town.again(person).state == "dormant"


def test_agents_invited_suspended_and_closed_do_not_sleep(town: Town) -> None:
    days = town.market.people.dormant_days
    agent = town.again(town.run(lambda s: people.get(s, town.agent().person_id)))
    suspended, closed, invited = town.customer(), town.customer(), town.invited()
    town.run(lambda s: people.suspend(s, suspended.id, NOW))
    town.run(lambda s: people.close(s, closed.id, NOW))
    everybody = (agent, suspended, closed, invited)
    for person in everybody:
        age(town, person, days + 1)
    look(town, NOW)
    states = [town.again(person).state for person in everybody]
    assert states == ["active", "suspended", "closed", "invited"]
    town.run(lambda s: people.wake(s, suspended.id, NOW))
    assert town.again(suspended).state == "suspended", "a PIN ends no suspension"


def test_a_look_is_bounded_and_leaves_alone_who_pays(town: Town) -> None:
    days = town.market.people.dormant_days
    look(town, NOW + DAYS)
    sleepers = [town.customer() for _ in range(5)]
    for person in sleepers:
        age(town, person, days + 1)

    def look_while_paying(session: Session) -> list[int]:
        people.locked_for_payment(session, sleepers[0].id)
        return [town.run(lambda s: people.find_dormant(s, town.market, NOW, 3)) for _ in range(3)]

    assert town.run(look_while_paying) == [3, 1, 0]
    assert town.again(sleepers[0]).state == "active"
    assert town.run(lambda s: people.find_dormant(s, town.market, NOW, 3)) == 1
