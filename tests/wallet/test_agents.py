"""Agents: codes with a check digit, the tree, one float each, and what suspends them."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from app import markets
from app.db import Database
from app.errors import DomainError
from app.luhn import passes_luhn
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.codes import Codes
from app.wallet.keys import new_key
from app.wallet.people import Person
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import now

DEMO = markets.load("demo")


@pytest.fixture
def kiosk(ledger_db: Database) -> Kiosk:
    return Kiosk(ledger_db, DEMO, Codes({1: b"k" * 32}))


def appoint(kiosk: Kiosk, person: Person, name: str = "Neema Kiosk", **more: object) -> Agent:
    return kiosk.run(
        lambda s: agents.appoint(
            s, people.get(s, person.id), name=name, currency="KES", now=now(), **more
        )  # type: ignore[arg-type]
    )


def test_a_person_becomes_an_agent_with_an_empty_float(kiosk: Kiosk) -> None:
    person = kiosk.person(0)
    agent = appoint(kiosk, person)
    assert len(agent.code) == agents.CODE_DIGITS
    assert passes_luhn(agent.code)
    assert kiosk.balance(agent.float_id) == 0
    assert agent.float_id != person.wallet_id
    assert (agent.msisdn, agent.language, agent.state) == (person.msisdn, "en", "active")
    assert kiosk.run(lambda s: people.get(s, person.id)).role == "agent"
    assert kiosk.run(lambda s: agents.of_person(s, person.id)) == agent
    assert kiosk.run(lambda s: agents.of_float(s, agent.float_id)) == agent
    assert kiosk.run(lambda s: agents.of_person(s, new_key())) is None
    spaced = f"{agent.code[:2]} {agent.code[2:4]}-{agent.code[4:]}"
    assert kiosk.run(lambda s: agents.of_code(s, spaced)) == agent


def test_one_wrong_digit_is_refused_before_anybody_is_looked_up(kiosk: Kiosk) -> None:
    code = kiosk.agent().code
    for at, digit in enumerate(code):
        typed = code[:at] + str((int(digit) + 1) % 10) + code[at + 1 :]
        with pytest.raises(DomainError, match="agent_code_wrong"):
            agents.written(typed)
    for typed in ("", "12345", "1234567", "12345a", "١٢٣٤٥٦"):
        with pytest.raises(DomainError, match="agent_code_wrong"):
            agents.written(typed)
    assert kiosk.refused(lambda: kiosk.run(lambda s: agents.of_code(s, "000000"))).code == (
        "agent_unknown"
    )


def test_what_an_appointment_is_refused_for_in_order(kiosk: Kiosk) -> None:
    above, plain, person = kiosk.super_agent(), kiosk.agent(), kiosk.person(0)

    def refusal(who: Person, name: str = "", **more: object) -> str:
        return kiosk.refused(lambda: appoint(kiosk, who, name, **more)).code

    owner = kiosk.run(lambda s: people.get(s, plain.person_id))
    kiosk.set(Person, person.id, state="suspended")
    assert refusal(person) == "person_suspended"
    kiosk.set(Person, person.id, state="active")
    assert refusal(owner) == "already_agent"
    assert refusal(person) == "agent_name_invalid"
    assert refusal(person, "N" * 41) == "agent_name_invalid"
    assert refusal(person, "Kiosk", parent=plain) == "not_super_agent"
    assert refusal(person, "Kiosk", parent=above, is_super=True) == "not_super_agent"
    kiosk.suspend(above)
    assert refusal(person, "Kiosk", parent=kiosk.again(above)) == "agent_suspended"
    assert appoint(kiosk, person, "Kiosk").parent_id is None


def test_of_eight_appointments_at_once_one_wins(kiosk: Kiosk) -> None:
    person = kiosk.person(0)

    def one(_: int) -> str:
        try:
            return appoint(kiosk, person).state
        except DomainError as error:
            return error.code

    assert sorted(together(8, one)) == ["active", *["already_agent"] * 7]


def test_the_tree_has_two_levels(kiosk: Kiosk) -> None:
    above = kiosk.super_agent()
    below = [kiosk.agent(0, parent=above) for _ in range(3)]
    found = kiosk.run(lambda s: agents.below(s, above.id))
    assert {agent.id for agent in found} == {agent.id for agent in below}
    assert kiosk.run(lambda s: agents.below(s, above.id, limit=2)) == found[:2]
    assert kiosk.run(lambda s: agents.below(s, below[0].id)) == []
    with pytest.raises(DBAPIError, match="agents_tree"):
        kiosk.query("UPDATE agents SET is_super = true WHERE id = :id", id=below[0].id)


def test_an_agent_acts_while_it_and_its_person_are_active(kiosk: Kiosk) -> None:
    agent = kiosk.agent()
    agents.refuse_inactive(agent)
    for state in ("suspended", "closed"):
        kiosk.run(lambda s, to=state: agents.set_state(s, agent.id, to))
        assert not agents.is_active(kiosk.again(agent))
    kiosk.resume(agent)
    kiosk.set(Person, agent.person_id, state="suspended")
    with pytest.raises(DomainError, match="agent_suspended"):
        agents.refuse_inactive(kiosk.again(agent))
