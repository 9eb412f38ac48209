"""`migrate` and `seed demo`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from alembic import command as alembic
from alembic.config import Config
from flask.cli import with_appcontext

from app.cli import demo
from app.cli.output import runtime

ROOT = Path(__file__).parents[2]


def alembic_config(url: str) -> Config:
    """Alembic's configuration without a file on the way: the script folder and the address."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


@click.command("migrate")
@with_appcontext
def migrate() -> None:
    """Bring the database to this release, as its owner (MIGRATION_DATABASE_URL)."""
    url = runtime().settings.migration_database_url
    if not url:
        raise click.ClickException("MIGRATION_DATABASE_URL is not set")
    alembic.upgrade(alembic_config(url), "head")
    click.echo("The database is at this release.")


@click.group("seed")
def seed() -> None:
    """Load example data."""


@seed.command("demo")
@with_appcontext
def seed_demo() -> None:
    """The people of the demo market, with money from demo bank lines; safe to repeat."""
    parts = runtime()
    if not parts.market.demo:
        raise click.ClickException(f"market {parts.market.code} is not a demo market")
    for person in demo.PEOPLE:
        new = demo.add(parts.db, parts.pins, parts.market, person, datetime.now(UTC))
        click.echo(f"{person.msisdn}  {person.name} ({person.role}){'' if new else ', was there'}")


COMMANDS = (migrate, seed)
