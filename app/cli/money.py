"""`trial-balance`, `verify` and `status`: is every unit where it should be, and is work done."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from app.cli.output import as_json, local, refusing, runtime, table
from app.staff.status import read_status
from app.wallet.sprays import WrongPins
from app.wallet.verify import trial_balance as trial_balance_of
from app.wallet.verify import verify as findings_of


@click.command("trial-balance")
@with_appcontext
@refusing
def trial_balance() -> None:
    """Balances by kind and currency as JSON; exit code 1 when anything is off by one unit."""
    lines = runtime().db.transact(trial_balance_of)
    off: dict[str, int] = {}
    for line in lines:
        off[line.currency] = off.get(line.currency, 0) + line.balance_minor
    balanced = not any(off.values())
    report = {"balanced": balanced, "off_by_minor": off, "lines": [asdict(line) for line in lines]}
    click.echo(as_json(report))
    sys.exit(0 if balanced else 1)


@click.command("verify")
@with_appcontext
@refusing
def verify() -> None:
    """Every rule of the ledger, balances against a replay; exit code 1 on a finding."""
    findings = runtime().db.transact(findings_of)
    for finding in findings:
        click.echo(f"{finding.rule}: {finding.subject}: {finding.detail}")
    click.echo(f"{len(findings)} findings")
    sys.exit(1 if findings else 0)


@click.command("status")
@click.option("--json", "as_machine", is_flag=True, help="JSON instead of a table")
@with_appcontext
@refusing
def show_status(*, as_machine: bool) -> None:
    """Oldest due row a queue, open payments and messages, billers, heartbeats."""
    now = runtime().db.transact(read_status)
    if as_machine:
        click.echo(as_json(asdict(now)))
        return
    if now.quarantine:
        since = local(now.quarantine.since, runtime().market)
        click.echo(
            f"QUARANTINE since {since}: {now.quarantine.why}\n"
            "Nothing is claimed and no money moves until `recover` is approved.\n"
        )
    if now.asynchronous_standbys:
        click.echo(
            f"{now.asynchronous_standbys} asynchronous standbys: a failover to one may forget what "
            "people were told (docs/runbook.md, Failover).\n"
        )
    due = [{"queue": q, "oldest due": f"{s:.1f} s"} for q, s in now.oldest_due_seconds.items()]
    click.echo(table(due, ["queue", "oldest due"]))
    for title, counts in (("payments", now.open_payments), ("messages", now.open_messages)):
        rows = [{title: state, "count": count} for state, count in counts.items()]
        click.echo("\n" + (table(rows, [title, "count"]) if rows else f"no open {title}"))
    currency = runtime().market.currency
    billers = [
        {
            "biller": biller.code,
            "takes payments": "paused" if biller.paused else "yes",
            "breaker": "open" if biller.breaker_open else "closed",
            "deposit": "not told yet"
            if biller.deposit_minor is None
            else currency.format(biller.deposit_minor),
        }
        for biller in now.billers
    ]
    click.echo("\n" + table(billers, ["biller", "takes payments", "breaker", "deposit"]))
    click.echo("\n" + table(now.heartbeats, ["queue", "name", "age"]))
    click.echo("\n" + _wrong_pins(now.wrong_pins, runtime().settings.pin_spray_people))


def _wrong_pins(wrong: WrongPins, most: int) -> str:
    said = f"people whose last PIN within ten minutes was wrong: {wrong.people}"
    if wrong.people < most:
        return said
    return f"{said} in {wrong.tries} tries: PINS ARE SPRAYED; see the runbook, Floods"


COMMANDS = (trial_balance, verify, show_status)
