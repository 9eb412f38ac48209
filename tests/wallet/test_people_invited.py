"""Registration by an agent: nothing works before the owner's own phone has agreed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.wallet import agents, people, registration
from tests.people import fresh_msisdn
from tests.wallet.customers import ID_NUMBER, PIN, Town


def test_an_invitation_is_a_person_without_consent_and_pin(town: Town) -> None:
    agent, msisdn = town.agent(), fresh_msisdn()
    person = town.invited(agent, msisdn=msisdn)
    assert (person.state, person.tier, person.consented_at) == ("invited", "tier1", None)
    assert (person.name, person.language) == ("Baraka Odhiambo", town.market.default_language)
    assert not people.may_receive(person)
    assert town.said(lambda s: people.refuse_inactive(people.get(s, person.id))) != "done"
    assert town.knock(person, PIN) == "pin_locked", "there is no PIN to be right"
    (message,) = town.messages(person.id)
    assert (message.kind, message.msisdn) == ("invited", msisdn)
    assert message.facts == {"name": "Baraka Odhiambo", "service_code": "*384*123#"}


def test_the_first_dial_makes_the_same_person_active(town: Town) -> None:
    person = town.invited()
    town.accept(person, pin="9182", language="sw")
    after = town.again(person)
    assert (after.id, after.state, after.tier, after.language) == (
        person.id,
        "active",
        "tier1",
        "sw",
    )
    assert after.consented_at is not None
    assert town.knock(person, "9182") == "open"
    assert town.run(lambda s: people.find(s, person.msisdn)) is not None


def test_of_six_first_dials_at_once_one_sets_the_pin(town: Town) -> None:
    person, barrier = town.invited(), Barrier(6)
    pins = [f"{number}048" for number in range(2, 8)]
    sealed = [town.pins.seal(person.id, pin) for pin in pins]

    def one(mine: bytes) -> str:
        barrier.wait(10)
        return town.said(
            lambda s: registration.accept(
                s, town.pins, person, mine, language="en", now=datetime.now(UTC)
            )
        )

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(one, sealed))
    assert Counter(said) == {"done": 1, "already_registered": 5}
    assert town.knock(person, pins[said.index("done")]) == "open"


def test_a_known_number_is_not_invited_and_an_invited_one_not_registered(town: Town) -> None:
    agent = town.agent()
    for known in (town.customer(), town.invited(agent)):
        assert (
            town.said(
                lambda s, known=known: registration.invite(
                    s,
                    town.market,
                    town.codes,
                    agent=agent,
                    msisdn=known.msisdn,
                    name="Somebody Else",
                    id_kind="passport",
                    id_number="A1234567",
                    now=datetime.now(UTC),
                )
            )
            == "already_registered"
        )
        assert town.again(known).name == known.name
    invited = town.invited(agent)
    with pytest.raises(Exception, match="already_registered"):
        town.customer(msisdn=invited.msisdn)
    assert town.again(invited).state == "invited"


def test_a_suspended_agent_registers_nobody(town: Town) -> None:
    agent = town.agent()
    town.run(lambda s: agents.set_state(s, agent.id, "suspended"))
    suspended = town.run(lambda s: agents.get(s, agent.id))
    with pytest.raises(Exception, match="agent_suspended"):
        town.invited(suspended)


@pytest.mark.parametrize(
    ("kind", "typed", "kept"),
    [
        ("national_id", "12 345 678", "12345678"),
        ("passport", "ak-123456", "AK123456"),
        ("national_id", "1234", None),
        ("national_id", "1234567890", None),
        ("national_id", "", None),
        ("passport", "AK12345é", None),
        ("passport", "AK12;456", None),
        ("library_card", "12345678", None),
    ],
)
def test_the_number_of_a_document(town: Town, kind: str, typed: str, kept: str | None) -> None:
    if kept is None:
        assert town.said(lambda _: registration.id_number(town.market, kind, typed)) == "id_invalid"
    else:
        assert registration.id_number(town.market, kind, typed) == kept


def test_a_document_is_kept_as_a_hash_and_its_end(town: Town) -> None:
    agent = town.agent()
    person = town.invited(agent)
    (row,) = town.sql("SELECT * FROM identity_documents WHERE person_id = :id", id=person.id)
    assert (row["kind"], row["hint"], row["seen_by"]) == (
        "national_id",
        "678",
        f"agent {agent.code}",
    )
    assert ID_NUMBER.encode() not in bytes(row["number_hash"])
    document = town.run(lambda s: registration.document_of(s, person.id))
    assert document is not None
    assert registration.is_number_of(town.codes, document, "12-345-678")
    assert not registration.is_number_of(town.codes, document, "12345679")


def test_the_database_asks_for_consent(town: Town) -> None:
    person = town.invited()
    query = text("UPDATE people SET state = 'active' WHERE id = :id")
    with pytest.raises(DBAPIError, match="people_consented"):
        town.run(lambda s: s.execute(query, {"id": person.id}))
