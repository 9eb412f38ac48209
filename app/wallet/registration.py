"""Registration by an agent: the agent sees the document, the customer chooses the PIN.

The agent's part makes a person who is only invited: with a tier, without consent and PIN, and with
a wallet that neither pays nor receives. The customer's own phone, at its first dial, does the rest.
So nobody but its owner ever knows a PIN, and an agent who makes somebody up has made nothing.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.codes import Codes
from app.wallet.keys import derived_key, new_key
from app.wallet.people import Person
from app.wallet.pins import Pins

HINT_CHARS = 3


class Document(Base):
    """A person's identity document: the keyed hash of its number, and the number's end."""

    __tablename__ = "identity_documents"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    number_hash: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    seen_by: Mapped[str]
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def invite(
    session: Session,
    market: Market,
    codes: Codes,
    *,
    agent: Agent,
    msisdn: str,
    name: str,
    id_kind: str,
    id_number: str,
    now: datetime,
) -> Person:
    """Make a person who still has to agree and to choose a PIN; an SMS asks them to.

    Raises DomainError `agent_suspended`, `id_invalid`, `already_registered`.
    """
    agents.refuse_inactive(agent)
    number = plain_number(id_number)
    if not _has_form(market, id_kind, number):
        raise DomainError("id_invalid")
    person = people.register(
        session,
        person_id=new_key(),
        msisdn=msisdn,
        name=name,
        language=market.default_language,
        tier=market.people.assisted_tier,
        currency=market.currency.code,
        now=now,
        state="invited",
    )
    keep_document(session, codes, person.id, id_kind, number, f"agent {agent.code}", now)
    notify(
        session,
        "invited",
        Recipient(msisdn, person.language, person.id),
        message_id=derived_key(person.id, "message", "invited"),
        subject=person.id,
        facts={"name": person.name, "service_code": market.service_codes[0]},
        now=now,
    )
    return person


def accept(
    session: Session, pins: Pins, person: Person, sealed: bytes, *, language: str, now: datetime
) -> None:
    """The invited person agreed and chose a PIN, `sealed` for `person.id`.

    Raises DomainError `already_registered`, also when two hops race.
    """
    people.accept(session, person.id, language, now)
    pins.put(session, person.id, sealed, now)


def id_number(market: Market, kind: str, typed: str) -> str:
    """A document's number as it is compared. Raises DomainError `id_invalid`."""
    number = plain_number(typed)
    if not _has_form(market, kind, number):
        raise DomainError("id_invalid")
    return number


def keep_document(
    session: Session,
    codes: Codes,
    person_id: UUID,
    kind: str,
    number: str,
    seen_by: str,
    now: datetime,
) -> None:
    """Remember a document that `seen_by` has seen, instead of the one before."""
    row = {
        "person_id": person_id,
        "kind": kind,
        "number_hash": codes.documents.make(f"{kind}\n{number}"),
        "hint": number[-HINT_CHARS:],
        "seen_by": seen_by,
        "seen_at": now,
    }
    statement = insert(Document).values(row)
    session.execute(statement.on_conflict_do_update(index_elements=["person_id"], set_=row))


def document_of(session: Session, person_id: UUID) -> Document | None:
    """The document that was last seen of a person."""
    return session.scalar(select(Document).where(Document.person_id == person_id))


def is_number_of(codes: Codes, document: Document, typed: str) -> bool:
    """Whether this is the number of that document."""
    return codes.documents.match(document.number_hash, f"{document.kind}\n{plain_number(typed)}")


def plain_number(typed: str) -> str:
    return typed.replace(" ", "").replace("-", "").replace("/", "").upper()


def _has_form(market: Market, kind: str, number: str) -> bool:
    rule = market.people.id_kinds.get(kind)
    if rule is None or not (number.isascii() and number.isalnum()):
        return False
    return rule.least_chars <= len(number) <= rule.most_chars
