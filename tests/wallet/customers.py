"""People and agents of a test in one call each, and a phone's part of a reset."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import markets
from app.db import Database
from app.errors import DomainError
from app.markets import Market
from app.sealing import Sealer
from app.wallet import agents, ledger, people, registration
from app.wallet.agents import Agent
from app.wallet.codes import Codes
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.pins import Pins
from tests.people import fresh_msisdn
from tests.wallet.bank import Bank

PIN = "7391"
ID_NUMBER = "12345678"
T = TypeVar("T")


@cache
def load_demo() -> Market:
    return markets.load("demo")


@dataclass
class Town:
    """A market with its people; every call is a transaction of its own."""

    db: Database
    owner: Database
    market: Market = field(default_factory=load_demo)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.codes = Codes({1: self.key})
        self.pins = Pins(Sealer({1: self.key}), self.market.pin)
        self.bank = Bank(self.db)

    def run(self, fn: Callable[[Session], T]) -> T:
        return self.db.transact(fn)

    def said(self, fn: Callable[[Session], object]) -> str:
        """The code of the refusal, or `done`."""
        try:
            self.run(fn)
        except DomainError as error:
            return error.code
        return "done"

    def customer(self, balance_minor: int = 0, *, pin: str = PIN, **changed: Any) -> Person:
        """Somebody who registered alone, with money."""
        person_id, now = new_key(), datetime.now(UTC)
        facts = {
            "msisdn": fresh_msisdn(),
            "name": "Asha Mwangi",
            "language": "sw",
            "tier": self.market.default_tier,
            "currency": "KES",
            "now": now,
        }
        sealed = self.pins.seal(person_id, pin)

        def add(session: Session) -> Person:
            person = people.register(session, person_id=person_id, **{**facts, **changed})
            self.pins.put(session, person_id, sealed, now)
            return person

        person = self.run(add)
        if balance_minor:
            assert self.bank.pay_in(person.wallet_id, balance_minor).refusal is None
        return person

    def agent(self) -> Agent:
        """An agent with a float of nothing."""
        person = self.customer(name="Neema Kiosk")
        return self.run(
            lambda s: agents.appoint(
                s, people.get(s, person.id), name="Neema", currency="KES", now=datetime.now(UTC)
            )
        )

    def invited(self, agent: Agent | None = None, **changed: Any) -> Person:
        """Somebody whom an agent registered."""
        at_counter = agent or self.agent()
        facts = {
            "msisdn": fresh_msisdn(),
            "name": "Baraka Odhiambo",
            "id_kind": "national_id",
            "id_number": ID_NUMBER,
            "now": datetime.now(UTC),
        }
        return self.run(
            lambda s: registration.invite(
                s, self.market, self.codes, agent=at_counter, **{**facts, **changed}
            )
        )

    def accept(self, person: Person, *, pin: str = PIN, language: str = "sw") -> None:
        """Their first dial."""
        sealed = self.pins.seal(person.id, pin)
        self.run(
            lambda s: registration.accept(
                s, self.pins, person, sealed, language=language, now=datetime.now(UTC)
            )
        )

    def again(self, person: Person) -> Person:
        """The person as the database has them now."""
        return self.run(lambda s: people.get(s, person.id))

    def knock(self, person: Person, pin: str) -> str:
        """Try a PIN."""
        try:
            attempt = self.run(lambda s: self.pins.begin(s, person.id))
            self.pins.check(attempt, pin)
        except DomainError as error:
            return error.code
        self.run(lambda s: self.pins.passed(s, person.id))
        return "open"

    def available(self, person: Person) -> int:
        return self.run(lambda s: ledger.balance(s, person.wallet_id)).available_minor

    def messages(self, person_id: UUID) -> list[Any]:
        """Kind and facts of what was owed to a person, in order."""
        query = text(
            "SELECT kind, facts, msisdn FROM messages WHERE person_id = :id ORDER BY created_at"
        )
        return self.run(lambda s: list(s.execute(query, {"id": person_id}).all()))

    def sql(self, query: str, **facts: object) -> list[Any]:
        """As the owner of the tables."""

        def ask(session: Session) -> list[Any]:
            found = session.execute(text(query), facts)
            return list(found.mappings()) if found.returns_rows else []  # type: ignore[attr-defined]

        return self.owner.transact(ask)
