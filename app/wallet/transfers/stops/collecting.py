"""Collecting from the payee, later, what the operator gave the sender on top of a reversal."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting
from app.wallet.transfers.records import Transfer
from app.wallet.transfers.stops import news, rows
from app.wallet.transfers.stops.rows import Stop, StopCollection

COLLECT_KIND = "stop_collect"


def owed_minor(session: Session, stop_id: UUID) -> int:
    """What of a stop's top-up the operator has not got back."""
    stop = rows.get(session, stop_id)
    return stop.top_up_minor - rows.collected_minor(session, stop_id)


def collect_later(
    session: Session, market: Market, stop_id: UUID, *, collection_id: UUID, by: str, now: datetime
) -> int:
    """Take from the payee what they have available, at most what is owed; how much it was.

    The same `collection_id` again takes nothing more. Raises DomainError `stop_unknown`,
    `stop_nothing_owed`, `stop_nothing_left`.
    """
    stop = rows.locked(session, stop_id)
    known = session.get(StopCollection, collection_id)
    if known is not None:
        return known.amount_minor
    owed = stop.top_up_minor - rows.collected_minor(session, stop_id)
    if owed <= 0:
        raise DomainError("stop_nothing_owed")
    transfer = session.get_one(Transfer, stop.transfer_id, populate_existing=True)
    own = ledger.operator_account(session, market.currency.code)
    ledger.lock_accounts(session, [transfer.payee_account, own])
    amount_minor = min(owed, ledger.balance(session, transfer.payee_account).available_minor)
    if amount_minor <= 0:
        raise DomainError("stop_nothing_left")
    move = Move(transfer.payee_account, own, amount_minor)
    collection = StopCollection(
        id=collection_id,
        stop_id=stop.id,
        reversal_id=transfer.reversal_id,
        posting_id=_post(session, stop, derived_key(collection_id, "collected"), move, now),
        amount_minor=amount_minor,
        collected_by=by,
        collected_at=now,
    )
    session.add(collection)
    session.flush()
    news.collected(session, collection, stop, transfer, now)
    return amount_minor


def _post(session: Session, stop: Stop, key: UUID, move: Move, now: datetime) -> int:
    posting = Posting(key=key, kind=COLLECT_KIND, moves=(move,), reference=stop.reference)
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal or answer.posting_id is None:
        raise RuntimeError(f"stop {stop.reference}: nothing collected: {answer.refusal}")
    return answer.posting_id
