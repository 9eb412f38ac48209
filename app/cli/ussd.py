"""`ussd check`: walks every menu, and every receipt, without running it."""

from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from app.cli.output import runtime
from app.sms import receipts
from app.ussd.check import check as check_book


@click.group("ussd")
def ussd() -> None:
    """The menus."""


@ussd.command("check")
@with_appcontext
def check() -> None:
    """Reachability, dead ends, translations, every screen and SMS at its widest; exit code 1."""
    parts = runtime()
    problems = [
        *map(str, check_book(parts.engine.book, parts.market, parts.catalogues)),
        *map(str, receipts.faults(parts.catalogues, parts.market)),
    ]
    for problem in problems:
        click.echo(problem)
    states, languages = len(parts.engine.book.states), len(parts.catalogues.languages)
    click.echo(f"{states} states in {languages} languages, {len(problems)} problems")
    sys.exit(1 if problems else 0)


COMMANDS = (ussd,)
