"""What the menus say of a bill whose biller took the sale back, and of one that was given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers import models, settlement
from app.billers.models import Payment
from app.billers.states import State
from app.cli.demo import PIN
from app.runtime import Runtime
from app.ussd.menus import VERSION
from app.wallet import ledger, people
from tests.billers.clerks import Clerks
from tests.billers.stage import now
from tests.ussd.phone import Phone
from tests.ussd.test_bill_menus import CUSTOMERS, Menus


@pytest.fixture
def menus(runtime: Runtime, session_redis_url: str, tmp_path: Path) -> Menus:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "customers.csv").write_text(CUSTOMERS)
    parts = {"runtime": runtime, "market": runtime.market, "folder": tmp_path}
    return Menus(session_redis_url, version=VERSION, **parts)


def paid_and_taken_back(runtime: Runtime, phone: Phone) -> Payment:
    """Their last bill, as if the file had gone and two answers had come."""

    def work(session: Session) -> Payment:
        person = people.find(session, phone.msisdn)
        assert person
        payment_id = session.scalars(select(Payment.id).where(Payment.person_id == person.id)).one()
        payment, at, market = models.lock(session, payment_id), now(), runtime.market
        ledger.clear_expiry(session, payment.hold_id)
        sent = {"requests": 1, "first_sent_at": at}
        models.shift(session, payment, State.SENT, "sent", now=at, **sent)
        settlement.paid(session, market, payment, (), now=at, facts={})
        settlement.returned(session, market, payment, now=at, facts={})
        session.expunge(payment)
        return payment

    return runtime.db.transact(work)


def test_it_is_being_checked_and_then_the_money_is_back(menus: Menus, runtime: Runtime) -> None:
    phone = menus.person()
    assert phone.keys("1", "3", "100001", "1", "1", PIN).startswith("KES 2,119.00 and fee")
    payment = paid_and_taken_back(runtime, phone)
    again = menus.phone(phone.msisdn)
    assert again.dial().startswith("Last: KES 2,119.00 is being checked.")
    assert f"Ref {payment.reference}: returned" in bill(again)
    Clerks.hired(runtime.db, runtime.market).refund(payment.reference)
    again = menus.phone(phone.msisdn)
    assert again.dial().startswith("Last: KES 2,119.00 not paid. Your money is back.")
    assert f"Ref {payment.reference}: money back" in bill(again)


def bill(phone: Phone) -> str:
    """The newest of My payments."""
    (line,) = (line for line in phone.screen.text.splitlines() if line.endswith("My payments"))
    phone.reply(line.split()[0])
    return phone.reply("1")
