"""`reconcile`: a biller's daily file beside what we captured, and what does not fit in it.

`reconcile FILE --biller X` takes a file; every other word is a command of its own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.billers.reconciliation import acting as actions
from app.billers.reconciliation import exceptions, runs
from app.billers.reconciliation.exceptions import Found
from app.billers.reconciliation.runs import Run
from app.cli.acting import acting, propose
from app.cli.output import local, refusing, runtime, table
from app.errors import DomainError
from app.markets import Market
from app.runtime import Runtime
from app.staff import biller_cases
from app.staff.accounts import Staff

DAY = click.DateTime(["%Y-%m-%d"])
EVIDENCE = "who said what, where, when"
COLUMNS = ["exception", "biller", "day", "age", "kind", "ours", "theirs", "payment", "state"]


class Files(click.Group):
    """What is no command of ours is a file to take."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if known or not args else ["file", *args])


def finance(parts: Runtime) -> Staff:
    """Who acts, with a role that may touch billers' money."""
    return acting(parts, "finance", "supervisor")


@click.group("reconcile", cls=Files)
def reconcile() -> None:
    """Compare a biller's daily file: `reconcile FILE --biller X`."""


@reconcile.command("file")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--biller", required=True, help="whose file it is")
@click.option("--day", type=DAY, help="the day it must be of; else its first line says")
@with_appcontext
@refusing
def take(file: Path, biller: str, day: datetime | None) -> None:
    """Take a biller's file: whole or not at all, a day once."""
    parts = runtime()
    maker = finance(parts)
    wanted = day.date() if day else None
    runs.described(parts.market, biller)
    try:
        size = file.stat().st_size
    except OSError as error:
        raise DomainError("report_unreadable", reason=error.strerror or str(error)) from error
    with click.progressbar(length=size, label=file.name) as bar:

        def work(session: Session) -> Run:
            return runs.take(
                session, parts.market, biller, file, day=wanted, maker=maker.name,
                now=datetime.now(UTC), progress=bar.update,
            )  # fmt: skip

        run = parts.db.transact(work)
    click.echo(_sentence(parts, run))


@reconcile.command("list")
@click.option("--biller", help="of this one only")
@with_appcontext
@refusing
def show_all(biller: str | None) -> None:
    """The newest files, and everything that waits for somebody, oldest first."""
    parts, now = runtime(), datetime.now(UTC)

    def work(session: Session) -> tuple[list[dict[str, object]], list[Found]]:
        exceptions.settle(session, now)
        found = [_run_row(session, run, parts.market) for run in runs.newest(session, biller)]
        return found, list(exceptions.open_ones(session, biller))

    files, waiting = parts.db.transact(work)
    columns = ["run", "biller", "day", "lines", "matched", "amount", "exceptions", "taken", "by"]
    click.echo(table(files, columns) if files else "no file was taken yet")
    click.echo("\n" + _waiting(waiting, parts.market, now))


@reconcile.command("show")
@click.argument("run")
@with_appcontext
@refusing
def show(run: str) -> None:
    """One file, and all of it that did not fit."""
    parts, now = runtime(), datetime.now(UTC)

    def work(session: Session) -> tuple[Run, list[Found]]:
        exceptions.settle(session, now)
        one = runs.of_reference(session, run)
        return one, list(exceptions.of_run(session, one))

    one, found = parts.db.transact(work)
    click.echo(_sentence(parts, one))
    click.echo(f"{one.file_name}  sha256 {one.sha256.hex()}  by {one.maker}")
    click.echo("\n" + _waiting(found, parts.market, now))
    for at, exception in found:
        if exception.note:
            click.echo(f"{exceptions.named(at, exception)}: claimed by {exception.claimed_by}:"
                       f" {exception.note}")  # fmt: skip


@reconcile.command("ask")
@click.argument("exception")
@with_appcontext
@refusing
def ask(exception: str) -> None:
    """Let the biller be asked about the payment again, now."""
    parts = runtime()
    finance(parts)
    reference = parts.db.transact(
        lambda session: actions.ask(session, exception, datetime.now(UTC))
    )
    click.echo(f"{reference}: the biller is asked now; `payment show {reference}` tells")


@reconcile.command("claim")
@click.argument("exception")
@click.option("--note", required=True, help="who was asked, where, when")
@with_appcontext
@refusing
def claim(exception: str, note: str) -> None:
    """Note that the biller was asked to account for it; it stays open."""
    parts = runtime()
    by = finance(parts)
    parts.db.transact(
        lambda session: actions.claim(
            session, exception, note=note, by=by.name, now=datetime.now(UTC)
        )
    )
    click.echo(f"{exception.upper()}: claimed; it stays open")


@reconcile.command("captured")
@click.argument("exception")
@click.option("--token", help="what was sold, where the biller sells tokens")
@click.option("--evidence", required=True, help=EVIDENCE)
@with_appcontext
@refusing
def captured(exception: str, token: str | None, evidence: str) -> None:
    """Propose that the biller sold it, as its file says."""
    parts = runtime()
    maker = finance(parts)
    reference = parts.db.transact(
        lambda session: actions.propose_captured(
            session, exception, token=token, evidence=evidence, maker=maker.name,
            now=datetime.now(UTC),
        )
    )  # fmt: skip
    _proposed(reference)


@reconcile.command("returned")
@click.argument("exception")
@click.option("--evidence", required=True, help=EVIDENCE)
@with_appcontext
@refusing
def returned(exception: str, evidence: str) -> None:
    """Propose that the biller never sold it: the amount waits in suspense."""
    parts = runtime()
    maker = finance(parts)
    reference = parts.db.transact(
        lambda session: actions.propose_returned(
            session, exception, evidence=evidence, maker=maker.name, now=datetime.now(UTC)
        )
    )
    _proposed(reference)


@reconcile.command("write-off")
@click.argument("exception")
@click.option("--evidence", required=True, help=EVIDENCE)
@with_appcontext
@refusing
def write_off(exception: str, evidence: str) -> None:
    """Propose to post what nobody will account for any more."""
    propose(
        "report_write_off",
        evidence,
        lambda session: biller_cases.about_write_off(session, exception),
    )


@reconcile.command("close")
@click.argument("exception")
@click.option("--evidence", required=True, help=EVIDENCE)
@with_appcontext
@refusing
def close(exception: str, evidence: str) -> None:
    """Propose that our books are right as they are; nothing moves."""
    propose(
        "report_close",
        evidence,
        lambda session: biller_cases.about_closing(session, exception),
    )


@reconcile.command("late-sale")
@click.argument("payment")
@click.option("--evidence", required=True, help=EVIDENCE)
@with_appcontext
@refusing
def late_sale(payment: str, evidence: str) -> None:
    """Propose that the operator bears a sale whose money had gone back."""
    propose(
        "late_sale",
        evidence,
        lambda session: biller_cases.about_late_sale(session, payment),
    )


def _proposed(reference: str) -> None:
    click.echo(f"{reference}: proposed; another person approves: `payment resolve approve"
               f" {reference}`")  # fmt: skip


def _sentence(parts: Runtime, run: Run) -> str:
    """One file in a sentence."""
    counts = parts.db.transact(lambda session: exceptions.counts(session, run))
    money = parts.market.currency.format
    rest = [f"{kind.replace('_', ' ')} {count}" for kind, count in sorted(counts.items())]
    return (
        f"{run.reference}: {run.biller} {run.day}: {run.lines} lines, {run.matched} matched"
        f" ({money(run.matched_minor)}); {', '.join(rest) or 'nothing else'}"
    )


def _run_row(session: Session, run: Run, market: Market) -> dict[str, object]:
    return {
        "run": run.reference,
        "biller": run.biller,
        "day": run.day,
        "lines": run.lines,
        "matched": run.matched,
        "amount": market.currency.format(run.matched_minor),
        "exceptions": sum(exceptions.counts(session, run).values()),
        "taken": local(run.made_at, market),
        "by": run.maker,
    }


def _waiting(found: list[Found], market: Market, now: datetime) -> str:
    today = now.astimezone(market.zone).date()
    rows = [_row(one, market, today) for one in found]
    shown = table(rows, COLUMNS) if rows else "no exceptions"
    if len(rows) == exceptions.AT_MOST:
        shown += f"\nThese are the oldest {exceptions.AT_MOST}; there may be more."
    return shown


def _row(found: Found, market: Market, today: date) -> dict[str, object]:
    run, one = found
    money = market.currency.format
    open_state = "claimed" if one.claimed_at else "open"
    return {
        "exception": exceptions.named(run, one),
        "biller": one.biller,
        "day": run.day,
        "age": f"{exceptions.age_days(run, today)} d",
        "kind": f"{one.kind.replace('_', ' ')}: {one.why.replace('_', ' ')}",
        "ours": "" if one.ours_minor is None else money(one.ours_minor),
        "theirs": "" if one.theirs_minor is None else money(one.theirs_minor),
        "payment": one.biller_ref,
        "state": open_state if one.state == "open" else one.outcome,
    }


COMMANDS = (reconcile,)
