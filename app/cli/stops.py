"""`stop`: money sent to a wrong number, and what staff propose to do about it."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.cli.acting import propose
from app.cli.output import happenings_table, local, refusing, runtime, table
from app.markets import Market
from app.staff import movements, stop_cases
from app.staff.movements import Movement
from app.staff.stop_cases import Decision
from app.wallet import people
from app.wallet.transfers import stops
from app.wallet.transfers.stops import StopView

LISTED_MOST = 200


@click.group("stop")
def stop() -> None:
    """Wrong numbers: who asks for money back; one proposes what to do, another approves."""


@stop.command("list")
@with_appcontext
@refusing
def show_all() -> None:
    """Stops that wait for a decision, the first to lapse first."""
    parts = runtime()
    found = parts.db.transact(lambda session: stops.undecided(session, LISTED_MOST))
    money = parts.market.currency.format
    rows = [
        {
            "stop": one.reference,
            "asked": local(one.asked_at, parts.market),
            "lapses": local(one.expires_at, parts.market),
            "transfer": f"{one.kind} {one.transfer_reference}",
            "amount": money(one.amount_minor),
            "set aside": money(one.held_minor),
        }
        for one in found
    ]
    columns = ["stop", "asked", "lapses", "transfer", "amount", "set aside"]
    click.echo(table(rows, columns) if rows else "no open stops")


@stop.command("show")
@click.argument("reference")
@with_appcontext
@refusing
def show(reference: str) -> None:
    """A stop, the transfer that it is about, and everything that happened to both."""
    parts = runtime()

    def read(session: Session) -> tuple[StopView, str, int, Movement]:
        one = stops.of_reference(session, reference)
        if one is None:
            raise movements.elsewhere(session, reference, "stop_unknown")
        asker = people.get(session, one.asked_by)
        return (
            one,
            f"{asker.name} {asker.msisdn}",
            stops.owed_minor(session, one.id),
            movements.find(session, one.transfer_reference),
        )

    one, asker, owed_minor, transfer = parts.db.transact(read)
    lines = [*_head(one, asker, owed_minor, parts.market), "", *_about(transfer, parts.market)]
    click.echo("\n".join(lines))
    click.echo("\n" + happenings_table(transfer.happenings, parts.market))


@stop.command("propose")
@click.argument("reference")
@click.option("--decision", required=True, type=click.Choice(["approve", "refuse"]))
@click.option(
    "--top-up",
    metavar="AMOUNT",
    default="0",
    help="out of the operator's own account, for what the payee has spent",
)
@click.option("--evidence", required=True, help="what both said, when; why the number was wrong")
@with_appcontext
@refusing
def propose_decision(reference: str, decision: Decision, top_up: str, evidence: str) -> None:
    """Propose to give the money back, or not; another person must approve either."""
    market = runtime().market
    top_up_minor = market.currency.parse(top_up)
    if top_up_minor and decision == "refuse":
        raise click.UsageError("--top-up goes with --decision approve")
    propose(
        "stop",
        evidence,
        lambda session: stop_cases.about_stop(session, market, reference, decision, top_up_minor),
    )


@stop.command("collect")
@click.argument("reference")
@click.option("--evidence", required=True, help="what was agreed with the payee, when")
@with_appcontext
@refusing
def collect(reference: str, evidence: str) -> None:
    """Propose to take a top-up from the payee, as far as they have it now."""
    propose(
        "stop_collect", evidence, lambda session: stop_cases.about_collection(session, reference)
    )


def _head(one: StopView, asker: str, owed_minor: int, market: Market) -> list[str]:
    money = market.currency.format
    lines = [
        f"{one.reference}  {one.state}  asked {local(one.asked_at, market)} by {asker}",
        f"set aside {money(one.held_minor)}  lapses {local(one.expires_at, market)}",
    ]
    if one.decided_at:
        by = f" by {one.decided_by}" if one.decided_by else ""
        lines.append(f"{one.state} {local(one.decided_at, market)}{by}")
    if one.state == "approved":
        lines.append(
            f"gave back {money(one.given_back_minor)}  top-up {money(one.top_up_minor)}"
            f"  not collected yet {money(owed_minor)}"
        )
    return lines


def _about(transfer: Movement, market: Market) -> list[str]:
    at, amount = local(transfer.at, market), market.currency.format(transfer.amount_minor)
    about = f"{transfer.reference}  {transfer.kind}  {transfer.state}  {at}  {amount}"
    return [about, *transfer.goes]


COMMANDS = (stop,)
