"""The float: its balance, asking the super-agent for some, sending to an agent, granting."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.ussd.menus.services import Services, acting_agent, caller, open_with_pin
from app.ussd.menus.transfer import (
    AMOUNT_REFUSALS,
    Flow,
    agreeing,
    states,
    told_of_transfer,
)
from app.ussd.menus.withdraw import CODE_REFUSALS, keep_agent, parse_agent
from app.ussd.states import Ask, End, Hop, Item, Menu, Option, Pick, Secret, State, Step
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.counter import float_requests, floats
from app.wallet.transfers.offers import Offer, counter_amount


def open_float(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "float.shown"


def float_facts(hop: Hop[Services]) -> dict[str, object]:
    def read(session: Session) -> ledger.Balance:
        return ledger.balance(session, acting_agent(hop, session).float_id)

    found = hop.services.db.transact(read)
    return {"available_minor": found.available_minor, "held_minor": found.held_minor}


def parse_request(hop: Hop[Services], typed: str) -> int:
    return counter_amount(hop.market, hop.market.currency.parse(typed))


def ask_for_float(hop: Hop[Services], amount_minor: int) -> str:
    hop.data["amount"] = amount_minor
    hop.services.db.transact(
        lambda session: float_requests.request(
            session, hop.market, acting_agent(hop, session), amount_minor, now=hop.now
        ),
        name="float_request",
    )
    return "float_ask.asked"


def asked_facts(hop: Hop[Services]) -> dict[str, object]:
    return {"amount_minor": hop.data["amount"]}


def accept_agent(hop: Hop[Services], agent: Agent) -> str:
    keep_agent(hop, agent)
    return "float_move.amount"


def offer_move(hop: Hop[Services], session: Session, amount_minor: int, at: datetime) -> Offer:
    agent = acting_agent(hop, session)
    return floats.offer_move(session, hop.market, agent, hop.data["to"], amount_minor, at=at)


def move(hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID) -> uuid.UUID:
    return floats.confirm_move(
        session, hop.market, offer, intent_id=intent_id, by=caller(hop).id, now=hop.now
    ).id


def waiting(hop: Hop[Services]) -> list[Item]:
    requests = hop.services.db.transact(
        lambda session: float_requests.waiting(session, acting_agent(hop, session).id, hop.now)
    )
    return [
        Item(
            str(request.id),
            {"name": hop.name(request.agent_name), "amount_minor": request.amount_minor},
        )
        for request in requests
    ]


def choose_request(hop: Hop[Services], request_id: str) -> str:
    hop.data["request"] = request_id
    return "float_grant"


def request_facts(hop: Hop[Services]) -> dict[str, object]:
    request = hop.services.db.transact(
        lambda session: float_requests.outcome(session, uuid.UUID(hop.data["request"]))
    )
    return {"name": hop.name(request.agent_name), "amount_minor": request.amount_minor}


def offer_grant(hop: Hop[Services], session: Session, _amount_minor: int, at: datetime) -> Offer:
    request_id = uuid.UUID(hop.data["request"])
    agent = acting_agent(hop, session)
    return float_requests.offer_grant(session, hop.market, agent, request_id, at=at)


def grant(hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID) -> uuid.UUID:
    return float_requests.confirm_grant(
        session,
        hop.market,
        offer,
        request_id=uuid.UUID(hop.data["request"]),
        intent_id=intent_id,
        by=caller(hop).id,
        now=hop.now,
    ).id


def refuse(hop: Hop[Services]) -> str:
    request_id = uuid.UUID(hop.data["request"])
    hop.services.db.transact(
        lambda session: float_requests.refuse_request(
            session, acting_agent(hop, session), request_id, hop.now
        ),
        name="float_refuse",
    )
    return "float_grant.refused"


def grants(hop: Hop[Services]) -> bool:
    return bool(hop.data.get("agent") and hop.data["agent"][2])


def asks(hop: Hop[Services]) -> bool:
    return bool(hop.data.get("agent") and hop.data["agent"][3])


MOVE = Flow("float_move", offer_move, move, told_of_transfer, refusals=("own_code",))
GRANT = Flow("float_grant", offer_grant, grant, told_of_transfer, refusals=("float_request_gone",))

STATES: tuple[State[Any], ...] = (
    Menu(
        "float",
        text="menus.float.title",
        options=(
            Option("menus.float.balance", goes="float.pin"),
            Option("menus.float.ask", goes="float_ask.amount", when=asks),
            Option("menus.float.move", goes="float_move.agent"),
            Option("menus.float.requests", goes="float.requests", when=grants),
        ),
    ),
    Secret(
        "float.pin",
        text="menus.float.pin",
        accept=open_float,
        goes=("float.shown",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
    End("float.shown", text="menus.float.shown", facts=float_facts, reads=True, private=True),
    Ask(
        "float_ask.amount",
        text="menus.float_ask.amount",
        parse=parse_request,
        accept=ask_for_float,
        goes=("float_ask.asked",),
        refusals=AMOUNT_REFUSALS,
        ends=("agent_suspended", "no_super_agent", "float_request_open", "not_offered_yet"),
        reads=True,
        commits=True,
    ),
    End("float_ask.asked", text="menus.float_ask.asked", facts=asked_facts),
    Ask(
        "float_move.agent",
        text="menus.float_move.agent",
        parse=parse_agent,
        accept=accept_agent,
        goes=("float_move.amount",),
        refusals=CODE_REFUSALS,
        ends=("agent_suspended",),
        reads=True,
    ),
    *states(MOVE),
    Pick(
        "float.requests",
        text="menus.float.requests_title",
        item="menus.float.request",
        items=waiting,
        accept=choose_request,
        goes=("float_grant",),
        empty="float.none",
    ),
    End("float.none", text="menus.float.none"),
    Menu(
        "float_grant",
        text="menus.float_grant.title",
        facts=request_facts,
        reads=True,
        options=(
            Option("menus.float_grant.yes", goes="float_grant.begin"),
            Option("menus.float_grant.no", goes="float_grant.refuse"),
        ),
    ),
    Step("float_grant.begin", run=GRANT.begin, goes=("float_grant.ready",), reads=False),
    *agreeing(GRANT),
    Step(
        "float_grant.refuse",
        run=refuse,
        goes=("float_grant.refused",),
        ends=("float_request_gone", "agent_suspended"),
        commits=True,
    ),
    End("float_grant.refused", text="menus.float_grant.refused"),
)
