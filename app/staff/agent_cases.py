"""Cases about an agent: what each is about, and what its approval does (`decisions.py`)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff import news
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.staff.person_cases import registered
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.people import Person

FITS = {"agent_suspend": "active", "agent_resume": "suspended"}


def about_state(session: Session, kind: str, code: str) -> Proposal:
    """Suspending or resuming an agent.

    Raises DomainError `agent_code_wrong`, `agent_unknown`, `agent_state`.
    """
    agent = agents.of_code(session, code)
    _refuse_misfit(kind, agent)
    return Proposal(str(agent.id), {"code": agent.code, "name": agent.name})


def about_appointment(
    session: Session, msisdn: str, name: str, *, is_super: bool, parent: str | None
) -> Proposal:
    """Making a registered person an agent; `parent` is the code of its super-agent.

    Raises DomainError `person_unknown`, `person_suspended`, `already_agent`, `agent_name_invalid`,
    `not_super_agent`, `agent_suspended`, and as `agents.of_code`.
    """
    person = registered(session, msisdn)
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


def suspend(session: Session, _market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    return _set_state(session, case, "suspended", now)


def resume(session: Session, _market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    return _set_state(session, case, "active", now)


def appoint(session: Session, market: Market, case: Case, _checker: Staff, now: datetime) -> str:
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
    _tell(session, case, agent, "agent_appointed", now)
    rank = "super-agent" if agent.is_super else "agent"
    return f"{agent.msisdn} is {rank} {agent.code} {agent.name}"


def _set_state(session: Session, case: Case, state: str, now: datetime) -> str:
    agent = _locked(session, UUID(case.subject))
    _refuse_misfit(case.kind, agent)
    agents.set_state(session, agent.id, state)
    kind = "agent_suspended" if state == "suspended" else "agent_resumed"
    _tell(session, case, agent, kind, now)
    return f"agent {agent.code} {agent.name} is {state}"


def _tell(session: Session, case: Case, agent: Agent, kind: str, now: datetime) -> None:
    facts = {"agent": agent.code, "name": agent.name}
    news.tell(session, case, agent.person_id, kind, now, facts)


def _locked(session: Session, agent_id: UUID) -> Agent:
    """The agent, once nothing that it does is under way; `agents.set_state` locks the same."""
    person_id = select(agents.AgentRow.person_id).where(agents.AgentRow.id == agent_id)
    person = select(Person.id).where(Person.id == person_id.scalar_subquery())
    session.execute(person.with_for_update(key_share=True))
    return agents.get(session, agent_id)


def _refuse_misfit(kind: str, agent: Agent) -> None:
    if agent.state != FITS[kind]:
        raise DomainError("agent_state", state=agent.state)


DECISIONS = {"agent_appoint": appoint, "agent_suspend": suspend, "agent_resume": resume}
