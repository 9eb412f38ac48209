"""Nobody is left guessing: whoever waits a minute for a biller's answer is told so, once.

The money stays held, and the outcome has an SMS of its own. Who is paid by file was told at once
that it takes until the end of the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from app.billers import settlement, telling
from app.billers.models import Payment
from app.billers.states import State
from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.telemetry import log

TOLD_AFTER_SECONDS = 60
PAGE = 50
PAGES_MOST = 20


def tell(db: Database, market: Market, now: datetime) -> int:
    """An SMS for every payment that has waited a minute for its outcome; how many.

    Each in a transaction of its own: one that cannot be told keeps nobody else's.
    """
    told, left_out = 0, set[UUID]()
    for _ in range(PAGES_MOST):
        page = db.transact(partial(_page, market=market, left_out=left_out), name="tell_waiting")
        for payment_id in page:
            left_out.add(payment_id)
            told += _is_told(db, market, payment_id, now)
        if len(page) < PAGE:
            break
    return told


def _is_told(db: Database, market: Market, payment_id: UUID, now: datetime) -> bool:
    one = partial(_tell, market=market, payment_id=payment_id, now=now)
    try:
        return db.transact(one, name="tell_waiting", idempotent=True)
    except DomainError as error:
        log.warning("waiting_not_told_yet", error=error.code)
    except Exception as error:  # noqa: BLE001 - the others must hear, and billers be called
        settlement.ALARMS.labels("not_told").inc()
        log.error("waiting_not_told", error=type(error).__name__, exc_info=True)
    return False


def _page(session: Session, market: Market, left_out: set[UUID]) -> Sequence[UUID]:
    statement = select(Payment.id).where(_untold(market), Payment.id.not_in(left_out))
    return session.scalars(statement.order_by(Payment.first_sent_at).limit(PAGE)).all()


def _tell(session: Session, market: Market, payment_id: UUID, now: datetime) -> bool:
    statement = select(Payment).where(Payment.id == payment_id, _untold(market))
    payment = session.scalar(statement.with_for_update(skip_locked=True))
    if payment is None:
        return False
    payment.told_at = now
    telling.tell(session, market, payment, "payment_waiting", now)
    return True


def _untold(market: Market) -> ColumnElement[bool]:
    asked = [code for code, rules in market.billers.items() if rules.silence_policy != "wait"]
    long_ago = func.clock_timestamp() - timedelta(seconds=TOLD_AFTER_SECONDS)
    return and_(
        Payment.state.in_((State.SENT, State.UNKNOWN)),
        Payment.told_at.is_(None),
        Payment.first_sent_at <= long_ago,
        Payment.biller.in_(asked),
    )
