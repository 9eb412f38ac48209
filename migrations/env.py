"""Runs the migrations as the owner of the tables, one transaction for all of them.

The address is `sqlalchemy.url` of the Alembic configuration (the command line sets it), or
`-x url=postgresql://...`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text

from app.db import driver_url

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
    """Upgrade over one connection, with a bound on every wait for a lock."""
    engine = create_engine(
        driver_url(address()), connect_args={"options": "-c lock_timeout=10000 -c timezone=UTC"}
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS alembic_version"
                " (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"
            )
        )
        connection.execute(ONE_AT_A_TIME)
        context.configure(connection=connection, transaction_per_migration=False)
        context.run_migrations()
    engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations: offline mode is not supported")
run()
