"""Nobody is left guessing: whoever waits a minute for a biller's answer is told so, once.

The money stays held, and the outcome has an SMS of its own. Who is paid by file was told at once
that it takes until the end of the day.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.billers import telling
from app.billers.models import Payment
from app.billers.states import State
from app.db import Database
from app.markets.model import Market

TOLD_AFTER_SECONDS = 60
PAGE = 50
PAGES_MOST = 20


def tell(db: Database, market: Market, now: datetime) -> int:
    """An SMS for every payment that has waited a minute for its outcome; how many."""
    told = 0
    for _ in range(PAGES_MOST):
        page = db.transact(partial(_tell_page, market=market, now=now), name="tell_waiting")
        told += page
        if page < PAGE:
            break
    return told


def _tell_page(session: Session, market: Market, now: datetime) -> int:
    asked = [code for code, rules in market.billers.items() if rules.silence_policy != "wait"]
    long_ago = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, TOLD_AFTER_SECONDS)
    statement = (
        select(Payment)
        .where(
            Payment.state.in_((State.SENT, State.UNKNOWN)),
            Payment.told_at.is_(None),
            Payment.first_sent_at <= long_ago,
            Payment.biller.in_(asked),
        )
        .order_by(Payment.first_sent_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True)
    )
    waiting = session.scalars(statement).all()
    for payment in waiting:
        payment.told_at = now
        telling.tell(session, market, payment, "payment_waiting", now)
    return len(waiting)
