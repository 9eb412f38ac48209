"""Cases about a wrong number: to give a transfer back or not, and to collect what was topped up.

Refusing needs two people as well: it takes a hope away, and nobody should do that for a friend.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.wallet.transfers import records, stops
from app.wallet.transfers.stops import StopView

Decision = Literal["approve", "refuse"]


def found(session: Session, reference: str) -> StopView:
    """The stop of a reference. Raises DomainError `stop_unknown`."""
    stop = stops.of_reference(session, reference)
    if stop is None:
        raise DomainError("stop_unknown")
    return stop


def about_stop(
    session: Session, market: Market, reference: str, decision: Decision, top_up_minor: int = 0
) -> Proposal:
    """What to do about a stop; a top-up is the operator's own money, for what the payee has spent.

    Raises DomainError `stop_unknown`, `stop_closed` with `state`, `top_up_too_large` with `most`.
    """
    stop = found(session, reference)
    if stop.state != "open":
        raise DomainError("stop_closed", state=stop.state)
    view = records.outcome(session, stop.transfer_id)
    most_minor = view.total_minor if decision == "approve" else 0
    if top_up_minor > most_minor:
        raise DomainError("top_up_too_large", most=market.currency.format(most_minor))
    facts = {
        "stop": stop.reference,
        "transfer": stop.transfer_reference,
        "decision": decision,
        "amount_minor": stop.amount_minor,
        "held_minor": stop.held_minor,
        "top_up_minor": top_up_minor,
    }
    return Proposal(str(stop.id), facts)


def decide(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    stop_id, facts = UUID(case.subject), case.facts
    if facts["decision"] == "refuse":
        stop = stops.refuse(session, stop_id, by=checker.name, now=now)
        return f"stop {stop.reference} is refused; what was set aside is free"
    stop = stops.approve(
        session, market, stop_id, by=checker.name, now=now, top_up_minor=facts["top_up_minor"]
    )
    money = market.currency.format
    topped_up = f", {money(stop.top_up_minor)} on top" if stop.top_up_minor else ""
    return f"stop {stop.reference} is approved; {money(stop.given_back_minor)} is back{topped_up}"


def about_collection(session: Session, reference: str) -> Proposal:
    """Taking a top-up from the payee, who has money again.

    Raises DomainError `stop_unknown`, `stop_nothing_owed`.
    """
    stop = found(session, reference)
    owed_minor = stops.owed_minor(session, stop.id)
    if owed_minor <= 0:
        raise DomainError("stop_nothing_owed")
    facts = {"stop": stop.reference, "transfer": stop.transfer_reference, "owed_minor": owed_minor}
    return Proposal(str(stop.id), facts)


def collect(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    """The case's id is the collection's: one case takes once."""
    stop_id = UUID(case.subject)
    taken_minor = stops.collect_later(
        session, market, stop_id, collection_id=case.id, by=checker.name, now=now
    )
    money = market.currency.format
    owed_minor = stops.owed_minor(session, stop_id)
    return f"{money(taken_minor)} is collected, {money(owed_minor)} is still owed"


DECISIONS = {"stop": decide, "stop_collect": collect}
