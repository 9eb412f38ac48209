"""`transfer`: one movement of money by its reference."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.cli.output import happenings_table, local, refusing, runtime
from app.markets import Market
from app.staff import movements
from app.staff.movements import Movement


@click.group("transfer")
def transfer() -> None:
    """What was sent, paid in or out, moved: by the reference of its SMS."""


@transfer.command("show")
@click.argument("reference")
@with_appcontext
@refusing
def show(reference: str) -> None:
    """A transfer, a withdrawal by code, or a deposit: between whom, and what became of it."""
    parts = runtime()
    found = parts.db.transact(lambda session: movements.find(session, reference))
    click.echo(_head(found, parts.market))
    if found.happenings:
        click.echo("\n" + happenings_table(found.happenings, parts.market))


def _head(found: Movement, market: Market) -> str:
    money = market.currency.format
    amount, fee = money(found.amount_minor), money(found.fee_minor)
    lines = [
        f"{found.reference}  {found.kind}  {found.state}  {local(found.at, market)}",
        *found.goes,
        f"amount {amount}  fee {fee}  total {money(found.total_minor)}",
    ]
    if found.taken_back_minor is not None:
        lines.append(f"taken back {money(found.taken_back_minor)}")
    if found.until:
        lines.append(f"open until {local(found.until, market)}")
    return "\n".join(lines)


COMMANDS = (transfer,)
