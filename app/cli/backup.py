"""`backup` and `restore`: a copy of the database, and its state at an instant of the past."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from app import health
from app.cli.output import local, refusing, runtime
from app.recovery import base_backup, restoring
from app.recovery.restoring import Wanted

FOLDER = click.Path(path_type=Path, file_okay=False, resolve_path=True)
LATEST = "latest"


@click.command("backup")
@click.argument("folder", type=FOLDER)
@with_appcontext
@refusing
def backup(folder: Path) -> None:
    """Copy the running database into a new FOLDER and check the copy."""
    parts = runtime()
    settings = parts.settings
    url = settings.backup_database_url
    schema = str(parts.db.transact(health.migration))
    made = base_backup.make(
        url.get_secret_value() if url else "", settings.postgres_bin, folder, schema
    )
    click.echo(f"{folder}: whole and checked, ended {local(made.earliest, parts.market)}")
    if not made.archived:
        click.echo(
            "The server archives no WAL, so a restore reaches the end of this backup and no "
            "further: docs/runbook.md, Backup and restore."
        )


@click.command("restore")
@click.argument("folder", type=FOLDER)
@click.option("--into", required=True, type=FOLDER, help="the data folder to make")
@click.option("--to", "instant", required=True, help="ISO 8601 with offset, or `latest`")
@click.option("--archive", type=FOLDER, help="archived WAL; else WAL_ARCHIVE")
@click.option("--minutes", type=click.IntRange(1, 1440), default=240, help="for the replay, 240")
@with_appcontext
@refusing
def restore(folder: Path, into: Path, instant: str, archive: Path | None, minutes: int) -> None:
    """Make a data folder of a backup in FOLDER as it was at an instant, in quarantine."""
    parts = runtime()
    to = _instant(instant)
    reached = "all that was archived" if to is None else f"{to.isoformat()}"
    restoring.restore(
        Wanted(
            backup=folder,
            archive=archive or Path(parts.settings.wal_archive or "."),
            into=into,
            to=to,
            why=f"restored to {reached} at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            owner_url=parts.settings.migration_database_url,
            binaries=parts.settings.postgres_bin,
            seconds=60.0 * minutes,
        )
    )
    click.echo(
        f"{into}: the database at {reached}, stopped and in quarantine.\n"
        "Now, in this order:\n"
        "  1. stop web, workers and schedule; see that the lost server cannot come back\n"
        f"  2. start PostgreSQL over {into}, with archiving on, at the old address\n"
        "  3. FLUSHDB of Redis, then start web, workers and schedule: nothing is claimed\n"
        "  4. flask status; look at what is there; then recover, and case approve by another\n"
        "  5. flask verify; flask backup into a new folder; reconcile with every biller"
    )


def _instant(typed: str) -> datetime | None:
    """Raises click.BadParameter."""
    if typed == LATEST:
        return None
    form = "write it as 2026-11-27T14:05:00+03:00, or `latest`"
    try:
        instant = datetime.fromisoformat(typed)
    except ValueError as error:
        raise click.BadParameter(form) from error
    if instant.tzinfo is None:
        raise click.BadParameter(form)
    if instant > datetime.now(UTC):
        raise click.BadParameter("that instant has not come yet")
    return instant


COMMANDS = (backup, restore)
