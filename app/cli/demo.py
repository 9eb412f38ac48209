"""The people of the demo market, and how each gets a wallet, a PIN and money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets import Market
from app.wallet import agents, ledger, people
from app.wallet.agents import Agent
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.pins import Pins

PIN = "7391"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Roles: customer, agent, super_agent; an agent's balance is its float."""

    msisdn: str
    name: str
    language: str
    role: str
    balance_minor: int


def people_of(market: Market) -> list[DemoPerson]:
    """Those of the market file, super-agents first: agents are appointed below them."""
    people = [DemoPerson(**one.model_dump()) for one in market.demo_people]
    return sorted(people, key=lambda one: one.role != "super_agent")


def add(
    db: Database, pins: Pins, market: Market, who: DemoPerson, now: datetime, pin: str = PIN
) -> bool:
    """Register one person and pay in their balance; False when they were there already."""
    person_id = new_key()
    sealed = pins.seal(person_id, pin)

    def work(session: Session) -> bool:
        if people.find(session, who.msisdn):
            return False
        person = people.register(
            session,
            person_id=person_id,
            msisdn=who.msisdn,
            name=who.name,
            language=who.language,
            tier=market.default_tier,
            currency=market.currency.code,
            now=now,
        )
        pins.put(session, person_id, sealed, now)
        account_id = person.wallet_id
        if who.role != "customer":
            account_id = _appoint(session, who, person, market, now).float_id
        if who.balance_minor:
            _pay_in(session, who, account_id, market.currency.code, now)
        return True

    return db.transact(work)


def _appoint(
    session: Session, who: DemoPerson, person: Person, market: Market, now: datetime
) -> Agent:
    """Agents of the demo stand below its first super-agent, if there is one yet."""
    supers = [one.msisdn for one in market.demo_people if one.role == "super_agent"]
    above = people.find(session, supers[0]) if supers else None
    parent = agents.of_person(session, above.id) if above and who.role == "agent" else None
    return agents.appoint(
        session,
        person,
        name=who.name,
        currency=market.currency.code,
        is_super=who.role == "super_agent",
        parent=parent,
        now=now,
    )


def _pay_in(
    session: Session, who: DemoPerson, wallet_id: int, currency: str, now: datetime
) -> None:
    """Money comes into the world only against a bank line with maker and checker, here too."""
    line_id = f"demo-{who.msisdn.removeprefix('+')}"
    ledger.record_bank_line(
        session,
        line_id=line_id,
        amount_minor=who.balance_minor,
        currency=currency,
        booked_on=now.date(),
        maker="demo-maker",
    )
    ledger.approve_bank_line(session, line_id=line_id, checker="demo-checker")
    answer = ledger.deposit(session, bank_line_id=line_id, account_id=wallet_id, now=now)
    if answer.refusal:
        raise DomainError(answer.refusal)
