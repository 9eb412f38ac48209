"""What became of a session as the gateway saw it, and the way that it took through our menus.

An end event carries all that the person typed and the last screen; the PIN may be in both. Neither
is kept. What is kept beside the gateway's facts are names of our own states.

1. The way is read from the live session, before and outside the transaction. A session that Redis
   no longer has, or that another one continued, leaves what the gateway gives back of our
   `at-ussd-hop-metadata` headers; without that nothing is known, and the event is kept all the
   same.
2. Of a text of the gateway's only names that our menus have are taken.
3. The last state is the last screen that the gateway passed on, where it tells that; an answer
   that came too late for it was seen by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, DateTime, Identity, Text, delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.gateways.wire import UssdEnd
from app.telemetry import log
from app.ussd.live import PATH_MOST, Live
from app.ussd.menubook import MenuBook
from app.ussd.session import SessionsAway, SessionStore
from app.wallet.intents import Intent

PURGED_MOST = 10_000  # rows of one transaction
_BETWEEN_NAMES = re.compile(r"[^a-z0-9_.]+")
_OWN_SENTENCE = re.compile(r"engine\.[a-z_]{1,30}\Z")


class SessionEnd(Base):
    """One end event; a repeated one changes nothing. From `menu_version` on it is our own part,
    null where it is not known.
    """

    __tablename__ = "ussd_ends"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    gateway: Mapped[str]
    session_id: Mapped[str]
    msisdn: Mapped[str]
    service_code: Mapped[str]
    network: Mapped[str]
    status: Mapped[str]
    hops: Mapped[int | None]
    duration_ms: Mapped[int | None]
    cost: Mapped[str | None]
    error: Mapped[str | None]
    hops_metadata: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    menu_version: Mapped[str | None]
    language: Mapped[str | None]
    path: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    last_state: Mapped[str | None]
    registered: Mapped[bool | None]
    committed: Mapped[bool | None]


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a session through the menus; None is not known.

    `path` are the states whose screens were answered, in order, at most PATH_MOST and the last
    one; `registered`: a registered person was on the phone.
    """

    session_hash: bytes
    path: tuple[str, ...] | None = None
    last_state: str | None = None
    menu_version: str | None = None
    language: str | None = None
    registered: bool | None = None


def way_of(end: UssdEnd, store: SessionStore, books: Mapping[str, MenuBook[Any]]) -> Way:
    """The way of the session that ended. Raises nothing for a session that cannot be read."""
    session_hash = store.hash_of(end.gateway, end.session_id)
    live = _peek(store, session_hash)
    if live is not None and live.msisdn != end.msisdn:
        live = None
    told = _told(end.hops_metadata, books)
    path = _shown(live, books) or told[:PATH_MOST]
    last = told[-1] if told else (live.state or None) if live else None
    if last and last not in path:
        path.append(last)
    return Way(
        session_hash,
        path=tuple(path) or None,
        last_state=last,
        menu_version=live.version if live else None,
        language=live.language if live else None,
        registered=live.person is not None if live else None,
    )


def store(session: Session, end: UssdEnd, way: Way, now: datetime) -> None:
    """Keep an end event. `committed` says that by now a confirmation of this session is done."""
    done = select(exists().where(Intent.session_hash == way.session_hash, Intent.state == "done"))
    row = {
        "gateway": end.gateway,
        "session_id": end.session_id,
        "msisdn": end.msisdn,
        "service_code": end.service_code,
        "network": end.network,
        "status": end.status,
        "hops": end.hops,
        "duration_ms": end.duration_ms,
        "cost": end.cost,
        "error": end.error,
        "hops_metadata": end.hops_metadata,
        "received_at": now,
        "menu_version": way.menu_version,
        "language": way.language,
        "path": way.path and list(way.path),
        "last_state": way.last_state,
        "registered": way.registered,
        "committed": session.scalar(done),
    }
    session.execute(insert(SessionEnd).values(row).on_conflict_do_nothing())


def of_msisdn(session: Session, msisdn: str, limit: int = 50) -> list[SessionEnd]:
    """The newest sessions of a person, newest first."""
    newest = select(SessionEnd).where(SessionEnd.msisdn == msisdn)
    return list(session.scalars(newest.order_by(SessionEnd.received_at.desc()).limit(limit)))


def purge(session: Session, before: datetime, most: int = PURGED_MOST) -> int:
    """Delete the oldest events that came before that instant; how many, at most `most`."""
    oldest = (
        select(SessionEnd.id)
        .where(SessionEnd.received_at < before)
        .order_by(SessionEnd.received_at)
        .limit(most)
    )
    gone = session.execute(delete(SessionEnd).where(SessionEnd.id.in_(oldest)))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _peek(store: SessionStore, session_hash: bytes) -> Live | None:
    try:
        return store.peek(session_hash)
    except SessionsAway:
        log.warning("ussd_end_without_session", reason="redis_away")
    except (ValueError, TypeError):
        log.error("ussd_session_unreadable")
    return None


def _shown(live: Live | None, books: Mapping[str, MenuBook[Any]]) -> list[str]:
    """The path that a session kept; nothing for menus that this release does not know."""
    book = books.get(live.version) if live else None
    if live is None or book is None:
        return []
    names = list(book.states)
    return [names[place] for place in live.path if place < len(names)]


def _told(metadata: str | None, books: Mapping[str, MenuBook[Any]]) -> list[str]:
    """The names of ours in what the gateway gives back, neighbours that are equal once.

    Nobody documents its form: some join the names of all hops, some send the last one.
    """
    known = {name for book in books.values() for name in book.states}
    names: list[str] = []
    for word in _BETWEEN_NAMES.split(metadata or ""):
        if (word in known or _OWN_SENTENCE.match(word)) and names[-1:] != [word]:
            names.append(word)
    return names
