"""`migrate` and `seed demo`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from app.cli import demo, demo_staff
from app.cli.output import refusing, runtime
from app.health import MIGRATIONS
from app.staff import credentials


@click.command("migrate")
@with_appcontext
def migrate() -> None:
    """Bring the database to this release, as its owner (MIGRATION_DATABASE_URL)."""
    url = runtime().settings.migration_database_url
    if not url:
        raise click.ClickException("MIGRATION_DATABASE_URL is not set")
    # Alembic is slow to import, and only this command needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")
    click.echo("The database is at this release.")


@click.group("seed")
def seed() -> None:
    """Load example data."""


@seed.command("demo")
@with_appcontext
@refusing
def seed_demo() -> None:
    """The people and staff of the demo market, with money from demo bank lines; safe to repeat."""
    parts = runtime()
    if not parts.market.demo:
        raise click.ClickException(f"market {parts.market.code} is not a demo market")
    cast = demo.people_of(parts.market)
    above = next((one.msisdn for one in cast if one.role == "super_agent"), None)
    for person in cast:
        new = demo.add(parts.db, parts.pins, parts.market, person, datetime.now(UTC), above=above)
        click.echo(f"{person.msisdn}  {person.name} ({person.role}){'' if new else ', was there'}")
    parts.db.transact(lambda session: demo.fund_operator(session, parts.market, datetime.now(UTC)))
    seals = credentials.sealer(parts.settings.pin_key_ring)
    for one in demo_staff.STAFF:
        new = demo_staff.add(parts.db, seals, one, datetime.now(UTC))
        click.echo(f"staff {one.name} ({', '.join(one.roles)}){'' if new else ', was there'}")


COMMANDS = (migrate, seed)
