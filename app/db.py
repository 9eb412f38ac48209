"""L2: the engine, and `transact`, the only place that commits and that retries.

1. `transact(fn)` runs `fn(session)` and commits. A serialization failure, a deadlock, or a
   connection lost before COMMIT is run again, at most `TRIES` times: nothing had happened. A
   database that cannot be reached, or lets us wait too long, is DomainError `database_away`: all
   of a `transact`, its tries together, has an end by our own clock (`app/patience.py`).
2. A connection lost while COMMIT was under way is neither success nor failure. Work that declares
   itself `idempotent` (it is keyed, and finds its own earlier effect) is run again; if that does
   not settle it, or the time is over, OutcomeUnknown.
3. Bells noted in the transaction ring after the commit and never before; ringing cannot fail it.
4. A server that was silent once is not waited for again at once: for QUIET_SECONDS everybody hears
   `database_away`. Else its callers would queue for the threads that wait, each behind the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import psycopg
from sqlalchemy import BigInteger, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session

from app import failpoints
from app.errors import DomainError, OutcomeUnknown
from app.patience import PatientConnection, Silent, among, at_most, seconds_left

TRIES = 5
TRANSACT_SECONDS = 10.0
STATEMENT_MS_MOST = 5_000
LOCK_MS_MOST = 2_000
POOL_SECONDS_MOST = 1.5
QUIET_SECONDS = 0.5
RUN_AGAIN = {"40001", "40P01"}  # serialization_failure, deadlock_detected
# lock_not_available, query_canceled, too_many_connections, cannot_connect_now
WAITED_TOO_LONG = {"55P03", "57014", "53300", "57P03"}
QUARANTINED = "KQ001"  # raised by the triggers of `app/quarantine`
T = TypeVar("T")
Ring = Callable[[str], None]


class _CommitLost(Exception):
    """The connection broke while COMMIT was under way."""


class Base(DeclarativeBase):
    """Every mapped table; relationships never cross a package.

    A whole number is bound as 64 bits: amounts, accounts and postings outgrow 32.
    """

    type_annotation_map: ClassVar[dict[Any, Any]] = {int: BigInteger}


class Database:
    """A pool of connections as the application's role.

    `ring` is called once for each queue that a committed transaction noted. `seconds` is what a
    `transact` may take by our clock; the server is asked to give up a statement or a lock before
    that, so that it is not taken for silent. An explicit `statement_ms` lengthens it if need be.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        ring: Ring | None = None,
        seconds: float = TRANSACT_SECONDS,
        statement_ms: int | None = None,
    ) -> None:
        self._ring = ring
        if statement_ms is None:
            statement_ms = min(STATEMENT_MS_MOST, int(750 * seconds))
        else:
            seconds = max(seconds, 2 * statement_ms / 1000)
        self._seconds = seconds
        self._quiet_until = 0.0
        self.engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=min(POOL_SECONDS_MOST, seconds / 2),
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 2,
                "prepare_threshold": 1,
                "options": f"-c statement_timeout={statement_ms}"
                f" -c lock_timeout={min(LOCK_MS_MOST, statement_ms * 5 // 6)}"
                " -c idle_in_transaction_session_timeout=10000 -c timezone=UTC",
                "application_name": "kibanda",
                # For what is lost between transactions; within one, our own clock is quicker.
                "keepalives_idle": 10,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        event.listen(self.engine, "do_connect", _connect)

    def transact(
        self, fn: Callable[[Session], T], *, name: str = "", idempotent: bool = False
    ) -> T:
        """Run `fn` in one transaction and commit it; see the module's rules.

        `name` prefixes the failpoints before and after the commit. Raises what `fn` raises,
        OutcomeUnknown, or DomainError `database_away` when the database cannot be had in time,
        `quarantined` for a write that a restored database refuses.
        """
        if time.monotonic() < self._quiet_until:
            raise _away(outcome_open=False)
        with at_most(self._seconds):
            return self._tried(fn, name, idempotent)

    def _tried(self, fn: Callable[[Session], T], name: str, idempotent: bool) -> T:
        commit_lost = False
        for _ in range(TRIES):
            session = Session(self.engine, expire_on_commit=False)
            try:
                result = _once(session, fn, name)
            except PoolTimeout as error:
                raise _away(commit_lost) from error
            except _CommitLost as error:
                self._note_silence(error.__cause__)
                if not idempotent:
                    raise OutcomeUnknown from error
                commit_lost = True
            except DBAPIError as error:
                self._note_silence(error)
                refusal = _refusal(error, commit_lost)
                if refusal:
                    raise refusal from error
                if not _run_again(error):
                    raise
            else:
                self._ring_bells(session)
                return result
            finally:
                session.close()
            if (seconds_left() or 0) <= 0:
                break
        raise _away(commit_lost)

    def _note_silence(self, error: BaseException | None) -> None:
        if isinstance(error, DBAPIError) and isinstance(error.orig, Silent):
            self._quiet_until = time.monotonic() + QUIET_SECONDS

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


def _connect(
    _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]
) -> psycopg.Connection[Any]:
    with among(str(parameters.get("host", "")).count(",") + 1):
        return PatientConnection.connect(**parameters)


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


def _refusal(error: DBAPIError, commit_lost: bool) -> DomainError | None:
    """What the server's own word, or its absence, comes to; None for what is nobody's refusal."""
    if _out_of_reach(error):
        return _away(commit_lost)
    if getattr(error.orig, "sqlstate", None) == QUARANTINED:
        return DomainError("quarantined", retryable=True)
    return None


def _out_of_reach(error: DBAPIError) -> bool:
    """No connection, or a wait that the server itself ended: nothing was done."""
    if error.connection_invalidated or not isinstance(error.orig, psycopg.OperationalError):
        return False
    return error.orig.sqlstate is None or error.orig.sqlstate in WAITED_TOO_LONG


def _away(outcome_open: bool) -> DomainError:
    return OutcomeUnknown() if outcome_open else DomainError("database_away", retryable=True)
