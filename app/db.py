"""L2: the engine, and `transact`, the only place that commits and that retries.

1. `transact(fn)` runs `fn(session)` and commits. A serialization failure, a deadlock, or a
   connection lost before COMMIT is run again, at most `TRIES` times: nothing had happened. A
   database that cannot be reached, or lets us wait too long, is DomainError `database_away`.
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
# lock_not_available, query_canceled, too_many_connections, cannot_connect_now
WAITED_TOO_LONG = {"55P03", "57014", "53300", "57P03"}
T = TypeVar("T")
Ring = Callable[[str], None]


class _CommitLost(Exception):
    """The connection broke while COMMIT was under way."""


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
        OutcomeUnknown, or DomainError `database_away` when the database cannot be had in time.
        """
        commit_lost = False
        for _ in range(TRIES):
            session = Session(self.engine, expire_on_commit=False)
            try:
                result = _once(session, fn, name)
            except PoolTimeout as error:
                raise _away(commit_lost) from error
            except _CommitLost as error:
                if not idempotent:
                    raise OutcomeUnknown from error
                commit_lost = True
            except DBAPIError as error:
                if _out_of_reach(error):
                    raise _away(commit_lost) from error
                if not _run_again(error):
                    raise
            else:
                self._ring_bells(session)
                return result
            finally:
                session.close()
        raise _away(commit_lost)

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


def _once(session: Session, fn: Callable[[Session], T], name: str) -> T:
    result = fn(session)
    session.flush()
    failpoints.reach(f"{name}.before_commit")
    try:
        session.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _CommitLost from error
        raise
    failpoints.reach(f"{name}.after_commit")
    return result


def _run_again(error: DBAPIError) -> bool:
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in RUN_AGAIN


def _out_of_reach(error: DBAPIError) -> bool:
    """No connection, or a wait that the server itself ended: nothing was done."""
    if error.connection_invalidated or not isinstance(error.orig, psycopg.OperationalError):
        return False
    return error.orig.sqlstate is None or error.orig.sqlstate in WAITED_TOO_LONG


def _away(outcome_open: bool) -> DomainError:
    return OutcomeUnknown() if outcome_open else DomainError("database_away", retryable=True)
