"""The people of the wallet: who they are, their language, their tier, their wallet account.

    invited ──▶ active ◀──▶ suspended     by staff
     by an       │  ▲
     agent       ▼  └── dormant           by the clock; woken by the right PIN
               closed                     paid out first (`transfers/closing.py`); it stays so

1. Whoever moves money locks the row against a change of state (`locked_for_payment`), and every
   change of state waits for it.
2. A locked PIN is no state of a person: it is in `pins`, and time ends it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger

NAME_MOST = 40
AWAKE = ("active", "dormant")  # whose wallet is open, though one may have to be woken


class Person(Base):
    """A registered MSISDN. `wallet_id` is the ledger account that holds the money.

    `look_again_at` is when the clock should look whether an active person has gone quiet.
    """

    __tablename__ = "people"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    msisdn: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    language: Mapped[str]
    tier: Mapped[str]
    role: Mapped[str]
    state: Mapped[str]
    wallet_id: Mapped[int]
    consented_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    state_since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    tier_since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    look_again_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# What shows that somebody uses the wallet: a confirmation of theirs, or an SMS, which every
# movement of their money makes.
_QUIET = text("""
    WITH due AS (
        SELECT id, state_since FROM people
        WHERE state = 'active' AND role = 'customer' AND look_again_at <= :now
        ORDER BY look_again_at LIMIT :most FOR UPDATE SKIP LOCKED
    ), seen AS (
        SELECT due.id, greatest(
            due.state_since,
            (SELECT i.created_at FROM intents i WHERE i.person_id = due.id
             ORDER BY i.id DESC LIMIT 1),
            (SELECT m.created_at FROM messages m WHERE m.person_id = due.id
             ORDER BY m.created_at DESC LIMIT 1)
        ) AS at FROM due
    )
    UPDATE people p SET
        state = CASE WHEN seen.at < :quiet_since THEN 'dormant' ELSE 'active' END,
        state_since = CASE WHEN seen.at < :quiet_since THEN :now ELSE p.state_since END,
        look_again_at = seen.at + :quiet
    FROM seen WHERE p.id = seen.id
    RETURNING p.state
""")


# A dial asks for it: made once, because making a statement takes longer than PostgreSQL's answer.
_BY_MSISDN = select(Person).where(Person.msisdn == bindparam("msisdn"))
_BY_IDS = select(Person).from_statement(text("SELECT * FROM people WHERE id = ANY (:ids)"))


def find(session: Session, msisdn: str) -> Person | None:
    """The person of an E.164 MSISDN, or None."""
    return session.scalar(_BY_MSISDN, {"msisdn": msisdn})


def get(session: Session, person_id: UUID) -> Person:
    """The person of an id that we gave out. Raises NoResultFound."""
    return session.get_one(Person, person_id)


def get_all(session: Session, person_ids: Collection[UUID]) -> dict[UUID, Person]:
    """These people by their ids. Raises NoResultFound if one does not exist."""
    if not person_ids:
        return {}
    found = {person.id: person for person in session.scalars(_BY_IDS, {"ids": list(person_ids)})}
    if len(found) < len(person_ids):
        raise NoResultFound("an unknown person")
    return found


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
    state: str = "active",
) -> Person:
    """A new person with an empty wallet; consent is given at `now`, unless they are only invited.

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
        "state": state,
        "wallet_id": wallet_id,
        "consented_at": None if state == "invited" else now,
        "created_at": now,
        "state_since": now,
        "tier_since": now,
        "look_again_at": now,
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
    return person.state in AWAKE


def locked_for_payment(session: Session, person_id: UUID) -> Person:
    """The person, whose state cannot change before this transaction ends. Raises NoResultFound."""
    statement = select(Person).where(Person.id == person_id).with_for_update(read=True)
    return session.execute(statement, execution_options={"populate_existing": True}).scalar_one()


def masked(name: str) -> str:
    """A name as others may see it: the first word, and initials of the rest: `Juma O`."""
    first, *rest = name.split()
    return " ".join([first, *(word[0] for word in rest)])


def set_language(session: Session, person_id: UUID, language: str) -> None:
    session.execute(update(Person).where(Person.id == person_id).values(language=language))


def set_tier(session: Session, person_id: UUID, tier: str, now: datetime) -> None:
    """Other limits from now on; what was used of a day or a month stays used.

    Raises DomainError `person_state` for who is invited or closed.
    """
    _change(session, person_id, (*AWAKE, "suspended"), tier=tier, tier_since=now)


def suspend(session: Session, person_id: UUID, now: datetime) -> None:
    """Nothing goes in or out until `resume`. Raises DomainError `person_state`."""
    _change(session, person_id, AWAKE, state="suspended", state_since=now)


def resume(session: Session, person_id: UUID, now: datetime) -> None:
    """The end of a suspension. Raises DomainError `person_state`."""
    _change(session, person_id, ("suspended",), **_active(now))


def wake(session: Session, person_id: UUID, now: datetime) -> None:
    """After a right PIN; whoever does not sleep stays as they are."""
    asleep = (Person.id == person_id, Person.state == "dormant")
    session.execute(update(Person).where(*asleep).values(_active(now)))


def accept(session: Session, person_id: UUID, language: str, now: datetime) -> None:
    """Who was invited agrees. Raises DomainError `already_registered`, also when two race."""
    values = {**_active(now), "consented_at": now, "language": language}
    invited = (Person.id == person_id, Person.state == "invited")
    done = update(Person).where(*invited).values(values).returning(Person.id)
    if session.execute(done).first() is None:
        raise DomainError("already_registered")


def close(session: Session, person_id: UUID, now: datetime) -> None:
    """The last state; `transfers/closing.py` has paid out. Raises DomainError `person_state`."""
    _change(session, person_id, AWAKE, state="closed", state_since=now)


def find_dormant(session: Session, market: Market, now: datetime, limit: int = 200) -> int:
    """Mark who has not used the wallet for the market's time; how many. Agents never sleep.

    It looks at `limit` people at most, at each again only when they could have gone quiet.
    """
    quiet = timedelta(days=market.people.dormant_days)
    facts = {"now": now, "quiet": quiet, "quiet_since": now - quiet, "most": limit}
    return list(session.scalars(_QUIET, facts)).count("dormant")


def _active(now: datetime) -> dict[str, object]:
    return {"state": "active", "state_since": now, "look_again_at": now}


def _change(session: Session, person_id: UUID, before: tuple[str, ...], **values: object) -> None:
    """Change a person who is in one of these states, once nobody's payment holds the row."""
    fitting = (Person.id == person_id, Person.state.in_(before))
    changed = update(Person).where(*fitting).values(values).returning(Person.id)
    if session.execute(changed).first() is None:
        raise DomainError("person_state")
