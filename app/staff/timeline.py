"""Where is my money? Everything that happened to a person or a payment, in one list by time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session


class Happening(NamedTuple):
    """One line: when, what kind of thing, a sentence of facts without secrets, and the money."""

    at: datetime
    kind: str
    what: str
    amount_minor: int | None


_PERSON = """
    SELECT e.at, 'payment' AS kind, concat_ws(' ', p.reference, e.from_state, '→', e.to_state,
           e.what, p.product, p.customer_no) AS what, p.amount_minor + p.fee_minor AS amount_minor
    FROM payment_events e JOIN payments p ON p.id = e.payment_id WHERE p.person_id = :person_id
    UNION ALL
    SELECT m.created_at, 'sms', concat_ws(' ', m.kind, m.state, 'tries', m.attempts::text,
           'delivery', coalesce(m.delivery, 'none yet'), m.last_error), NULL
    FROM messages m WHERE m.person_id = :person_id
    UNION ALL
    SELECT i.created_at, 'intent', concat_ws(' ', i.kind, i.state, i.id::text), NULL
    FROM intents i WHERE i.person_id = :person_id
    UNION ALL
    SELECT u.received_at, 'session', concat_ws(' ', u.gateway, u.status, u.hops || ' hops',
           u.duration_ms || ' ms', u.error), NULL
    FROM ussd_ends u WHERE u.msisdn = :msisdn
    ORDER BY at DESC LIMIT :limit
"""
_PAYMENT = """
    SELECT e.at, 'payment' AS kind, concat_ws(' ', e.from_state, '→', e.to_state, e.what,
           nullif(e.facts::text, '{}')) AS what, NULL::bigint AS amount_minor
    FROM payment_events e WHERE e.payment_id = :payment_id
    UNION ALL
    SELECT m.created_at, 'sms', concat_ws(' ', m.kind, m.state, 'tries', m.attempts::text,
           'delivery', coalesce(m.delivery, 'none yet'), m.last_error), NULL
    FROM messages m WHERE m.subject = :payment_id
    ORDER BY at LIMIT :limit
"""


def of_person(
    session: Session, person_id: UUID, msisdn: str, *, limit: int = 100
) -> list[Happening]:
    """Payments, SMS, intents and sessions of a person, newest first."""
    return _read(session, _PERSON, {"person_id": person_id, "msisdn": msisdn, "limit": limit})


def of_payment(session: Session, payment_id: UUID, *, limit: int = 500) -> list[Happening]:
    """Every step of a payment and its SMS, oldest first."""
    return _read(session, _PAYMENT, {"payment_id": payment_id, "limit": limit})


def _read(session: Session, query: str, facts: dict[str, Any]) -> list[Happening]:
    return [Happening(*row) for row in session.execute(text(query), facts)]
