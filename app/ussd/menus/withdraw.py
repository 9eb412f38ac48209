"""Withdraw cash: at an agent's counter at once, or by a code that is good for ten minutes."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.ussd.menus.services import Services, caller
from app.ussd.menus.transfer import Flow, states, told_of_transfer
from app.ussd.states import Ask, Hop, Menu, Option, State
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.counter import cash, withdrawals
from app.wallet.transfers.offers import Offer


def parse_agent(hop: Hop[Services], typed: str) -> Agent:
    def find(session: Session) -> Agent:
        agent = agents.of_code(session, typed)
        agents.refuse_inactive(agent)
        if agent.person_id == caller(hop).id:
            raise DomainError("own_code")
        return agent

    return hop.services.db.transact(find)


def keep_agent(hop: Hop[Services], agent: Agent) -> None:
    hop.data["to"], hop.data["name"] = agent.code, hop.name(agent.name)


def accept_for_cash(hop: Hop[Services], agent: Agent) -> str:
    keep_agent(hop, agent)
    return "cash_out.amount"


def accept_for_code(hop: Hop[Services], agent: Agent) -> str:
    keep_agent(hop, agent)
    return "withdrawal_code.amount"


def offer_cash(hop: Hop[Services], session: Session, amount_minor: int, at: datetime) -> Offer:
    customer = people.get(session, caller(hop).id)
    return cash.offer_out(session, hop.market, customer, hop.data["to"], amount_minor, at=at)


def take_cash(
    hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID
) -> uuid.UUID:
    return cash.confirm_out(
        session, hop.market, offer, intent_id=intent_id, by=caller(hop).id, now=hop.now
    ).id


def make_code(
    hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID
) -> uuid.UUID:
    return withdrawals.confirm(
        session,
        hop.market,
        hop.services.codes,
        offer,
        intent_id=intent_id,
        by=caller(hop).id,
        now=hop.now,
    ).id


def told_of_code(hop: Hop[Services]) -> dict[str, object]:
    withdrawal_id = uuid.UUID(hop.data["transfer"])
    made = hop.services.db.transact(lambda session: withdrawals.outcome(session, withdrawal_id))
    return {
        "amount_minor": made.amount_minor,
        "fee_minor": made.fee_minor,
        "name": hop.name(made.agent_name),
        "code_seconds": hop.market.agents.withdrawal_code_seconds,
    }


OF_AGENTS = ("own_code", "agent_unknown")
CASH_OUT = Flow("cash_out", offer_cash, take_cash, told_of_transfer, refusals=OF_AGENTS)
CODE = Flow(
    "withdrawal_code",
    offer_cash,
    make_code,
    told_of_code,
    refusals=(*OF_AGENTS, "withdrawal_open"),
)
CODE_REFUSALS = ("agent_code_wrong", "agent_unknown", "own_code")

STATES: tuple[State[Any], ...] = (
    Menu(
        "withdraw",
        text="menus.withdraw.title",
        options=(
            Option("menus.withdraw.now", goes="cash_out.agent"),
            Option("menus.withdraw.code", goes="withdrawal_code.agent"),
        ),
    ),
    Ask(
        "cash_out.agent",
        text="menus.withdraw.agent",
        parse=parse_agent,
        accept=accept_for_cash,
        goes=("cash_out.amount",),
        refusals=CODE_REFUSALS,
        ends=("agent_suspended",),
        reads=True,
    ),
    Ask(
        "withdrawal_code.agent",
        text="menus.withdraw.agent",
        parse=parse_agent,
        accept=accept_for_code,
        goes=("withdrawal_code.amount",),
        refusals=CODE_REFUSALS,
        ends=("agent_suspended",),
        reads=True,
    ),
    *states(CASH_OUT),
    *states(CODE),
)
