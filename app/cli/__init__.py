"""L8: the command line, one file a subject. `register` hangs the commands on the Flask app."""

from __future__ import annotations

from flask import Flask

from app.cli import database, money, payments, people, ussd


def register(app: Flask) -> None:
    for command in (
        *database.COMMANDS,
        *money.COMMANDS,
        *people.COMMANDS,
        *payments.COMMANDS,
        *ussd.COMMANDS,
    ):
        app.cli.add_command(command)
