"""Runs the migrations as the owner of the tables, one transaction for all of them.

The address is `sqlalchemy.url` of the Alembic configuration (the command line sets it), or
`-x url=postgresql://...`.

On a live system:

1. A change of a table waits for whoever reads it, and everybody who comes later waits behind the
   change. So it waits for `LOCK_MS`, which is less than a hop may take, then lets all of them pass
   and tries again, `TRIES` times.
2. No statement runs longer than `STATEMENT_MS`, for it holds those locks meanwhile. What has to
   read a large table is no migration: docs/runbook.md, Migrations.
3. What does not come to its end leaves everything as it was, and says so in a sentence.
"""

from __future__ import annotations

import time

import psycopg
from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from app.db import driver_url

LOCK_MS = 500
STATEMENT_MS = 10_000
OTHER_RELEASE_MS = 60_000
TRIES = 6
PAUSE_SECONDS = 2.0
CONNECT_SECONDS = 10
GAVE_UP = {
    psycopg.errors.LockNotAvailable: "a long transaction holds what they change: end it, or wait"
    " for it (pg_stat_activity, the oldest xact_start)",
    psycopg.errors.QueryCanceled: "a statement took too long for a system that is in use",
    psycopg.errors.DeadlockDetected: "they and the live system waited for each other; try again",
}

# Two releases starting at once: the second waits for the first, then finds nothing to do.
ONE_AT_A_TIME = text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")


def address() -> str:
    """The owner's address; a missing one is a plain sentence, not a stack of libpq's."""
    url = context.get_x_argument(as_dictionary=True).get("url")
    url = url or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise SystemExit("migrations: no database address (MIGRATION_DATABASE_URL)")
    return url


def run() -> None:
    """Upgrade over one connection, with a bound on every wait."""
    options = f"-c lock_timeout={OTHER_RELEASE_MS} -c statement_timeout={STATEMENT_MS}"
    engine = create_engine(
        driver_url(address()),
        connect_args={
            "options": f"{options} -c timezone=UTC",
            "connect_timeout": CONNECT_SECONDS,
        },
    )
    try:
        for tries_left in reversed(range(TRIES)):
            try:
                with engine.begin() as connection:
                    _upgrade(connection)
                return
            except (OperationalError, psycopg.OperationalError) as error:
                _give_up_unless(tries_left, error)
            time.sleep(PAUSE_SECONDS)
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS alembic_version"
            " (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"
        )
    )
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(ONE_AT_A_TIME)
    connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_MS}"))
    connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
    context.configure(connection=connection, transaction_per_migration=False)
    context.run_migrations()


def _give_up_unless(tries_left: int, error: OperationalError | psycopg.OperationalError) -> None:
    """Raises SystemExit after the last try, and for a statement that was too slow; what is no
    refusal to wait any longer is raised as it is.
    """
    cause = error.orig if isinstance(error, OperationalError) else error
    why = next((said for kind, said in GAVE_UP.items() if isinstance(cause, kind)), None)
    if why is None:
        raise error
    if tries_left == 0 or isinstance(cause, psycopg.errors.QueryCanceled):
        raise SystemExit(f"migrations: gave up, and everything is as it was: {why}.")


if context.is_offline_mode():
    raise SystemExit("migrations: offline mode is not supported")
run()
