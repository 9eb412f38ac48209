"""`settlement`: what each day owes a biller, and paying it through the bank.

An order is a case; the bank's own line says that it left, and only then anything is posted.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import quarantine
from app.cli.acting import propose
from app.cli.output import refusing, runtime, table
from app.cli.reconcile import DAY, finance
from app.errors import DomainError
from app.staff import biller_cases
from app.wallet.trust import matching, orders, pain001
from app.wallet.trust.matching import Proposal
from app.wallet.trust.orders import DueDay, SettlementOrder


@click.group("settlement")
def settlement() -> None:
    """Paying billers what their days come to."""


@settlement.command("due")
@click.option("--biller", help="of this one only")
@click.option("--days", default=31, show_default=True, help="how far to look back")
@click.option("--all", "everything", is_flag=True, help="days that are ordered or paid too")
@with_appcontext
@refusing
def due(biller: str | None, days: int, *, everything: bool) -> None:
    """What each day owes a biller: captures, less what was taken back and written off."""
    parts, now = runtime(), datetime.now(UTC)
    if biller is not None and biller not in parts.market.billers:
        raise DomainError("biller_unknown", known=", ".join(sorted(parts.market.billers)))
    chosen = [biller] if biller else sorted(parts.market.billers)

    def work(session: Session) -> list[tuple[DueDay, str]]:
        found = [
            one for code in chosen for one in orders.due(session, parts.market, code, now, days)
        ]
        known = [one.order for one in found if one.order]
        states = {one.reference: one.state for one in orders.of_references(session, known)}
        return [(one, states.get(one.order or "", "")) for one in found]

    money = parts.market.currency.format
    rows = [
        {
            "biller": one.biller,
            "day": one.day,
            "owed": money(one.owed_minor),
            "less": money(one.less_minor),
            "net": money(one.net_minor),
            "order": f"{one.order} {state}" if one.order else "",
        }
        for one, state in parts.db.transact(work)
        if everything or not one.order
    ]
    columns = ["biller", "day", "owed", "less", "net", "order"]
    click.echo(table(rows, columns) if rows else "nothing is due")


@settlement.command("order")
@click.option("--biller", required=True)
@click.option("--day", type=DAY, required=True, help="a day that is over")
@click.option("--evidence", default="net payable of the day", show_default=True)
@with_appcontext
@refusing
def order(biller: str, day: datetime, evidence: str) -> None:
    """Propose to pay a biller for a day; its approval makes the order."""
    market = runtime().market
    propose(
        "settlement_order",
        evidence,
        lambda session: biller_cases.about_order(
            session, market, biller, day.date(), datetime.now(UTC)
        ),
    )


@settlement.command("file")
@click.argument("references", metavar="ORDER...", nargs=-1, required=True)
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=Path())
@with_appcontext
@refusing
def write_file(references: tuple[str, ...], to: Path) -> None:
    """Write orders for the bank: ISO 20022 pain.001. The same again writes the same."""
    parts = runtime()
    finance(parts)
    parts.db.transact(quarantine.refuse)
    found = parts.db.transact(
        lambda session: [orders.of_reference(session, one) for one in dict.fromkeys(references)]
    )
    _refuse_unfit(found)
    execute_on = max(one.made_at for one in found).astimezone(parts.market.zone).date()
    content = pain001.document(found, parts.market.currency, execute_on)
    path = to / f"pain001-{pain001.message_id(found)}.xml"
    _write(path, content)
    total = parts.market.currency.format(sum(one.amount_minor for one in found))
    click.echo(f"{path}: {len(found)} orders, {total}")


@settlement.command("confirm")
@click.argument("reference", metavar="ORDER")
@click.option("--bank-line", "line", required=True, help="the line of the statement that paid it")
@with_appcontext
@refusing
def confirm(reference: str, line: str) -> None:
    """Agree that a line of the bank's statement is this order; it is posted.

    `trust assign LINE --reference ORDER` says so of a line that does not name it.
    """
    parts = runtime()
    checker = finance(parts)

    def look(session: Session) -> Proposal:
        wanted = orders.of_reference(session, reference)
        shown = matching.proposal(session, line)
        if shown.target is not None and shown.target.order_id != wanted.id:
            raise DomainError("line_does_not_fit", reason=f"it is for {shown.target.reference}")
        return shown

    shown = parts.db.transact(look)
    done = parts.db.transact(
        lambda session: matching.confirm(
            session, parts.market, shown, checker=checker.name, now=datetime.now(UTC)
        ),
        idempotent=True,
    )
    click.echo(f"{line}: {done.kind} {done.reference}, {done.payee.name}")


@settlement.command("cancel")
@click.argument("reference", metavar="ORDER")
@click.option("--evidence", required=True, help="what the bank said, where, when, to whom")
@with_appcontext
@refusing
def cancel(reference: str, evidence: str) -> None:
    """Propose that the bank will not carry an order out; its days can then be ordered again."""
    propose(
        "settlement_cancel",
        evidence,
        lambda session: biller_cases.about_order_of(session, reference),
    )


@settlement.command("list")
@with_appcontext
@refusing
def show_all() -> None:
    """Orders that have not left the bank yet, oldest first."""
    parts = runtime()
    found = parts.db.transact(lambda session: orders.on_way(session, parts.market.currency.code))
    rows = [
        {
            "order": one.reference,
            "biller": one.biller,
            "amount": parts.market.currency.format(one.amount_minor),
            "made": one.made_at.astimezone(parts.market.zone).strftime("%Y-%m-%d %H:%M"),
            "by": f"{one.maker}, {one.checker}",
        }
        for one in found
    ]
    columns = ["order", "biller", "amount", "made", "by"]
    click.echo(table(rows, columns) if rows else "no orders on their way")


def _refuse_unfit(found: list[SettlementOrder]) -> None:
    for one in found:
        if one.state != "ordered":
            raise DomainError("order_state", state=one.state)
        if one.debtor != found[0].debtor:
            raise click.UsageError("these orders are paid from different accounts")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a bank may look into the folder at any moment."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise DomainError("order_unwritable", reason=error.strerror or str(error)) from error


COMMANDS = (settlement,)
