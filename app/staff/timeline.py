"""Where is my money? Everything that happened to a person or to one movement, in one list by time.

1. Each part reads its own newest `limit` lines by an index, so a busy agent costs no more than a
   quiet customer; the list is the newest of them all.
2. Others are masked: whoever asks is told about their own money.
3. No line holds a code or a PIN; those stand in no table.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.wallet.agents import Agent
from app.wallet.people import Person


class Happening(NamedTuple):
    """One line: when, what kind of thing, a sentence of facts without secrets, and the money."""

    at: datetime
    kind: str
    what: str
    amount_minor: int | None


def name_of(row: str) -> str:
    """SQL of `people.masked`."""
    return f"regexp_replace({row}.name, '(\\s\\S)\\S*', '\\1', 'g')"


def number_of(column: str) -> str:
    """SQL of `msisdn.mask`."""
    return f"left({column}, -6) || '***' || right({column}, 3)"


# The transfers that the parts below are about.
_OF_PERSON = """
    (SELECT * FROM transfers WHERE payer_id = :person_id ORDER BY id DESC LIMIT :limit)
    UNION
    (SELECT * FROM transfers WHERE payee_id = :person_id ORDER BY id DESC LIMIT :limit)
    UNION
    (SELECT * FROM transfers WHERE agent_id = :agent_id ORDER BY id DESC LIMIT :limit)
    UNION
    (SELECT t.* FROM (
        SELECT posting_id FROM moves WHERE credit = :float_id ORDER BY credit_seq DESC LIMIT :limit
     ) AS got JOIN transfers t ON t.posting_id = got.posting_id WHERE t.kind = 'float_move')
"""
_OF_TRANSFER = "SELECT * FROM transfers WHERE id = :subject"
_PAYS = "(t.payer_id = :person_id OR t.payer_account = :float_id)"
_TRANSFERS = f"""
    SELECT t.created_at AS at, 'transfer' AS kind, concat_ws(
           ' ', t.kind, t.reference, CASE WHEN {_PAYS} THEN 'to' ELSE 'from' END,
           CASE WHEN t.kind IN ('closing', 'float_payout') THEN 'the bank' ELSE coalesce(
               {name_of("x")} || ' ' || {number_of("x.msisdn")},
               g.name || ' ' || g.code,
               {number_of("t.msisdn")}) END,
           CASE WHEN t.reversed_at IS NOT NULL THEN '(taken back)' END) AS what,
           t.amount_minor + CASE
               WHEN {_PAYS} THEN CASE WHEN t.fee_payer = 'sender' THEN t.fee_minor ELSE 0 END
               ELSE CASE WHEN t.fee_payer = 'receiver' THEN -t.fee_minor ELSE 0 END
           END AS amount_minor
    FROM own t
    LEFT JOIN vouchers v ON v.collection_id = t.id
    LEFT JOIN people x ON x.id = CASE
        WHEN t.payer_id <> :person_id THEN t.payer_id
        WHEN t.payee_id <> :person_id THEN t.payee_id
        WHEN t.agent_id IS NULL THEN v.sender_id END
    LEFT JOIN agents g ON g.id = t.agent_id AND g.id IS DISTINCT FROM :agent_id
"""  # noqa: S608 - the text is ours
_TAKEN_BACK = """
    SELECT t.reversed_at, 'transfer', concat_ws(' ', t.kind, t.reference, 'taken back'),
           t.reversed_minor
    FROM own t WHERE t.reversed_at IS NOT NULL
"""
_VOUCHERS = """
    SELECT v.closed_at, 'voucher', concat_ws(' ', t.reference, 'collected', CASE v.collected_by
           WHEN 'agent' THEN 'at an agent' ELSE 'into a wallet' END), t.amount_minor
    FROM own t JOIN vouchers v ON v.transfer_id = t.id WHERE v.state = 'collected'
"""
_STOPS = """
    SELECT s.asked_at, 'stop', concat_ws(' ', s.reference, 'of', t.reference, 'asked for',
           CASE WHEN s.held_minor > 0 THEN 'and set aside' END), nullif(s.held_minor, 0)
    FROM own t JOIN stops s ON s.transfer_id = t.id
    UNION ALL
    SELECT s.decided_at, 'stop', concat_ws(' ', s.reference, s.state, 'by ' || s.decided_by),
           nullif(s.given_back_minor + s.top_up_minor, 0)
    FROM own t JOIN stops s ON s.transfer_id = t.id WHERE s.decided_at IS NOT NULL
    UNION ALL
    SELECT c.collected_at, 'stop', concat_ws(' ', s.reference, 'collected by', c.collected_by),
           c.amount_minor
    FROM own t JOIN stops s ON s.transfer_id = t.id JOIN stop_collections c ON c.stop_id = s.id
"""
_CASES = """
    SELECT e.at, 'case', concat_ws(' ', c.reference, c.kind, e.what), NULL::bigint
    FROM cases c CROSS JOIN LATERAL (VALUES
        (c.proposed_at, 'proposed by ' || c.maker),
        (c.decided_at, c.state || ' by ' || coalesce(c.checker, c.maker))
    ) AS e (at, what)
    WHERE e.at IS NOT NULL AND c.subject IN (
        SELECT CAST(:person_id AS text) UNION ALL SELECT CAST(:agent_id AS text)
        UNION ALL SELECT s.id::text FROM own t JOIN stops s ON s.transfer_id = t.id)
"""
_PAYMENTS = """
    SELECT e.at, 'payment', concat_ws(' ', p.reference, e.from_state, '→', e.to_state, e.what,
           p.product, p.customer_no), p.amount_minor + p.fee_minor
    FROM (SELECT * FROM payments WHERE person_id = :person_id ORDER BY id DESC LIMIT :limit) AS p
    JOIN payment_events e ON e.payment_id = p.id
"""
_WITHDRAWALS = """
    SELECT e.at, 'withdrawal', concat_ws(' ', w.reference, e.what, 'at', g.name, g.code),
           w.amount_minor + CASE WHEN w.fee_payer = 'sender' THEN w.fee_minor ELSE 0 END
    FROM (SELECT id FROM intents WHERE person_id = :person_id ORDER BY id DESC LIMIT :limit) AS i
    JOIN withdrawals w ON w.intent_id = i.id
    JOIN agents g ON g.id = w.agent_id
    CROSS JOIN LATERAL (VALUES
        (w.created_at, 'set aside'), (w.closed_at, w.state)
    ) AS e (at, what)
    WHERE e.at IS NOT NULL
"""
# What came in by no transfer. An agent's account is its float.
_PAID_IN = """
    SELECT p.posted_at, p.kind, concat_ws(' ', p.reference, 'into the', m.into),
           sum(m.amount_minor)::bigint
    FROM (
        (SELECT posting_id, posted_at, amount_minor, 'wallet' AS into FROM moves
         WHERE credit = :wallet_id ORDER BY credit_seq DESC LIMIT :limit)
        UNION ALL
        (SELECT posting_id, posted_at, amount_minor, 'float' FROM moves
         WHERE credit = :float_id ORDER BY credit_seq DESC LIMIT :limit)
    ) AS m JOIN postings p ON p.id = m.posting_id AND p.posted_at = m.posted_at
    WHERE p.kind IN ('deposit', 'commission')
    GROUP BY p.id, p.posted_at, p.kind, p.reference, m.into
"""
_RESETS = """
    SELECT e.at, 'reset', concat_ws(' ', 'of the PIN', e.what), NULL::bigint
    FROM (
        SELECT * FROM pin_resets WHERE person_id = :person_id ORDER BY created_at DESC LIMIT :limit
    ) AS r
    LEFT JOIN agents g ON g.id::text = r.started_by
    CROSS JOIN LATERAL (VALUES
        (r.created_at, concat_ws(' ', 'asked for by', r.started_by_kind,
                                 coalesce(g.code, r.started_by), left(r.evidence, 80))),
        (r.closed_at, r.state)
    ) AS e (at, what)
    WHERE e.at IS NOT NULL
"""
_SMS = """
    SELECT m.created_at, 'sms', concat_ws(' ', m.kind, m.state, m.facts ->> 'reference', 'tries',
           m.attempts::text, 'delivery', coalesce(m.delivery, 'none yet'), m.last_error),
           NULL::bigint
    FROM messages m
"""
_SMS_OF_PERSON = f"{_SMS} WHERE m.person_id = :person_id ORDER BY m.created_at DESC LIMIT :limit"
_SMS_OF_STRANGER = f"""{_SMS}
    WHERE m.msisdn = :msisdn AND m.person_id IS NULL ORDER BY m.created_at DESC LIMIT :limit
"""
_SMS_OF_TRANSFER = f"""{_SMS} WHERE m.subject IN (
    SELECT CAST(:subject AS uuid)
    UNION ALL SELECT v.collection_id FROM vouchers v WHERE v.transfer_id = :subject
    UNION ALL SELECT w.id FROM withdrawals w WHERE w.transfer_id = :subject
    UNION ALL SELECT s.id FROM stops s WHERE s.transfer_id = :subject
    UNION ALL SELECT c.id FROM stops s JOIN stop_collections c ON c.stop_id = s.id
              WHERE s.transfer_id = :subject)
"""  # noqa: S608 - the text is ours
_SMS_OF_SUBJECT = f"{_SMS} WHERE m.subject = :subject"
_INTENTS = """
    SELECT i.created_at, 'intent', concat_ws(' ', i.kind, i.state, i.id::text), NULL::bigint
    FROM intents i WHERE i.person_id = :person_id ORDER BY i.id DESC LIMIT :limit
"""
_SESSIONS = """
    SELECT u.received_at, 'session', concat_ws(' ', u.gateway, u.status, u.hops || ' hops',
           u.duration_ms || ' ms', u.error), NULL::bigint
    FROM ussd_ends u WHERE u.msisdn = :msisdn ORDER BY u.received_at DESC LIMIT :limit
"""
_BANK = """
    SELECT b.confirmed_at, 'bank', concat_ws(' ', 'line', b.line_id, b.kind, 'by', b.proposer,
           'and', b.checker), NULL::bigint
    FROM bank_matches b
    WHERE b.confirmed_at IS NOT NULL AND b.withdrawn_at IS NULL
      AND (b.transfer_id = :subject OR b.notice_id = :subject)
"""


_PAYMENT_STEPS = """
    SELECT e.at, 'payment', concat_ws(' ', e.from_state, '→', e.to_state, e.what,
           nullif(e.facts::text, '{}')), NULL::bigint
    FROM payment_events e WHERE e.payment_id = :subject
"""
_PAYMENT_CASES = """
    SELECT e.at, 'case', concat_ws(' ', c.reference, c.kind, e.what), NULL::bigint
    FROM payments p JOIN cases c ON c.subject = p.reference CROSS JOIN LATERAL (VALUES
        (c.proposed_at, 'proposed by ' || c.maker),
        (c.decided_at, c.state || ' by ' || coalesce(c.checker, c.maker))
    ) AS e (at, what)
    WHERE e.at IS NOT NULL AND p.id = :subject
"""


def of_person(
    session: Session, person: Person, agent: Agent | None, *, limit: int = 100
) -> list[Happening]:
    """Whatever a person, or the agent that they are, did or was told, newest first."""
    facts = {
        "person_id": person.id,
        "msisdn": person.msisdn,
        "wallet_id": person.wallet_id,
        "agent_id": agent.id if agent else None,
        "float_id": agent.float_id if agent else None,
        "limit": limit,
    }
    return _read(session, _PERSON, facts)


def of_number(session: Session, msisdn: str, *, limit: int = 100) -> list[Happening]:
    """What a number was told that is nobody's, and its sessions, newest first."""
    return _read(session, _NUMBER, {"msisdn": msisdn, "limit": limit})


def of_transfer(session: Session, transfer_id: UUID, *, limit: int = 500) -> list[Happening]:
    """What became of a transfer, and the SMS about it, oldest first."""
    facts = {"subject": transfer_id, "person_id": None, "agent_id": None, "limit": limit}
    return _read(session, _TRANSFER, facts)


def of_payment(session: Session, payment_id: UUID, *, limit: int = 500) -> list[Happening]:
    """Every step of a payment and its SMS, oldest first; of very many the newest `limit`."""
    return _read(session, _PAYMENT, {"subject": payment_id, "limit": limit})


def of_subject(session: Session, subject: UUID, *, limit: int = 500) -> list[Happening]:
    """The bank's lines and the SMS about anything else, oldest first."""
    return _read(session, _SUBJECT, {"subject": subject, "limit": limit})


def _together(*parts: str, own: str = "", newest_first: bool = False) -> str:
    begins = f"WITH own AS MATERIALIZED ({own}) " if own else ""
    union = " UNION ALL ".join(f"({part})" for part in parts)
    return f"{begins}{union} ORDER BY 1 {'DESC' if newest_first else 'ASC'}, 2 LIMIT :limit"


_PERSON = _together(
    _TRANSFERS, _TAKEN_BACK, _VOUCHERS, _STOPS, _CASES, _PAYMENTS, _WITHDRAWALS, _PAID_IN, _RESETS,
    _SMS_OF_PERSON, _SMS_OF_STRANGER, _INTENTS, _SESSIONS,
    own=_OF_PERSON, newest_first=True,
)  # fmt: skip
_NUMBER = _together(_SMS_OF_STRANGER, _SESSIONS, newest_first=True)
_TRANSFER = _together(
    _TAKEN_BACK, _VOUCHERS, _STOPS, _CASES, _BANK, _SMS_OF_TRANSFER, own=_OF_TRANSFER
)
_OF_PAYMENT = _together(_PAYMENT_STEPS, _PAYMENT_CASES, _SMS_OF_SUBJECT, newest_first=True)
_PAYMENT = f"SELECT * FROM ({_OF_PAYMENT}) AS newest ORDER BY 1, 2"  # noqa: S608 - the text is ours
_SUBJECT = _together(_BANK, _SMS_OF_SUBJECT)


def _read(session: Session, query: str, facts: dict[str, Any]) -> list[Happening]:
    return [Happening(*row) for row in session.execute(text(query), facts)]
