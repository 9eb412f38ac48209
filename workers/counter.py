"""The counter's chores: what is overdue ends, and commission is paid."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.telemetry import log
from app.wallet import rounds
from app.wallet.codes import Codes
from app.wallet.counter import float_requests, payouts, withdrawals
from app.wallet.counter.payouts import Due

Overdue = Callable[[Session, datetime, int], Sequence[UUID]]


def expire_withdrawals(db: Database, codes: Codes, now: datetime) -> int:
    """Give back the money of codes that nobody used in time; how many."""

    def end(session: Session, subject: UUID) -> bool:
        return withdrawals.expire(session, codes, subject, now)

    return rounds.end_due(db, "withdrawal", _but(withdrawals.overdue, now), end)


def expire_float_requests(db: Database, now: datetime) -> int:
    """End requests for float that nobody answered in time; how many."""

    def end(session: Session, subject: UUID) -> bool:
        return float_requests.expire(session, subject, now)

    return rounds.end_due(db, "float_request", _but(float_requests.overdue, now), end)


def _but(overdue: Overdue, now: datetime) -> rounds.Due:
    """What is overdue, but for what could not be ended in this round."""

    def due(session: Session, left_out: set[UUID], most: int) -> list[UUID]:
        found = overdue(session, now, most + len(left_out))
        return [subject for subject in found if subject not in left_out]

    return due


def pay_commission(db: Database, market: Market, now: datetime) -> int:
    """Pay the agents whose commission of before this period is not paid yet; how many.

    Where the operator's own account is short nothing is lost: an alarm says so, and a later round
    pays.
    """
    left_out = set[UUID]()
    paid, short = 0, list[Due]()
    deadline = time.monotonic() + rounds.ROUND_SECONDS
    while time.monotonic() < deadline:
        page = db.transact(partial(_unpaid, market=market, now=now, left_out=left_out))
        if not page:
            break
        for due in page:
            left_out.add(due.agent_id)
            outcome = _pay(db, market, due, now)
            paid += outcome == "paid"
            if outcome == "short":
                short.append(due)
    payouts.UNPAID.set(len(short))
    if short:
        owed = market.currency.format(sum(due.owed_minor for due in short))
        log.error("commission_unpaid", agents=len(short), owed=owed)
    return paid


def _unpaid(session: Session, market: Market, now: datetime, left_out: set[UUID]) -> list[Due]:
    return payouts.due(session, market, now, rounds.PAGE, tuple(left_out))


def _pay(db: Database, market: Market, due: Due, now: datetime) -> str:
    """`paid`, `short` or `""` for nothing to pay or an error that is logged.

    The account is looked at first, so that a round that cannot pay writes nothing.
    """
    try:
        if db.transact(lambda s: payouts.operator_minor(s, market)) < due.owed_minor:
            return "short"
        payout = db.transact(lambda s: payouts.pay(s, market, due.agent_id, now), idempotent=True)
        return "paid" if payout else ""
    except DomainError as error:
        if error.code == "operator_short":
            return "short"
        log.warning("commission_not_paid_yet", agent=str(due.agent_id), error=error.code)
    except Exception as error:  # noqa: BLE001 - one broken agent must not keep the others unpaid
        log.error(
            "commission_not_paid", agent=str(due.agent_id), error=type(error).__name__,
            exc_info=True,
        )  # fmt: skip
    return ""
