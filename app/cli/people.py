"""`person show MSISDN`: where is my money, on one screen."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli.output import happenings_table, refusing, runtime
from app.errors import DomainError
from app.staff import timeline
from app.staff.timeline import Happening
from app.wallet import ledger, people
from app.wallet.ledger import Balance
from app.wallet.people import Person


@click.group("person")
def person() -> None:
    """Questions about one person."""


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


COMMANDS = (person,)
