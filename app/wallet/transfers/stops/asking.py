"""Asking for a wrong transfer back: what the payee still has of it is set aside for staff."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, ledger, people
from app.wallet.keys import derived_key, new_key
from app.wallet.transfers import records
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.stops import news, rows
from app.wallet.transfers.stops.rows import Stop, StopView


def ask(
    session: Session, market: Market, transfer_id: UUID, *, by: UUID, now: datetime
) -> StopView:
    """Ask staff to give a transfer back; `by` is the person who sent it, or was the agent.

    Raises DomainError `stop_not_yours` (not theirs, or nothing that can be stopped), `stop_known`
    (asked before, or its money came back), `stop_too_late`.
    """
    view = _own(session, transfer_id, by)
    if view.reversed_at is not None:
        raise DomainError("stop_known")
    if now >= view.created_at + timedelta(seconds=market.stops.window_seconds):
        raise DomainError("stop_too_late")
    stop = _write(session, market, transfer_id, by, now)
    if view.payee_id and agents.of_person(session, view.payee_id) is None:
        _set_aside(session, stop, view, view.payee_id, now)
    news.asked(session, stop, view, now)
    return rows.get(session, stop.id)


def _own(session: Session, transfer_id: UUID, by: UUID) -> TransferView:
    """The transfer, if this person may ask for it back."""
    try:
        view = records.outcome(session, transfer_id)
    except NoResultFound as error:
        raise DomainError("stop_not_yours") from error
    if view.kind == "send" and view.payer_id == by:
        return view
    agent = agents.of_person(session, by)
    if view.kind == "cash_in" and agent is not None and view.agent_id == agent.id:
        return view
    raise DomainError("stop_not_yours")


def _write(session: Session, market: Market, transfer_id: UUID, by: UUID, now: datetime) -> Stop:
    stop_id = new_key()
    row = {
        "id": stop_id,
        "reference": rows.free_reference(session),
        "transfer_id": transfer_id,
        "asked_by": by,
        "asked_at": now,
        "expires_at": now + timedelta(seconds=market.stops.hold_seconds),
        "held_minor": 0,
        "state": "open",
    }
    statement = insert(Stop).values(row).on_conflict_do_nothing(index_elements=["transfer_id"])
    if session.scalar(statement.returning(Stop.id)) is None:
        raise DomainError("stop_known")
    return rows.locked(session, stop_id)


def _set_aside(
    session: Session, stop: Stop, view: TransferView, payee_id: UUID, now: datetime
) -> None:
    """Hold what the payee still has of it; nothing where nothing is left."""
    wallet_id = people.get(session, payee_id).wallet_id
    ledger.lock_accounts(session, [wallet_id])
    left = min(view.received_minor, ledger.balance(session, wallet_id).available_minor)
    if left <= 0:
        return
    held = ledger.hold(
        session,
        key=derived_key(stop.id, "hold"),
        account_id=wallet_id,
        amount_minor=left,
        expires_at=stop.expires_at,
        reference=stop.reference,
        now=now,
    )
    if held.refusal:
        raise RuntimeError(f"stop {stop.reference}: the ledger does not hold: {held.refusal}")
    stop.hold_id, stop.held_minor = held.key, left
    session.flush()
