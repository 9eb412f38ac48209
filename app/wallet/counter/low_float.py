"""The SMS that a float runs low: once when it falls below the market's bound, again only after it
was above it.

Whoever moves a float calls one of these in the same transaction. A row is written only where the
float crosses the bound, so the usual movement locks nothing here.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.keys import derived_key

_FELL = text("""
    UPDATE agents SET low_float_told_at = :now
    WHERE id = :agent AND low_float_told_at IS NULL AND :bound > (
        SELECT balance - held FROM accounts WHERE accounts.id = agents.float_id)
    RETURNING id
""")
_ROSE = text("""
    UPDATE agents SET low_float_told_at = NULL
    WHERE id = :agent AND low_float_told_at IS NOT NULL AND :bound <= (
        SELECT balance - held FROM accounts WHERE accounts.id = agents.float_id)
""")


def fell(session: Session, market: Market, agent: Agent, subject: UUID, now: datetime) -> None:
    """`subject` took something out of the float: tell the agent if that made it low."""
    values = {"agent": agent.id, "bound": market.agents.low_float_minor, "now": now}
    if session.scalar(_FELL, values) is None:
        return
    left_minor = ledger.balance(session, agent.float_id).available_minor
    notify(
        session,
        "float_low",
        Recipient(agent.msisdn, agent.language, agent.person_id),
        message_id=derived_key(subject, "message", "float_low"),
        subject=subject,
        facts={"float_minor": left_minor, "at": now.isoformat()},
        now=now,
    )


def rose(session: Session, market: Market, agent: Agent) -> None:
    """Something came into the float: when it is low again, that is news again."""
    session.execute(_ROSE, {"agent": agent.id, "bound": market.agents.low_float_minor})
