"""The people of the demo market, and how each gets a wallet, a PIN and money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets import Market
from app.wallet import ledger, people
from app.wallet.keys import new_key
from app.wallet.pins import Pins

PIN = "7391"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    msisdn: str
    name: str
    language: str
    role: str
    balance_minor: int


PEOPLE = (
    DemoPerson("+254711000001", "Amina Wanjiru", "en", "customer", 500_000),
    DemoPerson("+254711000002", "Juma Otieno", "sw", "customer", 250_000),
    DemoPerson("+254711000101", "Neema Kiosk", "sw", "agent", 2_000_000),
)


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
            role=who.role,
            now=now,
        )
        pins.put(session, person_id, sealed, now)
        if who.balance_minor:
            _pay_in(session, who, person.wallet_id, market.currency.code, now)
        return True

    return db.transact(work)


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
