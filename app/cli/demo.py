"""The people of the demo market, and how each gets a wallet, a PIN and money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import Database
from app.markets import Market
from app.wallet import bank, people
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
        bank.pay_in(
            session,
            line_id=f"demo-{who.msisdn}",
            amount_minor=who.balance_minor,
            currency=market.currency.code,
            account_id=person.wallet_id,
            maker="demo-maker",
            checker="demo-checker",
            now=now,
        )
        return True

    return db.transact(work)
