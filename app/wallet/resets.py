"""A forgotten PIN: staff or an agent ask, the person's own phone answers.

    open ─┬─▶ done       the code was used, in the transaction that set the PIN
          └─▶ expired    its time is over, or a newer one took its place
    refused              the document was another; no code went out

1. It takes two. Who asks never sees the code, which goes by SMS to the person's own number; the
   phone alone can ask for nothing. Nobody asks for themselves.
2. An agent needs the number of the document that was seen at registration; staff ask what only the
   person knows (`questions`) and write down what they asked.
3. A wrong document is an answer and not an exception, so that it is counted in the same commit; the
   caller raises it after that (`refuse_wrong_document`). Both are bounded by person and hour.
4. Locks, as everywhere: the PIN, the person, the request, its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, bindparam, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, people, registration
from app.wallet.agents import Agent
from app.wallet.codes import CodeRow, Codes
from app.wallet.keys import derived_key, new_key
from app.wallet.people import Person
from app.wallet.pins import Pins
from app.wallet.transfers import records

CODE_DIGITS = 6
CODE_TRIES = 3
WRONG_DOCUMENTS_PER_HOUR = 3
EXPIRE_AT_ONCE = 500
HOUR = timedelta(hours=1)


class ResetRow(Base):
    """One request for a new PIN. `evidence` is what staff asked and heard."""

    __tablename__ = "pin_resets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID]
    started_by_kind: Mapped[str]
    started_by: Mapped[str]
    evidence: Mapped[str | None]
    state: Mapped[str]
    code_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Reset:
    """A request as it was answered. Without a code it was refused."""

    id: UUID
    person_id: UUID
    state: Literal["open", "refused"]


@dataclass(frozen=True, slots=True)
class OpenReset:
    """A request whose code can still be used."""

    id: UUID
    person_id: UUID
    code_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Questions:
    """What only the person should know; None where there is nothing to ask about."""

    last_amount: str | None
    last_day: date | None
    registered_month: str
    document: str | None


def start(
    session: Session,
    codes: Codes,
    market: Market,
    person: Person,
    *,
    by_agent: Agent | None = None,
    by_staff: str | None = None,
    id_number: str = "",
    evidence: str = "",
    now: datetime,
) -> Reset:
    """Send a code to the person's phone, or note that the document was another.

    Commit, then call `refuse_wrong_document`. A request that was open is replaced, its code with
    it. Raises DomainError `own_number`, `agent_suspended`, `evidence_missing`, `person_unknown`,
    `person_suspended`, `too_many_codes`.
    """
    if by_agent:
        _refuse_agent(by_agent, person)
    elif not by_staff or not evidence.strip():
        raise DomainError("evidence_missing")
    _lock(session, person.id)
    _refuse_too_many(session, market, person.id, now, by_agent=by_agent is not None)
    row = ResetRow(
        id=new_key(),
        person_id=person.id,
        started_by_kind="agent" if by_agent else "staff",
        started_by=f"{by_agent.id}" if by_agent else by_staff,
        evidence=evidence.strip() or None,
        created_at=now,
        expires_at=now + timedelta(seconds=market.people.otp_seconds),
    )
    if by_agent and not _knows_document(session, codes, person.id, id_number):
        row.state, row.closed_at = "refused", now
        session.add(row)
        session.flush()
        return Reset(row.id, person.id, "refused")
    _close_open(session, codes, person.id, now)
    row.state = "open"
    row.code_id = _send_code(session, codes, market, person, row, now)
    session.add(row)
    session.flush()
    return Reset(row.id, person.id, "open")


def refuse_wrong_document(request: Reset) -> None:
    """After the commit that counted it. Raises DomainError `id_wrong`."""
    if request.state == "refused":
        raise DomainError("id_wrong")


_LIVE = (
    select(ResetRow.id, ResetRow.person_id, CodeRow.id.label("code_id"), ResetRow.expires_at)
    .join(CodeRow, CodeRow.id == ResetRow.code_id)
    .where(
        ResetRow.person_id == bindparam("person_id"),
        ResetRow.state == "open",
        ResetRow.expires_at > bindparam("now"),
        CodeRow.state == "open",
        CodeRow.expires_at > bindparam("now"),
    )
)
_USABLE = _LIVE.where(CodeRow.tries_left > 0)  # every dial asks for it


def open_request(
    session: Session, person_id: UUID, now: datetime, request_id: UUID | None = None
) -> OpenReset | None:
    """The person's request whose code can be used, or None; with `request_id` only that one.

    Whoever has checked a code goes on with the request of that code, and never with a newer one.
    """
    asked = {"person_id": person_id, "now": now}
    if request_id is None:
        found = session.execute(_USABLE, asked).first()
    else:
        found = session.execute(_LIVE.where(ResetRow.id == request_id), asked).first()
    return OpenReset(found.id, found.person_id, found.code_id, found.expires_at) if found else None


def complete(
    session: Session,
    codes: Codes,
    pins: Pins,
    market: Market,
    request: OpenReset,
    sealed: bytes,
    *,
    now: datetime,
) -> None:
    """The new PIN, sealed for the person, once; the lock of the old one goes with it.

    Raises DomainError `code_used`, also when two race, and `code_expired`.
    """
    pins.put(session, request.person_id, sealed, now)
    person = _lock(session, request.person_id)
    open_still = (ResetRow.id == request.id, ResetRow.state == "open")
    closed = update(ResetRow).where(*open_still).values(state="done", closed_at=now)
    if session.execute(closed.returning(ResetRow.id)).first() is None:
        raise DomainError("code_used")
    codes.use(session, request.code_id, now)
    people.wake(session, request.person_id, now)
    notify(
        session,
        "pin_changed",
        _recipient(person),
        message_id=derived_key(request.id, "message", "pin_changed"),
        subject=request.id,
        facts={"at": now.isoformat(), "care": market.care_number},
        now=now,
    )


def questions(session: Session, market: Market, person: Person) -> Questions:
    """What staff may ask before they start a reset, with the answers."""
    last = next(iter(records.recent(session, person.id, 1)), None)
    document = registration.document_of(session, person.id)
    return Questions(
        last_amount=market.currency.format(last.amount_minor) if last else None,
        last_day=last.created_at.astimezone(market.zone).date() if last else None,
        registered_month=f"{person.created_at.astimezone(market.zone):%Y-%m}",
        document=f"{document.kind} ...{document.hint}" if document else None,
    )


def expire(session: Session, now: datetime) -> int:
    """House-keeping: close requests whose time is over; how many."""
    overdue = select(ResetRow.id).where(ResetRow.state == "open", ResetRow.expires_at <= now)
    ids = session.scalars(overdue.limit(EXPIRE_AT_ONCE).with_for_update(skip_locked=True)).all()
    if ids:
        values = {"state": "expired", "closed_at": now}
        session.execute(update(ResetRow).where(ResetRow.id.in_(ids)).values(values))
    return len(ids)


def _refuse_agent(agent: Agent, person: Person) -> None:
    agents.refuse_inactive(agent)
    if agent.person_id == person.id:
        raise DomainError("own_number")


def _lock(session: Session, person_id: UUID) -> Person:
    """The person, whose requests and state nobody else changes before this transaction ends."""
    statement = select(Person).where(Person.id == person_id).with_for_update(key_share=True)
    found = session.execute(statement, execution_options={"populate_existing": True})
    person = found.scalar_one()
    if person.state == "invited":
        raise DomainError("person_unknown")
    if person.state not in people.AWAKE:
        raise DomainError("person_suspended")
    return person


def _refuse_too_many(
    session: Session, market: Market, person_id: UUID, now: datetime, *, by_agent: bool
) -> None:
    """Wrong documents stop agents only: else any agent could keep a person from a new PIN."""
    wrong = _count(session, person_id, now, ResetRow.state == "refused")
    sent = _count(session, person_id, now, ResetRow.state != "refused")
    if (by_agent and wrong >= WRONG_DOCUMENTS_PER_HOUR) or sent >= market.people.otps_per_hour:
        raise DomainError("too_many_codes")


def _count(session: Session, person_id: UUID, now: datetime, which: ColumnElement[bool]) -> int:
    of_person = (ResetRow.person_id == person_id, ResetRow.created_at > now - HOUR)
    counted = select(func.count()).select_from(ResetRow).where(*of_person, which)
    return session.scalar(counted) or 0


def _knows_document(session: Session, codes: Codes, person_id: UUID, id_number: str) -> bool:
    """Whether it is the document on file. Who has none there is helped by staff."""
    document = registration.document_of(session, person_id)
    return document is not None and registration.is_number_of(codes, document, id_number)


def _close_open(session: Session, codes: Codes, person_id: UUID, now: datetime) -> None:
    open_ones = (ResetRow.person_id == person_id, ResetRow.state == "open")
    closed = update(ResetRow).where(*open_ones).values(state="expired", closed_at=now)
    for code_id in session.scalars(closed.returning(ResetRow.code_id)).all():
        assert code_id is not None
        codes.withdraw(session, code_id, now)


def _send_code(
    session: Session, codes: Codes, market: Market, person: Person, row: ResetRow, now: datetime
) -> UUID:
    """Issue the code of a request and owe its SMS; which code."""
    code_id = derived_key(row.id, "code")
    codes.issue(
        session,
        code_id,
        purpose="otp",
        subject=row.id,
        digits=CODE_DIGITS,
        tries=CODE_TRIES,
        expires_at=row.expires_at,
        now=now,
    )
    notify(
        session,
        "pin_reset_code",
        _recipient(person),
        message_id=derived_key(row.id, "message", "pin_reset_code"),
        subject=row.id,
        facts={
            "code_id": str(code_id),
            "minutes": market.people.otp_seconds // 60,
            "service_code": market.service_codes[0],
        },
        now=now,
    )
    return code_id


def _recipient(person: Person) -> Recipient:
    return Recipient(person.msisdn, person.language, person.id)
