"""What the approval of a case does, by its kind.

To add a kind: name its roles in `cases.ROLES`, write a function of this file's shape, and put it
into `DECISIONS`. It runs in the transaction of the approval, after the decision is written; what it
raises leaves the case open. It looks again at everything that a proposal looked at: days may lie
between them. What it returns is a sentence for whoever approved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff import bank_cases
from app.staff.accounts import Staff
from app.staff.cases import Case
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.people import Person

Decision = Callable[[Session, Market, Case, Staff, datetime], str]
# In which states each of these cases makes sense.
FITS = {
    "person_suspend": people.AWAKE,
    "person_resume": ("suspended",),
    "agent_suspend": ("active",),
    "agent_resume": ("suspended",),
}


class Proposal(NamedTuple):
    """What a case is about, and what its approval will act on."""

    subject: str
    facts: dict[str, Any]


def carry_out(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    """Do what an approved case asks for. Raises DomainError `case_kind_unknown` and its own."""
    decision = DECISIONS.get(case.kind)
    if decision is None:
        raise DomainError("case_kind_unknown", kind=case.kind)
    return decision(session, market, case, checker, now)


# --- people ---


def about_person(session: Session, kind: str, msisdn: str) -> Proposal:
    """Suspending or resuming a person. Raises DomainError `person_unknown`, `person_state`."""
    person = _registered(session, msisdn)
    _refuse_misfit("person_state", kind, person.state)
    return Proposal(str(person.id), {"msisdn": person.msisdn, "name": person.name})


def _person_suspend(
    session: Session, _market: Market, case: Case, _checker: Staff, now: datetime
) -> str:
    people.suspend(session, UUID(case.subject), now)
    return f"{_named(case)} is suspended"


def _person_resume(
    session: Session, _market: Market, case: Case, _checker: Staff, now: datetime
) -> str:
    people.resume(session, UUID(case.subject), now)
    return f"{_named(case)} is active"


def _named(case: Case) -> str:
    return f"{case.facts['msisdn']} {case.facts['name']}"


# --- agents ---


def about_agent(session: Session, kind: str, code: str) -> Proposal:
    """Suspending or resuming an agent.

    Raises DomainError `agent_code_wrong`, `agent_unknown`, `agent_state`.
    """
    agent = agents.of_code(session, code)
    _refuse_misfit("agent_state", kind, agent.state)
    return Proposal(str(agent.id), {"code": agent.code, "name": agent.name})


def about_appointment(
    session: Session, msisdn: str, name: str, *, is_super: bool, parent: str | None
) -> Proposal:
    """Making a registered person an agent; `parent` is the code of its super-agent.

    Raises DomainError `person_unknown`, `person_suspended`, `already_agent`, `agent_name_invalid`,
    `not_super_agent`, `agent_suspended`, and as `agents.of_code`.
    """
    person = _registered(session, msisdn)
    people.refuse_inactive(person)
    if agents.of_person(session, person.id):
        raise DomainError("already_agent")
    name = " ".join(name.split())
    if not agents.NAME_LEAST <= len(name) <= agents.NAME_MOST:
        raise DomainError("agent_name_invalid", least=agents.NAME_LEAST, most=agents.NAME_MOST)
    above = agents.of_code(session, parent) if parent else None
    if above and (is_super or not above.is_super):
        raise DomainError("not_super_agent")
    if above:
        agents.refuse_inactive(above)
    facts = {
        "msisdn": person.msisdn,
        "name": name,
        "super": is_super,
        "parent": above.code if above else None,
    }
    return Proposal(str(person.id), facts)


def _agent_suspend(
    session: Session, _market: Market, case: Case, _checker: Staff, _now: datetime
) -> str:
    return _agent_state(session, case, "suspended")


def _agent_resume(
    session: Session, _market: Market, case: Case, _checker: Staff, _now: datetime
) -> str:
    return _agent_state(session, case, "active")


def _agent_state(session: Session, case: Case, state: str) -> str:
    agent = _locked_agent(session, UUID(case.subject))
    _refuse_misfit("agent_state", case.kind, agent.state)
    agents.set_state(session, agent.id, state)
    return f"agent {agent.code} {agent.name} is {state}"


def _agent_appoint(
    session: Session, market: Market, case: Case, _checker: Staff, now: datetime
) -> str:
    parent = case.facts["parent"]
    agent = agents.appoint(
        session,
        people.get(session, UUID(case.subject)),
        name=case.facts["name"],
        currency=market.currency.code,
        is_super=case.facts["super"],
        parent=agents.of_code(session, parent) if parent else None,
        now=now,
    )
    rank = "super-agent" if agent.is_super else "agent"
    return f"{agent.msisdn} is {rank} {agent.code} {agent.name}"


def _registered(session: Session, msisdn: str) -> Person:
    person = people.find(session, msisdn)
    if person is None:
        raise DomainError("person_unknown", msisdn=msisdn)
    return person


def _locked_agent(session: Session, agent_id: UUID) -> Agent:
    """The agent, once nothing that it does is under way; `agents.set_state` locks the same."""
    person_id = select(agents.AgentRow.person_id).where(agents.AgentRow.id == agent_id)
    person = select(Person.id).where(Person.id == person_id.scalar_subquery())
    session.execute(person.with_for_update(key_share=True))
    return agents.get(session, agent_id)


def _refuse_misfit(code: str, kind: str, state: str) -> None:
    if state not in FITS[kind]:
        raise DomainError(code, state=state)


DECISIONS: dict[str, Decision] = {
    "person_suspend": _person_suspend,
    "person_resume": _person_resume,
    "agent_appoint": _agent_appoint,
    "agent_suspend": _agent_suspend,
    "agent_resume": _agent_resume,
    **bank_cases.DECISIONS,
}
