"""The two ends that a clock may bring: an unsent payment is cancelled, asking stops.

Each payment ends in a transaction of its own that locks its row before anything else, as a claim
does; one that is being claimed is skipped, and so is one that was claimed in the meantime. A
payment that cannot be ended is left for the next round: it never stands in the way of the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.billers import hours, settlement
from app.billers.models import Payment
from app.billers.states import State
from app.db import Database
from app.errors import DomainError
from app.markets.billers import Biller
from app.markets.model import Market
from app.telemetry import log

ROUND_SECONDS = 10.0
PAGE = 100
# A biller that left the market file has no bound of its own, and nobody asks it any more. The wait
# is for processes that still run with the older file: their answers count as long as they come.
GONE_BILLER_SECONDS = 900
Due = ColumnElement[bool]
Oldest = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]
End = Callable[[Session, Payment], None]


def cancel_unsent(db: Database, market: Market, now: datetime) -> int:
    """Cancel payments whose hold has lasted `hold_seconds` without being sent; how many."""
    overdue = and_(Payment.state == State.HELD, Payment.expires_at <= func.clock_timestamp())

    def cancel(session: Session, payment: Payment) -> None:
        settlement.cancel(session, market, payment, now=now)

    return _end_all(db, overdue, Payment.expires_at, cancel)


def end_asking(db: Database, market: Market, now: datetime) -> int:
    """Make payments manual that the biller has not settled in `manual_after_seconds`; how many.

    Also while the biller is paused, its breaker is open or the market has it no more.
    """
    clock = func.clock_timestamp()
    unsettled = and_(
        Payment.state.in_((State.SENT, State.UNKNOWN)),
        Payment.due_at.is_not(None),
        or_(Payment.lease_until.is_(None), Payment.lease_until <= clock),
        _asked_long_enough(market, now),
    )

    def to_manual(session: Session, payment: Payment) -> None:
        settlement.to_manual(session, market, payment, now=now)

    return _end_all(db, unsettled, Payment.first_sent_at, to_manual)


def _asked_long_enough(market: Market, now: datetime) -> Due:
    gone = func.clock_timestamp() - timedelta(seconds=GONE_BILLER_SECONDS)
    return or_(
        and_(Payment.biller.not_in(market.billers), Payment.first_sent_at <= gone),
        *(
            and_(Payment.biller == code, _asked_in_vain(rules, market, now))
            for code, rules in market.billers.items()
        ),
    )


def _asked_in_vain(rules: Biller, market: Market, now: datetime) -> Due:
    """The bound by the database's clock, and no later than midnight where a day ends it."""
    bound = func.clock_timestamp() - timedelta(seconds=rules.manual_after_seconds)
    return or_(
        func.coalesce(Payment.asked_from, Payment.first_sent_at) <= bound,
        Payment.first_sent_at <= hours.asked_since(rules, market.zone, now),
    )


def _end_all(db: Database, due: Due, oldest: Oldest, end: End) -> int:
    """End what is due, oldest first, until none is left or the round is over; how many."""
    done, left_out = 0, set[UUID]()
    deadline = time.monotonic() + ROUND_SECONDS
    while page := db.transact(partial(_page, due=due, oldest=oldest, left_out=left_out)):
        for payment_id, reference in page:
            if time.monotonic() >= deadline:
                return done
            if _is_ended(db, reference, partial(_end_one, payment_id=payment_id, due=due, end=end)):
                done += 1
            else:
                left_out.add(payment_id)
    return done


def _page(
    session: Session, due: Due, oldest: Oldest, left_out: set[UUID]
) -> Sequence[tuple[UUID, str]]:
    statement = select(Payment.id, Payment.reference).where(due, Payment.id.not_in(left_out))
    return session.execute(statement.order_by(oldest).limit(PAGE)).all()


def _is_ended(db: Database, reference: str, end_one: Callable[[Session], bool]) -> bool:
    try:
        return db.transact(end_one, idempotent=True)
    except DomainError as error:
        # Somebody holds what it needs, or the database is away: the next round is soon.
        log.warning("payment_not_ended_yet", reference=reference, error=error.code)
    except Exception as error:  # noqa: BLE001 - one broken payment must not keep the others open
        settlement.ALARMS.labels("not_ended").inc()
        log.error(
            "payment_not_ended", reference=reference, error=type(error).__name__, exc_info=True
        )
    return False


def _end_one(session: Session, payment_id: UUID, due: Due, end: End) -> bool:
    statement = select(Payment).where(Payment.id == payment_id, due)
    payment = session.scalar(statement.with_for_update(skip_locked=True))
    if payment is None:
        return False
    end(session, payment)
    return True
