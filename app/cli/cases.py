"""`case`: what one of the staff proposed, and the decision of another."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.cli.acting import acting
from app.cli.output import local, refusing, runtime, table
from app.markets import Market
from app.staff import cases, decisions
from app.staff.cases import Case
from app.wallet.references import written


@click.group("case")
def case() -> None:
    """What needs two people: one proposed it, another decides."""


@case.command("list")
@click.option("--all", "everything", is_flag=True, help="decided ones too, newest first")
@with_appcontext
@refusing
def show_all(*, everything: bool) -> None:
    """Cases that wait for a decision, oldest first."""
    parts = runtime()
    found = parts.db.transact(lambda session: cases.listed(session, open_only=not everything))
    rows = [
        {
            "case": one.reference,
            "kind": one.kind,
            "state": one.state,
            "proposed": local(one.proposed_at, parts.market),
            "by": one.maker,
            "about": _facts(one, parts.market),
        }
        for one in found
    ]
    columns = ["case", "kind", "state", "proposed", "by", "about"]
    click.echo(table(rows, columns) if rows else "no open cases")


@case.command("show")
@click.argument("reference")
@with_appcontext
@refusing
def show(reference: str) -> None:
    """One case: what it would do, on what evidence, and who decided."""
    parts = runtime()
    one = parts.db.transact(lambda session: cases.of_reference(session, reference))
    proposed = f"proposed by {one.maker}  {local(one.proposed_at, parts.market)}"
    lines = [
        f"{one.reference}  {one.kind}  {one.state}",
        _facts(one, parts.market),
        proposed,
        f"evidence: {one.evidence}",
    ]
    if one.decided_at:
        lines.append(
            f"{one.state} by {one.checker or one.maker}  {local(one.decided_at, parts.market)}"
        )
    if one.reason:
        lines.append(f"because: {one.reason}")
    click.echo("\n".join(lines))


@case.command("approve")
@click.argument("reference")
@with_appcontext
@refusing
def approve(reference: str) -> None:
    """Approve another's case; what it asks for is done at once."""
    parts = runtime()
    checker, now = acting(parts), datetime.now(UTC)

    def carry_out(session: Session, approved: Case) -> str:
        return decisions.carry_out(session, parts.market, approved, checker, now)

    done = parts.db.transact(
        lambda session: cases.approve(session, reference, checker, now, carry_out)
    )
    click.echo(f"{written(reference)}: approved; {done}")


@case.command("refuse")
@click.argument("reference")
@click.option("--why", required=True, help="what its maker should know")
@with_appcontext
@refusing
def refuse(reference: str, why: str) -> None:
    """Refuse another's case; nothing is done."""
    parts = runtime()
    checker = acting(parts)
    parts.db.transact(
        lambda session: cases.refuse(session, reference, checker, why, datetime.now(UTC))
    )
    click.echo(f"{written(reference)}: refused")


@case.command("withdraw")
@click.argument("reference")
@with_appcontext
@refusing
def withdraw(reference: str) -> None:
    """Take your own case back; nothing is done."""
    parts = runtime()
    maker = acting(parts)
    parts.db.transact(lambda session: cases.withdraw(session, reference, maker, datetime.now(UTC)))
    click.echo(f"{written(reference)}: withdrawn")


def _facts(one: Case, market: Market) -> str:
    """The facts in words, money in the market's currency."""
    return "  ".join(_fact(name, value, market) for name, value in sorted(one.facts.items()))


def _fact(name: str, value: object, market: Market) -> str:
    if name.endswith("_minor") and isinstance(value, int):
        return f"{name.removesuffix('_minor')}={market.currency.format(value)}"
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"


COMMANDS = (case,)
