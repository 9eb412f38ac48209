"""Agents: who turns cash into wallet money and back. A super-agent stands above its agents.

An agent is a registered person with a float account and a code that is painted on the kiosk. Its
PIN is the person's own. The last digit of a code checks the others (ISO/IEC 7812-1, annex B), so a
mistyped one is refused before anybody's name is shown.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Select, bindparam, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.luhn import check_digit, passes_luhn
from app.wallet import ledger, people
from app.wallet.keys import new_key
from app.wallet.people import Person

CODE_DIGITS = 6
CODE_TRIES = 20
NAME_LEAST, NAME_MOST = 2, 40  # what is painted on the kiosk


class AgentRow(Base):
    """An agent or super-agent. `float_id` is the ledger account of its electronic money."""

    __tablename__ = "agents"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(unique=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    parent_id: Mapped[UUID | None]
    is_super: Mapped[bool]
    float_id: Mapped[int]
    state: Mapped[str]
    low_float_told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with its person: where its SMS go, in which language, and whether it may act."""

    id: UUID
    code: str
    name: str
    parent_id: UUID | None
    is_super: bool
    float_id: int
    state: str
    person_id: UUID
    person_state: str
    msisdn: str
    language: str


def of_person(session: Session, person_id: UUID) -> Agent | None:
    """The agent that a person is, or None."""
    return _one(session, _OF_PERSON, person_id=person_id)


def get(session: Session, agent_id: UUID) -> Agent:
    """The agent of an id that we gave out."""
    found = _one(session, _JOINED.where(AgentRow.id == agent_id))
    assert found, f"no agent {agent_id}"
    return found


def of_float(session: Session, float_id: int) -> Agent:
    """The agent whose float an account is."""
    found = _one(session, _JOINED.where(AgentRow.float_id == float_id))
    assert found, f"no agent has the float {float_id}"
    return found


def locked_for_payment(session: Session, agent_id: UUID) -> Agent:
    """The agent, whose state cannot change before this transaction ends.

    It is the person's row that is locked, shared, as `set_state` locks it too: the agent's own row
    stays free for what the counter notes in it while the accounts are locked already. The agent is
    read once the lock is there, by a statement of its own, because one that waited for it would
    still show the agent as it was before.
    """
    person_id = select(AgentRow.person_id).where(AgentRow.id == agent_id).scalar_subquery()
    session.execute(select(Person.id).where(Person.id == person_id).with_for_update(read=True))
    anew = _JOINED.where(AgentRow.id == agent_id)
    found = session.execute(anew, execution_options={"populate_existing": True}).one()
    return _agent(*found)


def of_code(session: Session, code: str) -> Agent:
    """The agent of a code. Raises DomainError `agent_code_wrong` or `agent_unknown`."""
    found = _one(session, _JOINED.where(AgentRow.code == written(code)))
    if found is None:
        raise DomainError("agent_unknown")
    return found


def below(session: Session, super_agent_id: UUID, limit: int = 50) -> list[Agent]:
    """The agents of a super-agent, by name."""
    statement = _JOINED.where(AgentRow.parent_id == super_agent_id).order_by(AgentRow.name)
    return [_agent(row, person) for row, person in session.execute(statement.limit(limit))]


def written(typed: str) -> str:
    """An agent's code without spaces and dashes. Raises DomainError `agent_code_wrong`."""
    code = typed.replace(" ", "").replace("-", "")
    if not (code.isascii() and code.isdecimal() and len(code) == CODE_DIGITS and passes_luhn(code)):
        raise DomainError("agent_code_wrong")
    return code


def is_active(agent: Agent) -> bool:
    """Whether the agent may act: so must its person."""
    return agent.state == agent.person_state == "active"


def refuse_inactive(agent: Agent) -> None:
    """Raises DomainError `agent_suspended`."""
    if not is_active(agent):
        raise DomainError("agent_suspended")


def appoint(
    session: Session,
    person: Person,
    *,
    name: str,
    currency: str,
    is_super: bool = False,
    parent: Agent | None = None,
    now: datetime,
) -> Agent:
    """Make a person an agent with an empty float.

    Raises DomainError `person_suspended`, `already_agent`, `agent_name_invalid`, `not_super_agent`
    (the parent is none, or the new one would be one below another), `agent_suspended` (the parent).
    """
    person = _person_alone(session, person.id)
    people.refuse_inactive(person)
    if of_person(session, person.id):
        raise DomainError("already_agent")
    if not NAME_LEAST <= len(name) <= NAME_MOST:
        raise DomainError("agent_name_invalid", least=NAME_LEAST, most=NAME_MOST)
    if parent is not None:
        if not parent.is_super or is_super:
            raise DomainError("not_super_agent")
        refuse_inactive(parent)
    agent_id = new_key()
    float_id = ledger.open_account(
        session, kind="float", currency=currency, owner_kind="agent", owner_id=agent_id
    )
    row = AgentRow(
        id=agent_id,
        person_id=person.id,
        code=_free_code(session),
        name=name,
        parent_id=parent.id if parent else None,
        is_super=is_super,
        float_id=float_id,
        state="active",
        created_at=now,
    )
    session.add(row)
    person.role = "agent"
    session.flush()
    return _agent(row, person)


def set_state(session: Session, agent_id: UUID, state: str) -> None:
    """`active`, `suspended` or `closed`; waits for what the agent is doing at this moment."""
    _person_alone(session, get(session, agent_id).person_id)
    session.execute(update(AgentRow).where(AgentRow.id == agent_id).values(state=state))


def _person_alone(session: Session, person_id: UUID) -> Person:
    """The person, locked against whoever pays or appoints at this moment."""
    locked = select(Person).where(Person.id == person_id).with_for_update(key_share=True)
    return session.execute(locked, execution_options={"populate_existing": True}).scalar_one()


def _free_code(session: Session) -> str:
    for _ in range(CODE_TRIES):
        body = f"{10 ** (CODE_DIGITS - 2) + secrets.randbelow(9 * 10 ** (CODE_DIGITS - 2))}"
        code = body + check_digit(body)
        if session.scalar(select(AgentRow.id).where(AgentRow.code == code)) is None:
            return code
    raise DomainError("agent_codes_used_up")


_JOINED = select(AgentRow, Person).join(Person, Person.id == AgentRow.person_id)
_OF_PERSON = _JOINED.where(AgentRow.person_id == bindparam("person_id"))  # every dial asks for it


def _one(session: Session, statement: Select[AgentRow, Person], **asked: object) -> Agent | None:
    found = session.execute(statement, asked).first()
    return _agent(*found) if found else None


def _agent(row: AgentRow, person: Person) -> Agent:
    return Agent(
        id=row.id,
        code=row.code,
        name=row.name,
        parent_id=row.parent_id,
        is_super=row.is_super,
        float_id=row.float_id,
        state=row.state,
        person_id=person.id,
        person_state=person.state,
        msisdn=person.msisdn,
        language=person.language,
    )
