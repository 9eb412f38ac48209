"""Deciding about a stop: staff approve or refuse it, or its time runs out. They are named `by`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, ledger, rounds
from app.wallet.counter import low_float
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting
from app.wallet.transfers import records, returns
from app.wallet.transfers.records import Transfer
from app.wallet.transfers.stops import news, rows
from app.wallet.transfers.stops.rows import Stop, StopView

TOP_UP_KIND = "stop_top_up"


def approve(
    session: Session,
    market: Market,
    stop_id: UUID,
    *,
    by: str,
    now: datetime,
    top_up_minor: int = 0,
) -> StopView:
    """Give back what the payee still has and the fee; with a top-up from the operator's account.

    Raises DomainError `stop_unknown`, `stop_closed`, `transfer_reversed`, `stop_nothing_left`,
    `top_up_too_large` with `most`, `operator_funds_short` with `available`.
    """
    stop = rows.locked_open(session, stop_id)
    view = records.outcome(session, stop.transfer_id)
    _lock_money(session, market, stop)
    if stop.hold_id:
        ledger.release(session, stop.hold_id, reason="stop_approved", now=now)
    taken_back = returns.take_back(session, view, key=derived_key(stop.id, "reversal"), now=now)
    missing_minor = view.total_minor - taken_back.given_back_minor
    if not 0 <= top_up_minor <= missing_minor:
        raise DomainError("top_up_too_large", most=market.currency.format(missing_minor))
    if not taken_back.given_back_minor + top_up_minor:
        raise DomainError("stop_nothing_left")
    if top_up_minor:
        stop.top_up_id = _top_up(session, market, stop, top_up_minor, now)
    stop.given_back_minor, stop.top_up_minor = taken_back.given_back_minor, top_up_minor
    _decide(session, stop, "approved", now, by=by)
    news.approved(session, stop, view, taken_back, now)
    if view.kind == "cash_in" and view.agent_id:
        low_float.rose(session, market, agents.get(session, view.agent_id))
    return rows.get(session, stop.id)


def refuse(session: Session, stop_id: UUID, *, by: str, now: datetime) -> StopView:
    """What was set aside is the payee's again. Raises DomainError `stop_unknown`, `stop_closed`."""
    stop = rows.locked_open(session, stop_id)
    return _end(session, stop, "refused", now, by=by)


def lapse(db: Database, now: datetime) -> int:
    """End stops that nobody decided about in time, each in its own transaction; how many."""
    return rounds.end_due(db, "stop", partial(_due, now=now), partial(_lapse_one, now=now))


def _due(session: Session, left_out: set[UUID], most: int, now: datetime) -> list[UUID]:
    statement = select(Stop.id).where(
        Stop.state == "open", Stop.expires_at <= now, Stop.id.not_in(left_out)
    )
    return list(session.scalars(statement.order_by(Stop.expires_at).limit(most)))


def _lapse_one(session: Session, stop_id: UUID, now: datetime) -> bool:
    """False when it was decided in the meantime, or somebody is at it."""
    statement = select(Stop).where(Stop.id == stop_id, Stop.state == "open", Stop.expires_at <= now)
    stop = session.scalar(statement.with_for_update(skip_locked=True))
    if stop is None:
        return False
    _end(session, stop, "lapsed", now)
    return True


def _end(
    session: Session, stop: Stop, state: str, now: datetime, *, by: str | None = None
) -> StopView:
    """Without giving anything back. A hold past its time may have expired by itself."""
    view = records.outcome(session, stop.transfer_id)
    if stop.hold_id:
        ledger.release(session, stop.hold_id, reason=f"stop_{state}", now=now)
    _decide(session, stop, state, now, by=by)
    news.ended(session, stop, view, now)
    return rows.get(session, stop.id)


def _decide(
    session: Session, stop: Stop, state: str, now: datetime, *, by: str | None = None
) -> None:
    stop.state, stop.decided_by, stop.decided_at = state, by, now
    session.flush()


def _lock_money(session: Session, market: Market, stop: Stop) -> None:
    """Holds before accounts, and accounts by id, before the calls that lock one after another."""
    if stop.hold_id:
        ledger.clear_expiry(session, stop.hold_id)
    own = ledger.operator_account(session, market.currency.code)
    parties = select(Transfer.payer_account, Transfer.payee_account)
    payer, payee = session.execute(parties.where(Transfer.id == stop.transfer_id)).one()
    ledger.lock_accounts(session, [own, payer, payee])


def _top_up(session: Session, market: Market, stop: Stop, amount_minor: int, now: datetime) -> int:
    """What the payee no longer has, from the operator's own account; the posting."""
    own = ledger.operator_account(session, market.currency.code)
    payer = session.scalars(
        select(Transfer.payer_account).where(Transfer.id == stop.transfer_id)
    ).one()
    posting = Posting(
        key=derived_key(stop.id, "top_up"),
        kind=TOP_UP_KIND,
        moves=(Move(own, payer, amount_minor),),
        reference=stop.reference,
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal == "insufficient_funds":
        available = ledger.balance(session, own).available_minor
        raise DomainError("operator_funds_short", available=market.currency.format(available))
    if answer.refusal or answer.posting_id is None:
        raise RuntimeError(f"stop {stop.reference}: no top-up: {answer.refusal}")
    return answer.posting_id
