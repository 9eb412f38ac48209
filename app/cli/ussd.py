"""`ussd check`, `ussd graph`: what can be said of the menus without running them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import with_appcontext

from app.cli import funnel, transcript
from app.cli.output import runtime
from app.sms import receipts
from app.ussd.check import check as check_book
from app.ussd.graph import mermaid
from app.ussd.problems import REPAIRS

GRAPH_BEGINS, GRAPH_ENDS = "<!-- graph begins -->", "<!-- graph ends -->"


@click.group("ussd")
def ussd() -> None:
    """The menus."""


@ussd.command("check")
@with_appcontext
def check() -> None:
    """Ways, secrets, translations, every screen and SMS at its widest; exit code 1."""
    parts = runtime()
    books = parts.engine.books
    found = [
        (version, problem)
        for version, book in books.items()
        for problem in check_book(book, parts.market, parts.catalogues, besides=[*books.values()])
    ]
    problems = [
        *(
            f"{problem}" if len(books) == 1 else f"[{version}] {problem}"
            for version, problem in found
        ),
        *receipts.faults(parts.catalogues, parts.market),
    ]
    for line in problems:
        click.echo(line)
    for kind in dict.fromkeys(problem.kind for _, problem in found):
        click.echo(f"{kind}: {REPAIRS[kind]}")
    states, languages = len(parts.engine.book.states), len(parts.catalogues.languages)
    click.echo(f"{states} states in {languages} languages, {len(problems)} problems")
    sys.exit(1 if problems else 0)


@ussd.command("graph")
@click.option("--start", metavar="STATE", help="only what is reached from this state")
@click.option("--hops", type=click.IntRange(min=0), help="at most so many arrows away")
@click.option(
    "--write",
    "page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="put the graph between the markers of this page instead of printing it",
)
@with_appcontext
def graph(start: str | None, hops: int | None, page: Path | None) -> None:
    """The menus as a Mermaid flowchart."""
    parts = runtime()
    try:
        drawn = mermaid(parts.engine.book, parts.catalogues, start=start, hops=hops)
    except KeyError as error:
        raise click.BadParameter(f"no state is named {start!r}", param_hint="--start") from error
    if page is None:
        click.echo(drawn, nl=False)
    else:
        page.write_text(_between_markers(page.read_text(), drawn))


def _between_markers(text: str, drawn: str) -> str:
    before, begins, rest = text.partition(GRAPH_BEGINS)
    _, ends, after = rest.partition(GRAPH_ENDS)
    if not (begins and ends):
        raise click.ClickException(f"the page needs the lines {GRAPH_BEGINS} and {GRAPH_ENDS}")
    return f"{before}{begins}\n```mermaid\n{drawn}```\n{ends}{after}"


for of_ends in funnel.COMMANDS:
    ussd.add_command(of_ends)
ussd.add_command(transcript.transcript)
COMMANDS = (ussd,)
