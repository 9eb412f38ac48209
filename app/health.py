"""L3: whether this process may work at all, and whether it is ready.

Success is an answer only if it is durable (promise 3), and the guards of the ledger hold only for
a role that owns nothing. Both are checked on every new connection, so no pool can hold an unfit
one; `/readyz` says the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app.patience import at_most

MIGRATIONS = Path(__file__).parents[1] / "migrations"
SYNCHRONOUS = {"on", "remote_write", "remote_apply", "local"}
HEARTBEAT_STALE_SECONDS = 20
START_SECONDS = 3.0

_FITNESS = """
    SELECT current_user::text,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
           EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = 'public' AND pg_has_role(current_user, c.relowner, 'USAGE')),
           current_setting('fsync'), current_setting('full_page_writes'),
           current_setting('synchronous_commit')
"""
# Who may not read all of the statistics sees that a standby is there, and nothing of it.
_ASYNCHRONOUS = """
    SELECT count(*) FROM pg_stat_replication
    WHERE (current_setting('synchronous_standby_names') = ''
           OR current_setting('synchronous_commit') = 'local')
      AND application_name <> 'pg_basebackup'
"""


class Unfit(Exception):
    """The database connection must not carry money; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `/readyz`."""

    name: str
    ok: bool
    detail: str


def unfitness(row: tuple[Any, ...]) -> str | None:
    """What is wrong with a connection, or None."""
    user, superuser, owns, fsync, full_page_writes, synchronous = row
    if superuser or owns:
        return f"role {user} owns the tables or is a superuser; DATABASE_URL needs kibanda_app"
    if fsync != "on" or full_page_writes != "on":
        return "fsync and full_page_writes must be on"
    if synchronous not in SYNCHRONOUS:
        return f"synchronous_commit is {synchronous}; a success would not survive power loss"
    return None


def guard(engine: Engine) -> None:
    """From now on every new connection of this engine proves that it is fit, or raises Unfit."""

    @event.listens_for(engine, "connect")
    def _prove(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            row = cursor.execute(_FITNESS).fetchone()
        connection.rollback()
        reason = unfitness(row)
        if reason:
            connection.close()
            raise Unfit(reason)


def check_role_and_durability(engine: Engine) -> None:
    """For the start of web and workers: raises Unfit; a database that is away is not a reason."""
    try:
        with at_most(START_SECONDS), engine.connect():
            pass
    except psycopg.OperationalError:
        return
    except Exception as error:
        if isinstance(getattr(error, "orig", None), psycopg.OperationalError):
            return
        raise


@cache
def migration_head() -> str | None:
    """The schema that this release needs, from its migrations folder."""
    # Here, because importing Alembic takes a third of the start of a command that never needs it.
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head()


def asynchronous_standbys(session: Session) -> int:
    """Standbys that a commit does not wait for: after a failover to one of them an answer of
    success may be forgotten.
    """
    return session.scalar(text(_ASYNCHRONOUS)) or 0


def migration(session: Session) -> str | None:
    """The schema that the database is at."""
    version: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def database_checks(session: Session) -> list[Check]:
    """Role and durability (proved by the connection itself), migrations, worker heartbeats."""
    head = migration_head()
    version = migration(session)
    checks = [
        Check("database", True, "answers; role and durability settings are fit"),
        Check("migrations", version == head, f"at {version}, this release needs {head}"),
    ]
    if version == head:  # else its table may not be there yet
        checks.append(_quarantine(session))
    beats = session.execute(
        text("SELECT queue, extract(epoch FROM clock_timestamp() - max(at)) AS age"
             " FROM worker_heartbeats GROUP BY queue")
    )  # fmt: skip
    ages = {row.queue: float(row.age) for row in beats}
    for queue in ("payments", "messages", "schedule"):
        age = ages.get(queue)
        fresh = age is not None and age < HEARTBEAT_STALE_SECONDS
        detail = "no heartbeat yet" if age is None else f"last heartbeat {age:.0f} s ago"
        checks.append(Check(f"worker:{queue}", fresh, detail))
    return checks


def _quarantine(session: Session) -> Check:
    since = session.scalar(text("SELECT since FROM quarantine"))
    said = "none" if since is None else f"since {since:%Y-%m-%d %H:%M} UTC; `recover` ends it"
    return Check("quarantine", since is None, said)


def probe(name: str, call: Callable[[], object]) -> Check:
    """A check that passes when the call does not raise."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any failure is the finding
        return Check(name, False, type(error).__name__)
    return Check(name, True, "answers")
