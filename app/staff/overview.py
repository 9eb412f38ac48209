"""Where is my money, at a glance: what a person has, what is set aside, what is on its way.

The timeline says how it came to be so. Others are masked here as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.staff.timeline import name_of, number_of
from app.wallet import agents, ledger
from app.wallet.agents import Agent
from app.wallet.ledger import Balance
from app.wallet.people import Person
from app.wallet.pins import locked_minutes

OPEN_MOST = 50  # of a sort; nobody has more, and a screen shows no more


class Open(NamedTuple):
    """One thing that is not decided yet; `until` is when the clock decides it."""

    what: str
    reference: str
    amount_minor: int | None
    until: datetime | None
    about: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A person now. `in_float` is of the agent that they are."""

    person: Person
    wallet: Balance
    pin_locked_minutes: int
    agent: Agent | None
    in_float: Balance | None
    open: list[Open]


_HELD = """
    SELECT CASE WHEN p.id IS NOT NULL THEN 'payment' WHEN w.id IS NOT NULL THEN 'withdrawal'
                WHEN s.id IS NOT NULL THEN 'stop' ELSE 'hold' END,
           h.reference, h.amount_minor, h.expires_at,
           concat_ws(' ', 'set aside', p.state, p.product, p.customer_no,
                     'at ' || g.name || ' ' || g.code, 'from ' || t.reference)
    FROM holds h
    LEFT JOIN payments p ON p.hold_id = h.id
    LEFT JOIN withdrawals w ON w.hold_id = h.id
    LEFT JOIN agents g ON g.id = w.agent_id
    LEFT JOIN stops s ON s.hold_id = h.id
    LEFT JOIN transfers t ON t.id = s.transfer_id
    WHERE h.state = 'held' AND h.account_id IN (:wallet_id, :float_id)
    ORDER BY h.held_at LIMIT :most
"""
_TAKEN_BACK = """
    SELECT 'payment', p.reference, p.amount_minor + p.fee_minor, NULL::timestamptz,
           concat_ws(' ', 'taken back by its biller,', p.product, p.customer_no)
    FROM payments p
    WHERE p.person_id = :person_id AND p.state = 'returned' AND p.refunded_at IS NULL
      AND NOT EXISTS (
        SELECT FROM reconciliation_exceptions e
        WHERE e.payment_id = p.id AND e.why = 'returned' AND e.outcome = 'written_off')
    ORDER BY p.id LIMIT :most
"""
_SENT = f"""
    SELECT 'voucher', t.reference, t.amount_minor, v.expires_at,
           'sent to ' || {number_of("v.msisdn")} || ', not collected'
    FROM transfers t JOIN vouchers v ON v.transfer_id = t.id
    WHERE t.payer_id = :person_id AND t.kind = 'voucher' AND v.state = 'open'
    ORDER BY t.id LIMIT :most
"""  # noqa: S608 - the text is ours
_WAITING = f"""
    SELECT 'voucher', t.reference,
           t.amount_minor - CASE WHEN t.fee_payer = 'receiver' THEN t.fee_minor ELSE 0 END,
           v.expires_at,
           'waits for this number, from ' || {name_of("x")} || ' ' || {number_of("x.msisdn")}
    FROM vouchers v
    JOIN transfers t ON t.id = v.transfer_id
    JOIN people x ON x.id = v.sender_id
    WHERE v.msisdn = :msisdn AND v.state = 'open' ORDER BY v.id LIMIT :most
"""  # noqa: S608 - the text is ours
# One that holds money of this person is told with the holds.
_STOPS = """
    SELECT 'stop', s.reference, t.amount_minor, s.expires_at, concat_ws(' ', t.kind, t.reference,
           CASE WHEN s.asked_by = :person_id THEN 'asked back by this person'
                ELSE 'asked back by the other, nothing is set aside' END)
    FROM stops s JOIN transfers t ON t.id = s.transfer_id
    WHERE s.state = 'open'
      AND (s.asked_by = :person_id OR t.payee_id = :person_id AND s.hold_id IS NULL)
    ORDER BY s.id LIMIT :most
"""
_ON_THE_WAY = """
    (SELECT 'deposit', d.reference, d.amount_minor, NULL::timestamptz,
            'on its way to the bank'
     FROM deposit_notices d
     WHERE d.state = 'on_way' AND d.account_id IN (:wallet_id, :float_id)
     ORDER BY d.created_at LIMIT :most)
    UNION ALL
    (SELECT 'payout', t.reference, t.amount_minor, NULL, 'on its way from the bank'
     FROM transfers t
     WHERE t.kind IN ('closing', 'float_payout') AND t.reversed_at IS NULL
       AND t.payer_account IN (:wallet_id, :float_id) AND NOT EXISTS (
         SELECT FROM bank_matches b WHERE b.transfer_id = t.id AND b.kind = 'payout'
         AND b.confirmed_at IS NOT NULL)
     ORDER BY t.id LIMIT :most)
"""
_FLOAT_REQUESTS = """
    SELECT 'float request', '', r.amount_minor, r.expires_at, CASE WHEN r.agent_id = :agent_id
           THEN 'asked of the super-agent' ELSE 'asked by ' || g.name || ' ' || g.code END
    FROM float_requests r JOIN agents g ON g.id = r.agent_id
    WHERE r.state = 'open' AND :agent_id IN (r.agent_id, r.super_agent_id)
    ORDER BY r.id LIMIT :most
"""
_RESETS = """
    SELECT 'PIN reset', '', NULL::bigint, r.expires_at, 'a code was sent to this phone'
    FROM pin_resets r WHERE r.person_id = :person_id AND r.state = 'open'
"""
_CASES = """
    SELECT 'case', c.reference, NULL::bigint, NULL::timestamptz,
           concat_ws(' ', c.kind, 'proposed by', c.maker)
    FROM cases c
    WHERE c.state = 'proposed' AND c.subject IN (
        SELECT CAST(:person_id AS text) UNION ALL SELECT CAST(:agent_id AS text)
        UNION ALL SELECT s.id::text FROM stops s JOIN transfers t ON t.id = s.transfer_id
        WHERE s.state = 'open' AND (s.asked_by = :person_id OR t.payee_id = :person_id))
    ORDER BY c.proposed_at LIMIT :most
"""
_PARTS = (
    _HELD,
    _TAKEN_BACK,
    _SENT,
    _WAITING,
    _STOPS,
    _ON_THE_WAY,
    _FLOAT_REQUESTS,
    _RESETS,
    _CASES,
)


def of_person(session: Session, person: Person) -> Overview:
    """A person as they stand now."""
    agent = agents.of_person(session, person.id)
    facts = {
        "person_id": person.id,
        "msisdn": person.msisdn,
        "wallet_id": person.wallet_id,
        "agent_id": agent.id if agent else None,
        "float_id": agent.float_id if agent else None,
        "most": OPEN_MOST,
    }
    return Overview(
        person=person,
        wallet=ledger.balance(session, person.wallet_id),
        pin_locked_minutes=locked_minutes(session, person.id),
        agent=agent,
        in_float=ledger.balance(session, agent.float_id) if agent else None,
        open=[Open(*row) for part in _PARTS for row in session.execute(text(part), facts)],
    )


def waiting_for(session: Session, msisdn: str) -> list[Open]:
    """The vouchers that a number can collect which is nobody's."""
    facts = {"msisdn": msisdn, "most": OPEN_MOST}
    return [Open(*row) for row in session.execute(text(_WAITING), facts)]
