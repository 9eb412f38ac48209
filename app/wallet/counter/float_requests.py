"""Asking the super-agent for float, and what it answers.

open ─┬─▶ granted    the super-agent gave it; closed in the transaction that moved it
      ├─▶ refused    the super-agent will not
      └─▶ expired    nobody answered in `float_request_seconds`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents
from app.wallet.agents import Agent, AgentRow
from app.wallet.counter import floats
from app.wallet.keys import new_key
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer, counter_amount, priced
from app.wallet.transfers.records import TransferView

WAITING_MOST = 50


class FloatRequest(Base):
    """What an agent asked its super-agent for."""

    __tablename__ = "float_requests"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_id: Mapped[UUID]
    super_agent_id: Mapped[UUID]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    transfer_id: Mapped[UUID | None] = mapped_column(unique=True)


@dataclass(frozen=True, slots=True)
class RequestView:
    """What a channel may show of a request; the name and code are of the agent that asked."""

    id: UUID
    state: str
    amount_minor: int
    created_at: datetime
    expires_at: datetime
    agent_name: str
    agent_code: str


def request(
    session: Session, market: Market, agent: Agent, amount_minor: int, *, now: datetime
) -> RequestView:
    """Ask the super-agent for float; it is told by SMS.

    Raises DomainError `agent_suspended`, `no_super_agent` (also while that one is suspended),
    `amount_too_small`, `amount_step`, `amount_too_large`, `float_request_open` with `amount`.
    """
    agents.refuse_inactive(agent)
    above = agents.get(session, agent.parent_id) if agent.parent_id else None
    if above is None or not agents.is_active(above):
        raise DomainError("no_super_agent")
    counter_amount(market, amount_minor)
    priced(market, "float_move", amount_minor, now)
    _make_room(session, market, agent, now)
    request_id = new_key()
    row = {
        "id": request_id,
        "agent_id": agent.id,
        "super_agent_id": above.id,
        "currency": market.currency.code,
        "amount_minor": amount_minor,
        "state": "open",
        "created_at": now,
        "expires_at": now + timedelta(seconds=market.agents.float_request_seconds),
    }
    if not _insert(session, row):
        raise _one_open(market, amount_minor)
    facts = {
        "amount_minor": amount_minor,
        "name": agent.name,
        "agent": agent.code,
        "service_code": market.service_codes[0],
    }
    floats.tell(session, above, "float_asked", request_id, facts, now)
    return outcome(session, request_id)


def outcome(session: Session, request_id: UUID) -> RequestView:
    """A request as it stands now. Raises NoResultFound."""
    return _view(session.execute(_SHOWN.where(FloatRequest.id == request_id)).one())


def open_of(session: Session, agent_id: UUID, now: datetime) -> RequestView | None:
    """What an agent has asked for and still waits for."""
    row = session.execute(_SHOWN.where(FloatRequest.agent_id == agent_id, *_open(now))).first()
    return _view(row) if row else None


def waiting(
    session: Session, super_agent_id: UUID, now: datetime, limit: int = WAITING_MOST
) -> list[RequestView]:
    """What a super-agent has been asked for and has not answered, oldest first."""
    asked = _SHOWN.where(FloatRequest.super_agent_id == super_agent_id, *_open(now))
    rows = session.execute(asked.order_by(FloatRequest.id).limit(limit))
    return [_view(row) for row in rows]


def offer_grant(
    session: Session, market: Market, super_agent: Agent, request_id: UUID, *, at: datetime
) -> Offer:
    """Float for an agent that asked for it.

    Raises DomainError `float_request_gone` (answered, expired or another's), `agent_suspended`.
    """
    asked = session.get(FloatRequest, request_id, populate_existing=True)
    _refuse_gone(asked, super_agent.id, at)
    assert asked
    agent = agents.get(session, asked.agent_id)
    return floats.offer_between(market, super_agent, agent, asked.amount_minor, at)


def confirm_grant(
    session: Session,
    market: Market,
    offered: Offer,
    *,
    request_id: UUID,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> TransferView:
    """Move the float, close the request, tell both. The same intent again answers the transfer that
    it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`, and `float_request_gone`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    payee = floats.payee_of(session, offered)
    asked = _locked(session, request_id)
    assert offered.agent_id
    _refuse_gone(asked, offered.agent_id, now)
    assert asked
    if (asked.agent_id, asked.amount_minor) != (payee.id, offered.amount_minor):
        raise DomainError("float_request_gone")
    view = floats.move(session, market, offered, payee, intent, now)
    _close(session, asked, "granted", now, transfer_id=view.id)
    return view


def refuse_request(session: Session, super_agent: Agent, request_id: UUID, now: datetime) -> None:
    """The super-agent will not; the agent is told. Again changes nothing.

    Raises DomainError `float_request_gone`.
    """
    asked = _locked(session, request_id)
    if asked and asked.super_agent_id == super_agent.id and asked.state == "refused":
        return
    _refuse_gone(asked, super_agent.id, now)
    assert asked
    _close(session, asked, "refused", now)
    facts = {"amount_minor": asked.amount_minor, "name": super_agent.name}
    floats.tell(session, agents.get(session, asked.agent_id), "float_refused", asked.id, facts, now)


def overdue(session: Session, now: datetime, limit: int) -> Sequence[UUID]:
    """Requests that nobody answered in time, oldest first."""
    due = (FloatRequest.state == "open", FloatRequest.expires_at <= now)
    ids = select(FloatRequest.id).where(*due).order_by(FloatRequest.expires_at).limit(limit)
    return session.scalars(ids).all()


def expire(session: Session, request_id: UUID, now: datetime) -> bool:
    """End an overdue request and tell the agent; False when it is no longer open."""
    asked = _locked(session, request_id)
    if asked is None or asked.state != "open" or asked.expires_at > now:
        return False
    _close(session, asked, "expired", now)
    facts = {"amount_minor": asked.amount_minor}
    floats.tell(
        session, agents.get(session, asked.agent_id), "float_unanswered", asked.id, facts, now
    )
    return True


def _make_room(session: Session, market: Market, agent: Agent, now: datetime) -> None:
    """One open request an agent: an overdue one ends here, another stands in the way."""
    mine = (FloatRequest.agent_id == agent.id, FloatRequest.state == "open")
    known = session.scalar(select(FloatRequest.id).where(*mine))
    if known and not expire(session, known, now):
        asked = _locked(session, known)
        if asked and asked.state == "open":
            raise _one_open(market, asked.amount_minor)


def _one_open(market: Market, amount_minor: int) -> DomainError:
    return DomainError("float_request_open", amount=market.currency.format(amount_minor))


def _insert(session: Session, row: dict[str, Any]) -> bool:
    """False when the agent asked for another one at this very moment."""
    statement = (
        insert(FloatRequest)
        .values(row)
        .on_conflict_do_nothing(index_elements=["agent_id"], index_where=text("state = 'open'"))
    )
    return session.scalar(statement.returning(FloatRequest.id)) is not None


def _refuse_gone(asked: FloatRequest | None, super_agent_id: UUID, now: datetime) -> None:
    if (
        asked is None
        or asked.super_agent_id != super_agent_id
        or asked.state != "open"
        or asked.expires_at <= now
    ):
        raise DomainError("float_request_gone")


def _close(
    session: Session,
    asked: FloatRequest,
    state: str,
    now: datetime,
    transfer_id: UUID | None = None,
) -> None:
    values = {"state": state, "closed_at": now, "transfer_id": transfer_id}
    session.execute(update(FloatRequest).where(FloatRequest.id == asked.id).values(values))


def _locked(session: Session, request_id: UUID) -> FloatRequest | None:
    statement = select(FloatRequest).where(FloatRequest.id == request_id).with_for_update()
    found = session.execute(statement, execution_options={"populate_existing": True})
    return found.scalar_one_or_none()


def _open(now: datetime) -> tuple[Any, ...]:
    return FloatRequest.state == "open", FloatRequest.expires_at > now


_SHOWN: Select[*tuple[Any, ...]] = select(
    FloatRequest.id, FloatRequest.state, FloatRequest.amount_minor, FloatRequest.created_at,
    FloatRequest.expires_at, AgentRow.name.label("agent_name"), AgentRow.code.label("agent_code"),
).join(AgentRow, AgentRow.id == FloatRequest.agent_id)  # fmt: skip


def _view(row: Any) -> RequestView:
    return RequestView(**row._asdict())
