"""L2: the engine, and `transact`, the only place that commits and that retries.

1. `transact(fn)` runs `fn(session)` and commits. A serialization failure, a deadlock, or a
   connection lost before COMMIT is run again, at most `TRIES` times: nothing had happened.
2. A connection lost while COMMIT was under way is neither success nor failure. Work that declares
   itself `idempotent` (it is keyed, and finds its own earlier effect) is run again; if that does
   not settle it, OutcomeUnknown.
3. Bells noted in the transaction ring after the commit and never before; ringing cannot fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from app import failpoints
from app.errors import DomainError, OutcomeUnknown

TRIES = 5
RUN_AGAIN = {"40001", "40P01"}  # serialization_failure, deadlock_detected
T = TypeVar("T")
Ring = Callable[[str], None]


class Base(DeclarativeBase):
    """Every mapped table; relationships never cross a package."""


class Database:
    """A pool of connections as the application's role.

    `ring` is called once for each queue that a committed transaction noted.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, ring: Ring | None = None, statement_ms: int = 5_000
    ) -> None:
        self._ring = ring
        self.engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=1.5,
            pool_use_lifo=True,
            connect_args={
                "connect_timeout": 2,
                "prepare_threshold": 1,
                "options": f"-c statement_timeout={statement_ms} -c lock_timeout=2000"
                " -c idle_in_transaction_session_timeout=10000 -c timezone=UTC",
                "application_name": "kibanda",
            },
        )

    def transact(
        self, fn: Callable[[Session], T], *, name: str = "", idempotent: bool = False
    ) -> T:
        """Run `fn` in one transaction and commit it; see the module's rules.

        `name` prefixes the failpoints before and after the commit. Raises what `fn` raises,
        OutcomeUnknown, or DomainError `database_away` when no connection can be had.
        """
        commit_lost = False
        for attempt in range(1, TRIES + 1):
            committing = False
            session = Session(self.engine, expire_on_commit=False)
            try:
                result = fn(session)
                session.flush()
                failpoints.reach(f"{name}.before_commit")
                committing = True
                session.commit()
            except PoolTimeout as error:
                raise _away(commit_lost) from error
            except DBAPIError as error:
                session.rollback()
                if not _run_again(error) or attempt == TRIES:
                    if error.connection_invalidated or _no_connection(error):
                        raise _away(commit_lost or committing) from error
                    raise
                if committing and error.connection_invalidated:
                    if not idempotent:
                        raise OutcomeUnknown from error
                    commit_lost = True
                continue
            finally:
                session.close()
            failpoints.reach(f"{name}.after_commit")
            self._ring_bells(session)
            return result
        raise AssertionError("the loop returns or raises")

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def _ring_bells(self, session: Session) -> None:
        if self._ring:
            for queue in session.info.get("bells", ()):
                self._ring(queue)


def driver_url(url: str) -> URL:
    """The SQLAlchemy address, psycopg 3, of a plain `postgresql://` one."""
    return make_url(url).set(drivername="postgresql+psycopg")


def ring_after_commit(session: Session, queue: str) -> None:
    """Note a queue whose workers should look at their tables once this transaction commits."""
    session.info.setdefault("bells", set()).add(queue)


def driver(session: Session) -> psycopg.Connection[Any]:
    """The session's own psycopg connection, for the prepared posting calls."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def _no_connection(error: DBAPIError) -> bool:
    return isinstance(error.orig, psycopg.OperationalError) and error.orig.sqlstate is None


def _run_again(error: DBAPIError) -> bool:
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate in RUN_AGAIN:
        return True
    return error.connection_invalidated


def _away(outcome_open: bool) -> DomainError:
    return OutcomeUnknown() if outcome_open else DomainError("database_away", retryable=True)
