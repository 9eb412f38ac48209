"""`person`: where is my money, on one screen; and proposals about a person."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli.acting import propose
from app.cli.output import happenings_table, refusing, runtime
from app.errors import DomainError
from app.staff import decisions, timeline
from app.staff.timeline import Happening
from app.wallet import ledger, people
from app.wallet.ledger import Balance
from app.wallet.people import Person


@click.group("person")
def person() -> None:
    """One person: what happened, and what staff propose."""


@person.command("show")
@click.argument("msisdn")
@with_appcontext
@refusing
def show(msisdn: str) -> None:
    """Balance, holds, payments, SMS and sessions of a person in one timeline."""
    parts = runtime()
    number = numbers.parse(msisdn, parts.market.region)

    def read(session: Session) -> tuple[Person, Balance, list[Happening]]:
        found = people.find(session, number)
        if found is None:
            raise DomainError("person_unknown", msisdn=number)
        return (
            found,
            ledger.balance(session, found.wallet_id),
            timeline.of_person(session, found.id, number),
        )

    who, balance, happenings = parts.db.transact(read)
    money = parts.market.currency.format
    click.echo(f"{who.name}  {who.msisdn}  {who.role}  {who.state}  {who.language}  {who.tier}")
    click.echo(f"available {money(balance.available_minor)}  held {money(balance.held_minor)}\n")
    click.echo(happenings_table(happenings, parts.market))


@person.command("suspend")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="what happened, where, when, who said so")
@with_appcontext
@refusing
def suspend(msisdn: str, evidence: str) -> None:
    """Propose that a person moves no money until they are resumed."""
    _propose("person_suspend", msisdn, evidence)


@person.command("resume")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="what was settled, where, when, by whom")
@with_appcontext
@refusing
def resume(msisdn: str, evidence: str) -> None:
    """Propose that a suspended person may move money again."""
    _propose("person_resume", msisdn, evidence)


def _propose(kind: str, msisdn: str, evidence: str) -> None:
    number = numbers.parse(msisdn, runtime().market.region)
    propose(kind, evidence, lambda session: decisions.about_person(session, kind, number))


COMMANDS = (person,)
