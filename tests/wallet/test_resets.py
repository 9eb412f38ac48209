"""A forgotten PIN: two actors, one code, used once; wrong documents and codes are counted."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from app.errors import DomainError
from app.wallet import agents, codes, people, resets
from app.wallet.agents import Agent
from app.wallet.people import Person
from app.wallet.resets import OpenReset
from tests.wallet.customers import ID_NUMBER, PIN, Town

NEW = "9182"


def ask(town: Town, person: Person, agent: Agent | None = None, **changed: Any) -> str:
    """An agent, or staff, ask for a code: `open`, or the refusal."""
    facts = {"now": datetime.now(UTC), "id_number": ID_NUMBER, **changed}
    by = {"by_agent": agent} if agent else {"by_staff": "wanja", "evidence": "last amount: right"}
    try:
        request = town.run(
            lambda s: resets.start(s, town.codes, town.market, person, **{**by, **facts})
        )
        resets.refuse_wrong_document(request)
    except DomainError as error:
        return error.code
    return request.state


def request_of(town: Town, person: Person, request_id: UUID | None = None) -> OpenReset | None:
    now = datetime.now(UTC)
    return town.run(lambda s: resets.open_request(s, person.id, now, request_id))


def answer(town: Town, person: Person, typed: str | None = None, *, pin: str = NEW) -> str:
    """The person's own phone: the code, then the new PIN. None types what the SMS says."""
    request = request_of(town, person)
    if request is None:
        return "nothing_open"
    try:
        code = town.run(lambda s: codes.outgoing(s, request.code_id))
        attempt = town.run(lambda s: town.codes.begin(s, request.code_id))
        town.codes.check(attempt, typed or town.codes.digits(code))
        finish(town, request, pin)
    except DomainError as error:
        return error.code
    return "changed"


def finish(town: Town, request: OpenReset, pin: str = NEW) -> None:
    sealed = town.pins.seal(request.person_id, pin)
    town.run(
        lambda s: resets.complete(
            s, town.codes, town.pins, town.market, request, sealed, now=datetime.now(UTC)
        )
    )


def wrong_code(town: Town, person: Person) -> str:
    request = request_of(town, person)
    assert request
    right = town.codes.digits(town.run(lambda s: codes.outgoing(s, request.code_id)))
    return f"{(int(right) + 1) % 10**6:06d}"


@pytest.fixture
def agent(town: Town) -> Agent:
    return town.agent()


@pytest.fixture
def person(town: Town, agent: Agent) -> Person:
    """Somebody with a document on file, who has locked their PIN."""
    one = town.invited(agent)
    town.accept(one)
    for _ in range(3):
        town.knock(one, "2846")
    assert town.knock(one, PIN) == "pin_locked"
    return town.again(one)


@pytest.mark.parametrize("by_agent", [True, False])
def test_the_phone_sets_the_new_pin_with_the_code_of_another(
    town: Town, agent: Agent, person: Person, by_agent: bool
) -> None:
    assert request_of(town, person) is None, "the phone alone asks for nothing"
    assert ask(town, person, agent if by_agent else None) == "open"
    assert town.knock(person, PIN) == "pin_locked", "asking alone changes nothing"
    assert answer(town, person) == "changed"
    assert town.knock(person, NEW) == "open", "and the lock is gone"
    kinds = [message.kind for message in town.messages(person.id)]
    assert kinds == ["invited", "pin_reset_code", "pin_changed"]
    (row,) = town.sql("SELECT * FROM pin_resets WHERE person_id = :id", id=person.id)
    started = (
        ("agent", str(agent.id), None) if by_agent else ("staff", "wanja", "last amount: right")
    )
    assert (row["started_by_kind"], row["started_by"], row["evidence"]) == started
    assert (row["state"], row["closed_at"] is not None) == ("done", True)


def test_the_code_goes_to_the_persons_own_number_only(
    town: Town, agent: Agent, person: Person
) -> None:
    ask(town, person, agent)
    told = town.sql("SELECT msisdn, facts FROM messages WHERE kind = 'pin_reset_code'")
    mine = [row for row in told if row["facts"]["code_id"] == str(request_of(town, person).code_id)]  # type: ignore[union-attr]
    assert [row["msisdn"] for row in mine] == [person.msisdn]
    assert mine[0]["facts"]["minutes"] == town.market.people.otp_seconds // 60


def test_a_code_is_good_for_one_pin(town: Town, agent: Agent, person: Person) -> None:
    ask(town, person, agent)
    request = request_of(town, person)
    assert request is not None
    assert answer(town, person) == "changed"
    assert answer(town, person) == "nothing_open"
    with pytest.raises(DomainError, match="code_used"):
        finish(town, request, "3748")
    assert town.knock(person, NEW) == "open"


def test_of_eight_hops_with_the_same_right_code_one_sets_its_pin(
    town: Town, agent: Agent, person: Person
) -> None:
    ask(town, person, agent)
    request, barrier = request_of(town, person), Barrier(8)
    assert request is not None
    pins = [f"{number}048" for number in range(2, 10)]
    town.codes.check(
        town.run(lambda s: town.codes.begin(s, request.code_id)),
        town.codes.digits(town.run(lambda s: codes.outgoing(s, request.code_id))),
    )

    def one(pin: str) -> str:
        barrier.wait(10)
        try:
            finish(town, request, pin)
        except DomainError as error:
            return error.code
        return "changed"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(one, pins))
    assert Counter(said) == {"changed": 1, "code_used": 7}
    assert town.knock(person, pins[said.index("changed")]) == "open"


def test_three_wrong_codes_end_the_request(town: Town, agent: Agent, person: Person) -> None:
    ask(town, person, agent)
    wrong = wrong_code(town, person)
    said = [answer(town, person, wrong) for _ in range(4)]
    assert said == ["code_wrong", "code_wrong", "code_locked", "nothing_open"]
    assert ask(town, person, agent) == "open"
    assert answer(town, person) == "changed"


def test_a_request_ends_with_its_time(town: Town, agent: Agent, person: Person) -> None:
    seconds = town.market.people.otp_seconds
    early = datetime.now(UTC) - timedelta(seconds=seconds)
    assert ask(town, person, agent, now=early) == "open"
    assert answer(town, person) == "nothing_open"
    town.run(lambda s: resets.expire(s, datetime.now(UTC)))
    (row,) = town.sql("SELECT state FROM pin_resets WHERE person_id = :id", id=person.id)
    assert row["state"] == "expired"
    assert town.run(lambda s: resets.expire(s, datetime.now(UTC))) == 0


def test_a_newer_request_takes_the_place_of_the_older(
    town: Town, agent: Agent, person: Person
) -> None:
    ask(town, person, agent)
    first = request_of(town, person)
    assert first is not None
    first_code = town.codes.digits(town.run(lambda s: codes.outgoing(s, first.code_id)))
    ask(town, person)
    second = request_of(town, person)
    assert second is not None
    assert second.id != first.id
    assert request_of(town, person, first.id) is None, "who checked the first code stops here"
    assert town.said(lambda s: codes.outgoing(s, first.code_id)) == "code_used", "nor is it sent"
    with pytest.raises(DomainError, match="code_used"):
        finish(town, first)
    if first_code != town.codes.digits(town.run(lambda s: codes.outgoing(s, second.code_id))):
        assert answer(town, person, first_code) == "code_wrong"
    assert answer(town, person) == "changed"


def test_who_checked_the_code_at_its_last_try_goes_on(
    town: Town, agent: Agent, person: Person
) -> None:
    ask(town, person, agent)
    request, wrong = request_of(town, person), wrong_code(town, person)
    assert request is not None
    assert [answer(town, person, wrong) for _ in range(2)] == ["code_wrong"] * 2
    right = town.codes.digits(town.run(lambda s: codes.outgoing(s, request.code_id)))
    town.codes.check(town.run(lambda s: town.codes.begin(s, request.code_id)), right)
    assert request_of(town, person) is None, "nobody may try once more"
    assert request_of(town, person, request.id) == request
    finish(town, request)
    assert town.knock(person, NEW) == "open"


# --- who may ask ---


def test_a_wrong_document_sends_nothing_and_is_bounded(
    town: Town, agent: Agent, person: Person
) -> None:
    said = [ask(town, person, agent, id_number="87654321") for _ in range(5)]
    assert said == [*["id_wrong"] * 3, *["too_many_codes"] * 2]
    assert ask(town, person, agent) == "too_many_codes", "nor the right one, for an hour"
    assert [message.kind for message in town.messages(person.id)] == ["invited"]
    assert request_of(town, person) is None
    past = "UPDATE pin_resets SET created_at = created_at - interval '1 hour' WHERE person_id = :id"
    town.sql(past, id=person.id)
    assert ask(town, person, agent) == "open"


def test_wrong_documents_at_once_are_all_counted(town: Town, agent: Agent, person: Person) -> None:
    barrier = Barrier(10)

    def one(number: int) -> str:
        barrier.wait(10)
        return ask(town, person, agent, id_number=f"9000000{number}")

    with ThreadPoolExecutor(10) as pool:
        said = Counter(pool.map(one, range(10)))
    assert said == {"id_wrong": 3, "too_many_codes": 7}


def test_codes_are_bounded_by_person_and_hour_also_when_asked_for_at_once(
    town: Town, agent: Agent, person: Person
) -> None:
    most, barrier = town.market.people.otps_per_hour, Barrier(10)

    def one(number: int) -> str:
        barrier.wait(10)
        return ask(town, person, agent if number % 2 else None)

    with ThreadPoolExecutor(10) as pool:
        said = Counter(pool.map(one, range(10)))
    assert said == {"open": most, "too_many_codes": 10 - most}
    sent = [message for message in town.messages(person.id) if message.kind == "pin_reset_code"]
    assert len(sent) == most
    other = town.invited(agent)
    town.accept(other)
    assert ask(town, other, agent) == "open", "another person's count is another"
    assert answer(town, person) == "changed", "the last code is good"


def test_nobody_asks_for_themselves(town: Town, agent: Agent) -> None:
    own = town.run(lambda s: people.get(s, agent.person_id))
    assert ask(town, own, agent) == "own_number"
    assert ask(town, own, town.agent()) == "id_wrong", "and another agent needs the document"
    assert ask(town, own) == "open", "staff can help"


def test_a_suspended_agent_helps_nobody(town: Town, agent: Agent, person: Person) -> None:
    town.run(lambda s: agents.set_state(s, agent.id, "suspended"))
    assert ask(town, person, town.run(lambda s: agents.get(s, agent.id))) == "agent_suspended"


@pytest.mark.parametrize("evidence", ["", "  "])
def test_staff_write_down_what_they_asked(town: Town, person: Person, evidence: str) -> None:
    assert ask(town, person, evidence=evidence) == "evidence_missing"
    assert request_of(town, person) is None


def test_who_has_no_document_on_file_is_helped_by_staff_only(town: Town, agent: Agent) -> None:
    alone = town.customer()
    assert ask(town, alone, agent, id_number="") == "id_wrong"
    assert ask(town, alone) == "open"


def test_only_an_open_wallet_gets_a_new_pin(town: Town, agent: Agent, person: Person) -> None:
    assert ask(town, town.invited(agent), agent) == "person_unknown"
    assert ask(town, person, agent) == "open"
    request = request_of(town, person)
    assert request is not None
    town.run(lambda s: people.suspend(s, person.id, datetime.now(UTC)))
    assert ask(town, person, agent) == "person_suspended"
    with pytest.raises(DomainError, match="person_suspended"):
        finish(town, request)
    assert town.knock(person, PIN) == "pin_locked", "the old lock stands"


def test_what_staff_may_ask(town: Town, person: Person) -> None:
    asked = town.run(lambda s: resets.questions(s, town.market, person))
    assert (asked.last_amount, asked.last_day) == (None, None)
    assert asked.document == "national_id ...678"
    assert asked.registered_month == f"{datetime.now(town.market.zone):%Y-%m}"
    assert ID_NUMBER not in repr(asked)
