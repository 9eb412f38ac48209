"""`ussd check`: walks every menu without running it."""

from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from app.cli.output import runtime


@click.group("ussd")
def ussd() -> None:
    """The menus."""


@ussd.command("check")
@with_appcontext
def check() -> None:
    """Reachability, dead ends, translations, every screen's width; exit code 1 on a problem."""
    from app.ussd.check import check as check_book

    parts = runtime()
    problems = check_book(parts.engine.book, parts.market, parts.catalogues)
    for problem in problems:
        click.echo(str(problem))
    states, languages = len(parts.engine.book.states), len(parts.catalogues.languages)
    click.echo(f"{states} states in {languages} languages, {len(problems)} problems")
    sys.exit(1 if problems else 0)


COMMANDS = (ussd,)
