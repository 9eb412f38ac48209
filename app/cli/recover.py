"""`quarantine`, `recover` and `messages`: a restored database, from standstill back to work."""

from __future__ import annotations

from uuid import UUID

import click
from flask.cli import with_appcontext

from app import quarantine as standstill
from app.cli.acting import acting, propose
from app.cli.output import local, refusing, runtime, table
from app.errors import DomainError
from app.recovery import review
from app.staff import recovery_cases

SHOWN_MOST = 200
ALL_MOST = 1000  # of one command: what a person can have looked at


@click.command("quarantine")
@click.option("--why", required=True, help="what was restored, from when, and by whom")
@with_appcontext
@refusing
def quarantine(why: str) -> None:
    """Stop everything that moves money or sends, after a restore that other tools have made."""
    found = runtime().db.transact(lambda session: standstill.begin(session, why))
    click.echo(
        f"In quarantine since {local(found.since, runtime().market)}: {found.why}\n"
        "Nothing is claimed and no money moves until `recover` is proposed and approved."
    )


@click.command("recover")
@click.option("--evidence", required=True, help="how you know that this restore is the right one")
@with_appcontext
@refusing
def recover(evidence: str) -> None:
    """Propose to end the quarantine; `case approve` by another marks what is in doubt."""
    propose("recover", evidence, recovery_cases.about_recovery)


@click.group("messages")
def messages() -> None:
    """SMS of a restored database, of which nobody knows whether they have gone."""


@messages.command("review")
@click.option("--kind", help="only of this kind")
@with_appcontext
@refusing
def show(kind: str | None) -> None:
    """What waits for somebody to send or drop it, oldest first."""
    parts = runtime()
    found = parts.db.transact(lambda s: review.waiting(s, kind=kind, most=SHOWN_MOST))
    rows = [
        {
            "message": one.id,
            "kind": one.kind,
            "written": local(one.created_at, parts.market),
            "tries": one.attempts,
        }
        for one in found
    ]
    columns = ["message", "kind", "written", "tries"]
    click.echo(table(rows, columns) if rows else "no message waits for review")


def _chosen(command: str, ids: tuple[UUID, ...], kind: str | None) -> list[UUID]:
    """The messages named, or up to ALL_MOST of a kind. Raises DomainError `messages_missing`."""
    if bool(ids) == bool(kind):
        raise DomainError("messages_missing", command=command)
    if not kind:
        return list(ids)
    found = runtime().db.transact(lambda s: review.waiting(s, kind=kind, most=ALL_MOST))
    return [one.id for one in found]


@messages.command("send")
@click.argument("ids", metavar="[MESSAGE]...", nargs=-1, type=UUID)
@click.option("--kind", help="all of this kind instead")
@with_appcontext
@refusing
def send(ids: tuple[UUID, ...], kind: str | None) -> None:
    """Let messages go that were in doubt; who had them already gets them twice."""
    parts = runtime()
    acting(parts, "support", "supervisor")
    chosen = _chosen("send", ids, kind)
    done = parts.db.transact(lambda session: review.send(session, chosen))
    click.echo(f"{done} messages go out")


@messages.command("drop")
@click.argument("ids", metavar="[MESSAGE]...", nargs=-1, type=UUID)
@click.option("--kind", help="all of this kind instead")
@with_appcontext
@refusing
def drop(ids: tuple[UUID, ...], kind: str | None) -> None:
    """Never send messages that were in doubt."""
    parts = runtime()
    acting(parts, "support", "supervisor")
    chosen = _chosen("drop", ids, kind)
    done = parts.db.transact(lambda session: review.drop(session, chosen))
    click.echo(f"{done} messages are not sent")


COMMANDS = (quarantine, recover, messages)
