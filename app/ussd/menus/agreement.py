"""Agreeing: what a confirmation showed, the PIN, and what it moves. One intent, once.

Every confirmation that moves money goes this way:
1. `note_shown` when it is shown: an intent id, the fingerprint of what is agreed to, a deadline.
2. `agree` with the PIN: the intent is committed with the attempt, before the PIN is looked at; then
   one transaction acts and closes it. What the screen showed is what may be charged.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.ussd.menus.services import Services, caller, check_pin
from app.ussd.states import Hop
from app.wallet import intents
from app.wallet.keys import new_key

Act = Callable[[Session, uuid.UUID], uuid.UUID]
# What every confirmation may be refused with, once the PIN is right or locked.
REFUSALS = (
    "pin_locked",
    "insufficient_funds",
    "limit_transaction",
    "limit_day",
    "limit_month",
    "intent_closed",
    "intent_changed",
    "intent_expired",
    "person_suspended",
    "not_offered_yet",
)


def note_shown(hop: Hop[Services], fingerprint: bytes) -> None:
    """The confirmation is shown next. An intent keeps its time and price from its first PIN on:
    shown anew it is a new one.
    """
    if "intent" not in hop.data or hop.data.get("tried") == hop.data["intent"]:
        hop.data["intent"] = new_key().hex
    deadline = hop.now + timedelta(seconds=hop.market.confirm_seconds)
    hop.data["shown"] = fingerprint.hex()
    hop.data["deadline"] = int(deadline.timestamp())


def shown_at(hop: Hop[Services]) -> datetime:
    return _deadline(hop) - timedelta(seconds=hop.market.confirm_seconds)


def note_price(hop: Hop[Services]) -> None:
    """From now on this session's price is the one of now, also when midnight passes."""
    hop.data["priced"] = int(hop.now.timestamp())


def priced_at(hop: Hop[Services]) -> datetime:
    return datetime.fromtimestamp(hop.data["priced"], UTC) if "priced" in hop.data else hop.now


def agree(hop: Hop[Services], pin: str, *, kind: str, act: Act, name: str) -> uuid.UUID:
    """One right PIN, one intent, one movement, whatever is retried; what the intent has become.

    `act(session, intent_id)` posts and closes the intent; `name` is its transaction's, for the kill
    harness. Raises what `check_pin` and `act` raise.
    """
    services, person_id = hop.services, caller(hop).id
    intent_id = uuid.UUID(hop.data["intent"])
    hop.data["tried"] = hop.data["intent"]

    def note_intent(session: Session) -> None:
        intents.open_intent(
            session,
            intent_id,
            session_hash=hop.session_hash,
            person_id=person_id,
            kind=kind,
            fingerprint=bytes.fromhex(hop.data["shown"]),
            deadline=_deadline(hop),
        )

    def move(session: Session) -> uuid.UUID:
        services.pins.passed(session, person_id)  # from here on a person's PINs wait in a row
        intents.supersede(session, intent_id, hop.session_hash, now=hop.now)
        return act(session, intent_id)

    check_pin(hop, pin, also=note_intent)
    try:
        return services.db.transact(move, name=name, idempotent=True)
    except DomainError as error:
        # A restored database refuses for hours: nobody's PIN may be locked by that.
        if not error.retryable or error.code == "quarantined":
            services.db.transact(lambda session: _refused(hop, session, person_id))
        raise


def _refused(hop: Hop[Services], session: Session, person_id: uuid.UUID) -> None:
    """The PIN was right though the money did not move: the try is given back."""
    hop.services.pins.passed(session, person_id)
    intents.abandon(session, person_id, now=hop.now)


def _deadline(hop: Hop[Services]) -> datetime:
    return datetime.fromtimestamp(hop.data["deadline"], UTC)
