"""L8: the command line, one file a subject. `register` hangs the commands on the Flask app."""

from __future__ import annotations

from flask import Flask

from app.cli import (
    agents,
    backup,
    billers,
    cases,
    database,
    money,
    payments,
    people,
    reconcile,
    recover,
    settlement,
    staff,
    stops,
    transfers,
    trust,
    ussd,
)


def register(app: Flask) -> None:
    for command in (
        *agents.COMMANDS,
        *backup.COMMANDS,
        *billers.COMMANDS,
        *cases.COMMANDS,
        *database.COMMANDS,
        *money.COMMANDS,
        *people.COMMANDS,
        *payments.COMMANDS,
        *reconcile.COMMANDS,
        *recover.COMMANDS,
        *settlement.COMMANDS,
        *staff.COMMANDS,
        *stops.COMMANDS,
        *transfers.COMMANDS,
        *trust.COMMANDS,
        *ussd.COMMANDS,
    ):
        app.cli.add_command(command)
