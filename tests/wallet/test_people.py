"""People: one registration a number, a wallet each, nothing left over from a lost race."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, NoResultFound

from app.db import Database
from app.errors import DomainError
from app.wallet import ledger, people
from app.wallet.keys import new_key
from app.wallet.people import NAME_MOST, Person
from tests.people import fresh_msisdn

Register = Callable[..., Person]


@pytest.fixture
def register(ledger_db: Database) -> Register:
    def one(msisdn: str, **changed: Any) -> Person:
        facts = {
            "person_id": new_key(),
            "name": "Asha Mwangi",
            "language": "sw",
            "tier": "tier0",
            "currency": "KES",
            "now": datetime.now(UTC),
        }
        return ledger_db.transact(
            lambda session: people.register(session, msisdn=msisdn, **{**facts, **changed})
        )

    return one


def accounts_of(db: Database, person_id: UUID) -> list[int]:
    query = text("SELECT id FROM accounts WHERE owner_id = :id")
    return db.transact(lambda session: list(session.scalars(query, {"id": person_id}).all()))


def test_a_registered_person_is_found_and_has_an_empty_wallet(
    ledger_db: Database, register: Register
) -> None:
    msisdn = fresh_msisdn()
    assert ledger_db.transact(lambda s: people.find(s, msisdn)) is None
    person = register(msisdn)
    found = ledger_db.transact(lambda s: people.find(s, msisdn))
    assert found is not None
    assert (found.id, found.name, found.language) == (person.id, "Asha Mwangi", "sw")
    assert (found.tier, found.role, found.state) == ("tier0", "customer", "active")
    assert accounts_of(ledger_db, person.id) == [person.wallet_id]
    balance = ledger_db.transact(lambda s: ledger.balance(s, person.wallet_id))
    assert (balance.available_minor, balance.held_minor) == (0, 0)
    assert ledger_db.transact(lambda s: people.get(s, person.id)).msisdn == msisdn
    with pytest.raises(NoResultFound):
        ledger_db.transact(lambda s: people.get(s, new_key()))


def test_a_second_registration_is_refused_and_leaves_nothing(
    ledger_db: Database, register: Register
) -> None:
    msisdn, late = fresh_msisdn(), new_key()
    first = register(msisdn)
    with pytest.raises(DomainError) as refused:
        register(msisdn, person_id=late, name="Somebody Else")
    assert refused.value.code == "already_registered"
    assert accounts_of(ledger_db, late) == []
    found = ledger_db.transact(lambda s: people.find(s, msisdn))
    assert found is not None
    assert (found.id, found.name) == (first.id, "Asha Mwangi")


def test_of_eight_registrations_at_once_one_wins(ledger_db: Database, register: Register) -> None:
    msisdn, ids, barrier = fresh_msisdn(), [new_key() for _ in range(8)], Barrier(8)

    def one(person_id: UUID) -> str:
        barrier.wait(10)
        try:
            register(msisdn, person_id=person_id)
        except DomainError as error:
            return error.code
        return "registered"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(one, ids))
    assert sorted(said) == [*["already_registered"] * 7, "registered"]
    winner = ids[said.index("registered")]
    assert [person_id for person_id in ids if accounts_of(ledger_db, person_id)] == [winner]


def test_a_long_name_is_cut_and_an_empty_one_refused(register: Register) -> None:
    assert register(fresh_msisdn(), name="N" * 100).name == "N" * NAME_MOST
    with pytest.raises(DBAPIError, match="people_name_check"):
        register(fresh_msisdn(), name="")


@pytest.mark.parametrize(
    "msisdn", ["", "0711000001", "+0711000001", "+2547110000011111", "+25471x"]
)
def test_the_database_takes_no_other_form_of_a_number(register: Register, msisdn: str) -> None:
    with pytest.raises(DBAPIError, match="people_msisdn_check"):
        register(msisdn)


def test_the_language_is_remembered(ledger_db: Database, register: Register) -> None:
    one, other = register(fresh_msisdn()), register(fresh_msisdn())
    ledger_db.transact(lambda s: people.set_language(s, one.id, "en"))
    spoken = [ledger_db.transact(lambda s, p=p: people.get(s, p.id)).language for p in (one, other)]
    assert spoken == ["en", "sw"]


def test_a_suspended_person_moves_no_money(
    ledger_db: Database, owner_db: Database, register: Register
) -> None:
    person = register(fresh_msisdn())
    people.refuse_inactive(person)
    query = text("UPDATE people SET state = 'suspended' WHERE id = :id")
    owner_db.transact(lambda s: s.execute(query, {"id": person.id}))
    suspended = ledger_db.transact(lambda s: people.get(s, person.id))
    with pytest.raises(DomainError) as refused:
        people.refuse_inactive(suspended)
    assert refused.value.code == "person_suspended"
