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
    db: Database,
    pins: Pins,
    market: Market,
    who: DemoPerson,
    now: datetime,
    pin: str = PIN,
    *,
    above: str | None = None,
) -> bool:
    """Register one person and pay in their balance; False when they were there already.

    `above`: the number of an agent's super-agent.
    """
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
            account_id = _appoint(session, who, person, market, above, now).float_id
        if who.balance_minor:
            line_id = f"demo-{who.msisdn.removeprefix('+')}"
            _pay_in(session, line_id, account_id, who.balance_minor, market.currency.code, now)
        return True

    return db.transact(work)


def _appoint(
    session: Session,
    who: DemoPerson,
    person: Person,
    market: Market,
    above: str | None,
    now: datetime,
) -> Agent:
    boss = people.find(session, above) if above and who.role == "agent" else None
    parent = agents.of_person(session, boss.id) if boss else None
    return agents.appoint(
        session,
        person,
        name=who.name,
        currency=market.currency.code,
        is_super=who.role == "super_agent",
        parent=parent,
        now=now,
    )


def fund_operator(session: Session, market: Market, now: datetime) -> None:
    """The operator's own account, from which it pays the commission that no fee funds."""
    currency = market.currency.code
    own = ledger.operator_account(session, currency)
    if ledger.balance(session, own).balance_minor or not market.demo_operator_minor:
        return  # the seed is safe to repeat
    _pay_in(session, "demo-operator", own, market.demo_operator_minor, currency, now)


def _pay_in(
    session: Session, line_id: str, account_id: int, minor: int, currency: str, now: datetime
) -> None:
    """Money comes into the world only against a bank line with maker and checker, here too."""
    ledger.record_bank_line(
        session,
        line_id=line_id,
        amount_minor=minor,
        currency=currency,
        booked_on=now.date(),
        maker="demo-maker",
    )
    ledger.approve_bank_line(session, line_id=line_id, checker="demo-checker")
    answer = ledger.deposit(session, bank_line_id=line_id, account_id=account_id, now=now)
    if answer.refusal:
        raise DomainError(answer.refusal)
