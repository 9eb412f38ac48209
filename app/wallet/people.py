"""The people of the wallet: who they are, their language, their wallet account."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.wallet import ledger

NAME_MOST = 40


class Person(Base):
    """A registered MSISDN. `wallet_id` is the ledger account that holds the money."""

    __tablename__ = "people"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    msisdn: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    language: Mapped[str]
    tier: Mapped[str]
    role: Mapped[str]
    state: Mapped[str]
    wallet_id: Mapped[int]
    consented_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def find(session: Session, msisdn: str) -> Person | None:
    """The person of an E.164 MSISDN, or None."""
    return session.scalar(select(Person).where(Person.msisdn == msisdn))


def get(session: Session, person_id: UUID) -> Person:
    """The person of an id that we gave out. Raises NoResultFound."""
    return session.get_one(Person, person_id)


def register(
    session: Session,
    *,
    person_id: UUID,
    msisdn: str,
    name: str,
    language: str,
    tier: str,
    currency: str,
    now: datetime,
    role: str = "customer",
) -> Person:
    """A new person with an empty wallet; consent is given at `now`.

    The caller makes `person_id` (`new_key`), because a PIN is sealed for it beforehand.

    Raises DomainError `already_registered`, also when two registrations race.
    """
    wallet_id = ledger.open_account(
        session, kind="wallet", currency=currency, owner_kind="person", owner_id=person_id
    )
    row = {
        "id": person_id,
        "msisdn": msisdn,
        "name": name[:NAME_MOST],
        "language": language,
        "tier": tier,
        "role": role,
        "state": "active",
        "wallet_id": wallet_id,
        "consented_at": now,
        "created_at": now,
    }
    statement = insert(Person).values(row).on_conflict_do_nothing(index_elements=["msisdn"])
    if session.execute(statement.returning(Person.id)).first() is None:
        raise DomainError("already_registered")
    return session.get_one(Person, person_id)


def refuse_inactive(person: Person) -> None:
    """Only active people move money. Raises DomainError `person_suspended`."""
    if person.state != "active":
        raise DomainError("person_suspended")


def may_receive(person: Person) -> bool:
    """Money may come into the wallet of an active or a dormant person."""
    return person.state in ("active", "dormant")


def locked_for_payment(session: Session, person_id: UUID) -> Person:
    """The person, whose state cannot change before this transaction ends. Raises NoResultFound."""
    statement = select(Person).where(Person.id == person_id).with_for_update(read=True)
    return session.execute(statement, execution_options={"populate_existing": True}).scalar_one()


def masked(name: str) -> str:
    """A name as others may see it: the first word, and initials of the rest: `Juma O.`"""
    first, *rest = name.split()
    return " ".join([first, *(f"{word[0]}." for word in rest)])


def set_language(session: Session, person_id: UUID, language: str) -> None:
    session.execute(update(Person).where(Person.id == person_id).values(language=language))
