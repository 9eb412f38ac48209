"""Marking what is in doubt after a restore, and lifting the quarantine.

    held ─▶ sent ─▶ unknown ─┬─▶ …         it may have been sent since, and its biller is asked
                             └─▶ manual    … or cannot be asked about what we do not remember
    sent, unknown ─▶ unknown               asked anew; what was to be bought again is asked first
    message due, sending ─▶ review

1. A payment is due at once and its hold does not expire: only its biller, or two people, end it.
   `asked_from` gives its biller the whole time to answer, from now.
2. Buying again under the same reference is the market file's word, and good for as long as asking
   is: an older payment that its biller does not know is decided by two people.
3. Only a biller that is asked by our reference can tell of a payment that the backup calls held.
   An advice or a reversal names the second in which it was sent, which is lost: advised under
   another one, it would be bought twice. Nor does a day's file that we do not remember settle any.
   And nobody asks beyond `ask_horizon_seconds`, where asking would buy anew.
4. Two sorts stay held, for they were never sent: a payment by file whose cut-off is still to come,
   and one whose hold is gone, which the next claim cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app import bell, quarantine
from app.billers import models, settlement
from app.db import ring_after_commit
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger

_OPEN = text("""
    SELECT id, hold_id, state, biller, created_at FROM payments
    WHERE state IN ('sent', 'unknown')
       OR (state = 'held' AND (family <> 'file' OR due_at <= clock_timestamp()))
    ORDER BY id FOR UPDATE
""")
_SEND = text("""
    WITH doubted AS (
        UPDATE payments SET state = 'sent', came_from = 'held', requests = 1,
            first_sent_at = created_at
        WHERE id = ANY (:ids) AND state = 'held'
        RETURNING id
    )
    INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)
    SELECT id, :now, 'held', 'sent', 'restored', '{}' FROM doubted
""")
_DOUBT = text("""
    WITH doubted AS (
        UPDATE payments p SET state = 'unknown',
            came_from = 'sent', requests = greatest(p.requests, 2), fence = p.fence + 1,
            lease_until = NULL, send_again = false,
            acknowledged = p.acknowledged OR p.id = ANY (:forgotten),
            asked_from = clock_timestamp(),
            due_at = CASE WHEN p.batch_id IS NULL THEN clock_timestamp() ELSE p.due_at END
        FROM payments before
        WHERE p.id = ANY (:ids) AND p.state IN ('sent', 'unknown') AND before.id = p.id
        RETURNING p.id, before.state AS was
    )
    INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)
    SELECT id, :now, was, 'unknown', 'restored', '{}' FROM doubted
""")
_REVIEW = text("""
    UPDATE messages SET state = 'review', due_at = NULL, lease_until = NULL, fence = fence + 1,
        last_error = 'restored'
    WHERE state IN ('due', 'sending')
    RETURNING id
""")
_REMEMBER = text("""
    INSERT INTO recoveries (
        case_id, quarantined_at, why, restored_to, recovered_at, payments, messages)
    VALUES (:case_id, :since, :why, :restored_to, :now, :payments, :messages)
""")
_IN_DOUBT = text("""
    SELECT (SELECT count(*) FROM payments WHERE state IN ('held', 'sent', 'unknown')) AS payments,
           (SELECT count(*) FROM messages WHERE state IN ('due', 'sending')) AS messages
""")


@dataclass(frozen=True, slots=True)
class Doubt:
    """How many payments and messages are in doubt, or were put in it."""

    payments: int
    messages: int


def in_doubt(session: Session) -> tuple[quarantine.Quarantine, Doubt]:
    """The quarantine that stands, and what its end would mark. Raises `not_quarantined`."""
    found = quarantine.standing(session)
    if found is None:
        raise DomainError("not_quarantined")
    row = session.execute(_IN_DOUBT).one()
    return found, Doubt(row.payments, row.messages)


def recover(session: Session, market: Market, case_id: UUID, now: datetime) -> Doubt:
    """Mark what is in doubt and lift the quarantine: billers are asked from the commit on.

    Raises DomainError `not_quarantined`.
    """
    was = quarantine.lift(session)
    done = Doubt(_payments(session, market, now), len(session.execute(_REVIEW).all()))
    session.execute(text("SELECT skip_serials_v1()"))
    values = {"since": was.since, "why": was.why, "restored_to": was.restored_to, "now": now}
    counts = {"payments": done.payments, "messages": done.messages}
    session.execute(_REMEMBER, {"case_id": case_id, **values, **counts})
    ring_after_commit(session, bell.PAYMENTS)
    return done


def _payments(session: Session, market: Market, now: datetime) -> int:
    rows = session.execute(_OPEN).all()
    held = {row.id: row.hold_id for row in rows if row.state == "held"}
    kept = ledger.clear_expiries(session, held.values())
    ids = {row.id for row in rows if row.id not in held or row.hold_id in kept}
    forgotten = [
        row.id for row in rows if _may_be_forgotten(market, row.biller, row.created_at, now)
    ]
    session.execute(_SEND, {"ids": list(ids), "now": now})
    session.execute(_DOUBT, {"ids": list(ids), "forgotten": forgotten, "now": now})
    for row in rows:
        if row.id in ids and not _can_be_asked(market, row, now):
            settlement.to_manual(session, market, models.lock(session, row.id), now=now)
    return len(ids)


def _can_be_asked(market: Market, row: Row[Any], now: datetime) -> bool:
    """Whether the biller tells, without selling anew, by our reference alone. One that has left the
    market file is nobody's to ask, which house-keeping ends.
    """
    rules = market.billers.get(row.biller)
    if rules is None:
        return True
    if row.created_at <= now - timedelta(seconds=rules.ask_horizon_seconds):
        return False
    return row.state != "held" or rules.silence_policy == "ask"


def _may_be_forgotten(market: Market, biller: str, created_at: datetime, now: datetime) -> bool:
    """Whether that it is not known to its biller no longer proves that it was not sold."""
    rules = market.billers.get(biller)
    return rules is None or created_at <= now - timedelta(seconds=rules.manual_after_seconds)
