"""Floats: moving electronic money between two agents of a market."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, ledger
from app.wallet.agents import Agent
from app.wallet.counter import low_float
from app.wallet.intents import Intent
from app.wallet.keys import derived_key
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer, counter_amount, priced
from app.wallet.transfers.records import TransferView


def offer_move(
    session: Session, market: Market, agent: Agent, code: str, amount_minor: int, *, at: datetime
) -> Offer:
    """Float of an agent for another agent.

    Raises DomainError `agent_code_wrong`, `agent_unknown`, `own_code`, `agent_suspended`,
    `amount_too_small`, `amount_step`, `amount_too_large`, `not_offered_yet`.
    """
    payee = agents.of_code(session, code)
    if payee.id == agent.id:
        raise DomainError("own_code")
    return offer_between(market, agent, payee, counter_amount(market, amount_minor), at)


def confirm_move(
    session: Session, market: Market, offered: Offer, *, intent_id: UUID, by: UUID, now: datetime
) -> TransferView:
    """Move the float, and tell both. The same intent again answers the transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    return move(session, market, offered, payee_of(session, offered), intent, now)


def offer_between(
    market: Market, payer: Agent, payee: Agent, amount_minor: int, at: datetime
) -> Offer:
    """Float of one agent for another. `agent_id` is the giving one's, who acts; nobody earns.

    Raises DomainError `agent_suspended`, `amount_too_large`, `not_offered_yet`.
    """
    agents.refuse_inactive(payer)
    agents.refuse_inactive(payee)
    fee, fee_payer = priced(market, "float_move", amount_minor, at)
    return Offer(
        kind="float_move",
        payer_account=payer.float_id,
        payee_account=payee.float_id,
        payer_id=None,
        payee_id=None,
        agent_id=payer.id,
        msisdn=payee.msisdn,
        name=payee.name,
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee=fee,
        fee_payer=fee_payer,
    )


def payee_of(session: Session, offered: Offer) -> Agent:
    """The agent that gets it, active and locked."""
    payee_id = agents.of_float(session, offered.payee_account).id
    payee = agents.locked_for_payment(session, payee_id)
    agents.refuse_inactive(payee)
    return payee


def move(
    session: Session, market: Market, offered: Offer, payee: Agent, intent: Intent, now: datetime
) -> TransferView:
    """Carry such an offer out, and tell both."""
    view = posting.carry_out(
        session, market, offered, intent=intent, key=posting.intent_key(intent.id), now=now
    )
    assert view.agent_id
    payer = agents.get(session, view.agent_id)
    in_floats = ledger.balances(session, [payer.float_id, payee.float_id])
    for agent, other, kind in ((payer, payee, "float_sent"), (payee, payer, "float_got")):
        facts = {
            "amount_minor": view.amount_minor,
            "received_minor": view.received_minor,
            "fee_minor": view.fee_minor,
            "name": other.name,
            "float_minor": in_floats[agent.float_id].available_minor,
            "reference": view.reference,
        }
        tell(session, agent, kind, view.id, facts, now)
    low_float.fell(session, market, payer, view.id, now)
    low_float.rose(session, market, payee)
    return view


def tell(
    session: Session,
    agent: Agent,
    kind: str,
    subject: UUID,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    """One SMS to an agent about its float."""
    notify(
        session,
        kind,
        Recipient(agent.msisdn, agent.language, agent.person_id),
        message_id=derived_key(subject, "message", kind),
        subject=subject,
        facts={**facts, "at": now.isoformat()},
        now=now,
    )
