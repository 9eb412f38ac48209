"""The two ends that a clock may bring: an unsent payment is cancelled, asking stops.

Both lock the payment's row before anything else, as a claim does; a payment that is being claimed
is skipped, and what was claimed in the meantime is no longer what these look for.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.billers import settlement
from app.billers.models import Payment
from app.billers.states import State
from app.db import Database
from app.markets.model import Market

AT_ONCE = 50


def cancel_unsent(db: Database, market: Market, now: datetime) -> int:
    """Cancel payments whose hold has lasted `hold_seconds` without being sent; how many."""
    done = 0
    for _ in range(AT_ONCE):
        if not db.transact(partial(_cancel_one, market=market, now=now), idempotent=True):
            break
        done += 1
    return done


def end_asking(db: Database, market: Market, now: datetime) -> int:
    """Make payments manual that the biller has not settled in `manual_after_seconds`; how many.

    Also while the biller is paused or its breaker is open, when nobody asks.
    """
    done = 0
    for biller in market.billers:
        for _ in range(AT_ONCE):
            end_one = partial(_end_one, market=market, biller=biller, now=now)
            if not db.transact(end_one, idempotent=True):
                break
            done += 1
    return done


def _cancel_one(session: Session, market: Market, now: datetime) -> bool:
    statement = (
        select(Payment)
        .where(Payment.state == State.HELD, Payment.expires_at <= func.clock_timestamp())
        .order_by(Payment.expires_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    payment = session.scalar(statement)
    if payment is None:
        return False
    settlement.cancel(session, market, payment, now=now)
    return True


def _end_one(session: Session, market: Market, biller: str, now: datetime) -> bool:
    bound = func.make_interval(0, 0, 0, 0, 0, 0, market.billers[biller].manual_after_seconds)
    clock = func.clock_timestamp()
    statement = (
        select(Payment)
        .where(
            Payment.biller == biller,
            Payment.state.in_((State.SENT, State.UNKNOWN)),
            Payment.due_at.is_not(None),
            Payment.first_sent_at <= clock - bound,
            or_(Payment.lease_until.is_(None), Payment.lease_until <= clock),
        )
        .order_by(Payment.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    payment = session.scalar(statement)
    if payment is None:
        return False
    settlement.to_manual(session, market, payment, now=now)
    return True
