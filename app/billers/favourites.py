"""Numbers that a person pays for again and again, each under a name of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.text import names
from app.wallet.keys import new_key
from app.wallet.people import Person

FAVOURITES_MOST = 20
NICKNAME_MOST = 12
_TYPED_MOST = 200


class FavouriteRow(Base):
    """One number of one person at one product."""

    __tablename__ = "favourites"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID]
    product: Mapped[str]
    customer_no: Mapped[str]
    nickname: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# Every dial asks for it.
_OF_PERSON = (
    select(FavouriteRow)
    .where(FavouriteRow.person_id == bindparam("person_id"))
    .order_by(func.lower(FavouriteRow.nickname), FavouriteRow.id)
)


@dataclass(frozen=True, slots=True)
class Favourite:
    """A number under the name that its owner gave it."""

    id: UUID
    product_code: str
    customer_no: str
    nickname: str


def nickname(typed: str, *, wide: bool) -> str:
    """A name as it is kept: short, and in characters that a screen of that language has.

    Raises DomainError `nickname_invalid`.
    """
    name = (names.lettered if wide else names.plain)(typed, _TYPED_MOST)
    if len(name) > NICKNAME_MOST or not any(char.isalnum() for char in name):
        raise DomainError("nickname_invalid")
    return name


def of_person(session: Session, person_id: UUID) -> list[Favourite]:
    """All of a person's, in the order of their names."""
    return [_view(row) for row in session.scalars(_OF_PERSON, {"person_id": person_id})]


def get(session: Session, person_id: UUID, favourite_id: UUID) -> Favourite:
    """One of a person's. Raises DomainError `favourite_unknown`."""
    statement = select(FavouriteRow).where(
        FavouriteRow.id == favourite_id, FavouriteRow.person_id == person_id
    )
    row = session.scalars(statement).one_or_none()
    if row is None:
        raise DomainError("favourite_unknown")
    return _view(row)


def name_of(session: Session, person_id: UUID, product_code: str, customer_no: str) -> str | None:
    """What a person calls a number; None if it is not saved."""
    statement = select(FavouriteRow.nickname).where(
        FavouriteRow.person_id == person_id,
        FavouriteRow.product == product_code,
        FavouriteRow.customer_no == customer_no,
    )
    return session.scalar(statement)


def save(
    session: Session,
    person_id: UUID,
    product_code: str,
    customer_no: str,
    name: str,
    *,
    now: datetime,
) -> None:
    """Keep a number under a name; one that is kept already is renamed.

    Raises DomainError `favourites_full`.
    """
    one_by_one = select(Person.id).where(Person.id == person_id).with_for_update(key_share=True)
    session.execute(one_by_one)
    if name_of(session, person_id, product_code, customer_no) is None:
        _refuse_full(session, person_id)
    row = {
        "id": new_key(),
        "person_id": person_id,
        "product": product_code,
        "customer_no": customer_no,
        "nickname": name,
        "created_at": now,
    }
    statement = insert(FavouriteRow).values(row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["person_id", "product", "customer_no"], set_={"nickname": name}
        )
    )


def rename(session: Session, person_id: UUID, favourite_id: UUID, name: str) -> None:
    """Raises DomainError `favourite_unknown`."""
    get(session, person_id, favourite_id)
    statement = update(FavouriteRow).where(FavouriteRow.id == favourite_id)
    session.execute(statement.values(nickname=name))


def remove(session: Session, person_id: UUID, favourite_id: UUID) -> None:
    """Forget a number; one that is gone already is no error."""
    statement = delete(FavouriteRow).where(
        FavouriteRow.id == favourite_id, FavouriteRow.person_id == person_id
    )
    session.execute(statement)


def _refuse_full(session: Session, person_id: UUID) -> None:
    statement = select(func.count()).where(FavouriteRow.person_id == person_id)
    if (session.scalar(statement) or 0) >= FAVOURITES_MOST:
        raise DomainError("favourites_full")


def _view(row: FavouriteRow) -> Favourite:
    return Favourite(row.id, row.product, row.customer_no, row.nickname)
