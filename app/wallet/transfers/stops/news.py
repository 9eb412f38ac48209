"""What the parties of a stop are told by SMS. Nobody is accused, and nobody learns what is left in
the other's wallet before it is given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.notices import Recipient, notify
from app.wallet import ledger, people
from app.wallet.keys import derived_key
from app.wallet.transfers.records import Transfer, TransferView
from app.wallet.transfers.returns import TakenBack
from app.wallet.transfers.stops.rows import Stop, StopCollection


def asked(session: Session, stop: Stop, view: TransferView, now: datetime) -> None:
    """The asker learns the stop's reference, the payee what is set aside and whom to call."""
    facts = {**_facts(stop, now), "until": stop.expires_at.isoformat()}
    about = {**facts, "amount_minor": view.amount_minor, "name": _payee_name(session, view)}
    _tell(session, stop.id, "stop_asked", stop.asked_by, about, now)
    if stop.held_minor:
        _tell_payee(session, stop, view, "stop_held", {**facts, "held_minor": stop.held_minor}, now)


def approved(
    session: Session, stop: Stop, view: TransferView, taken_back: TakenBack, now: datetime
) -> None:
    """The asker learns what came back, top-up included, the payee what went."""
    payer = select(Transfer.payer_account).where(Transfer.id == view.id)
    facts = {
        **_facts(stop, now),
        "amount_minor": taken_back.given_back_minor + stop.top_up_minor,
        "balance_minor": _available(session, session.scalars(payer).one()),
    }
    _tell(session, stop.id, "stop_approved", stop.asked_by, facts, now)
    if taken_back.taken_minor:
        went = {**_facts(stop, now), "amount_minor": taken_back.taken_minor}
        _tell_payee(session, stop, view, "stop_taken", went, now)
    elif stop.held_minor:
        _freed(session, stop, view, now)


def ended(session: Session, stop: Stop, view: TransferView, now: datetime) -> None:
    """Refused or lapsed: nothing comes back, and what was set aside is the payee's again."""
    facts = {
        **_facts(stop, now),
        "amount_minor": view.amount_minor,
        "name": _payee_name(session, view),
    }
    _tell(session, stop.id, f"stop_{stop.state}", stop.asked_by, facts, now)
    if stop.held_minor:
        _freed(session, stop, view, now)


def collected(
    session: Session, collection: StopCollection, stop: Stop, transfer: Transfer, now: datetime
) -> None:
    """The payee learns what was taken for a top-up."""
    if transfer.payee_id is None:
        return
    facts = {
        **_facts(stop, now),
        "amount_minor": collection.amount_minor,
        "balance_minor": _available(session, transfer.payee_account),
    }
    _tell(session, collection.id, "stop_collected", transfer.payee_id, facts, now)


def _freed(session: Session, stop: Stop, view: TransferView, now: datetime) -> None:
    facts = {**_facts(stop, now), "held_minor": stop.held_minor}
    _tell_payee(session, stop, view, "stop_freed", facts, now)


def _facts(stop: Stop, now: datetime) -> dict[str, Any]:
    return {"reference": stop.reference, "at": now.isoformat()}


def _payee_name(session: Session, view: TransferView) -> str:
    return people.masked(people.get(session, view.payee_id).name) if view.payee_id else ""


def _available(session: Session, account_id: int) -> int:
    return ledger.balance(session, account_id).available_minor


def _tell_payee(
    session: Session,
    stop: Stop,
    view: TransferView,
    kind: str,
    facts: Mapping[str, Any],
    now: datetime,
) -> None:
    """With the payee's own balance. A till has nobody to tell."""
    if view.payee_id is None:
        return
    wallet_id = people.get(session, view.payee_id).wallet_id
    own = {**facts, "balance_minor": _available(session, wallet_id)}
    _tell(session, stop.id, kind, view.payee_id, own, now)


def _tell(
    session: Session,
    subject: UUID,
    kind: str,
    person_id: UUID,
    facts: Mapping[str, Any],
    now: datetime,
) -> None:
    person = people.get(session, person_id)
    notify(
        session,
        kind,
        Recipient(person.msisdn, person.language, person.id),
        message_id=derived_key(subject, "message", kind),
        subject=subject,
        facts=facts,
        now=now,
    )
