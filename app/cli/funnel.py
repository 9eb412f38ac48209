"""`ussd funnel`: where people stop. `ussd purge`: end events that nobody asks about any more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click
from flask.cli import with_appcontext

from app.cli.output import as_json, refusing, runtime, table
from app.ussd import ends
from app.ussd.funnel import BY, ROWS_MOST, STATUSES, Funnel, Question, Row, read

DAY = click.DateTime(formats=["%Y-%m-%d"])
PURGES_MOST = 1_000  # transactions of one command
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
COLUMNS = ("reached", "reached %", *STATUSES, "lost %", "")


class Span(click.ParamType[timedelta]):
    """`90m`, `24h`, `7d`."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9]\d{0,3})([mhd])", value)
        if found is None:
            self.fail(f"{value!r} is not of the form 90m, 24h or 7d", param, ctx)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


@click.command("funnel")
@click.option("--since", type=Span(), help="as long ago as 90m, 24h or 7d (default 24h)")
@click.option("--from", "first", type=DAY, help="from this local day of the market on")
@click.option("--to", "final", type=DAY, help="to this local day, itself included")
@click.option("--by", type=click.Choice(BY), default="state", help="one line a … (default state)")
@click.option("--menu", default="", help="sessions that reached this menu, such as bill")
@click.option("--state", default="", help="sessions that reached this state, such as bill.number")
@click.option("--language", default="", help="sessions in this language")
@click.option("--network", default="", help="sessions over this network code")
@click.option("--version", default="", help="sessions of this menu version")
@click.option("--json", "as_machine", is_flag=True, help="JSON instead of a table")
@with_appcontext
@refusing
def funnel(
    *,
    since: timedelta | None,
    first: datetime | None,
    final: datetime | None,
    as_machine: bool,
    **asked: Any,
) -> None:
    """Where people stop: sessions that ended, by the states that they reached and left at."""
    parts = runtime()
    question = Question(*_range(since, first, final), **asked)
    states = parts.engine.book.states
    found = parts.db.transact(lambda session: read(session, question, states))
    click.echo(as_json(_plain(question, found)) if as_machine else _report(question, found))


@click.command("purge")
@click.option("--before", type=DAY, required=True, help="a local day of the market")
@with_appcontext
@refusing
def purge(*, before: datetime) -> None:
    """Delete the end events that came before a local day, for good."""
    parts = runtime()
    instant = _midnight(before)
    deleted = 0
    for _ in range(PURGES_MOST):
        gone = parts.db.transact(lambda session: ends.purge(session, instant))
        deleted += gone
        if gone < ends.PURGED_MOST:
            break
    click.echo(f"{deleted} end events deleted")


def _range(
    since: timedelta | None, first: datetime | None, final: datetime | None
) -> tuple[datetime, datetime]:
    """The instants that the options mean, the second one not included."""
    now = datetime.now(UTC)
    if first is None:
        if final is not None:
            raise click.UsageError("--to needs --from")
        return now - (since or timedelta(hours=24)), now
    if since is not None:
        raise click.UsageError("--since and --from exclude each other")
    if final is not None and final < first:
        raise click.UsageError("--to is before --from")
    return _midnight(first), now if final is None else _midnight(final + timedelta(days=1))


def _midnight(day: datetime) -> datetime:
    return datetime.combine(day.date(), time(), runtime().market.zone)


def _plain(question: Question, found: Funnel) -> Mapping[str, object]:
    asked = asdict(question)
    return {
        "since": asked.pop("since"),
        "until": asked.pop("until"),
        "by": asked.pop("by"),
        "only": {name: value for name, value in asked.items() if value},
        **asdict(found),
    }


def _report(question: Question, found: Funnel) -> str:
    """Who ended how, one line each; for a menu its states as steps, too."""
    zone = runtime().market.zone
    since, until = (at.astimezone(zone) for at in (question.since, question.until))
    who = {
        "confirmed": found.committed,
        "registered": found.registered,
        "path unknown": found.without_path,
    }
    lines = [
        f"{found.all} sessions with an end event, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}",
        "  ".join(f"{status} {number}" for status, number in found.sessions.items()),
        "  ".join(f"{what} {number}" for what, number in who.items()),
    ]
    if found.cut:
        lines.append(f"There may be more: only the newest {ROWS_MOST} end events were read.")
    if question.menu and question.by == "state" and found.rows:
        lines += ["", _steps(found.rows)]
    if found.rows:
        lines += [
            "",
            table([_line(question.by, row) for row in found.rows], (question.by, *COLUMNS)),
        ]
    return "\n".join(lines)


def _line(by: str, row: Row) -> dict[str, object]:
    return {
        by: row.name,
        "reached": row.reached,
        "reached %": _rounded(row.reached_percent),
        **row.left,
        "lost %": _rounded(row.lost_percent),
        "": "◀ most lost" if row.most_lost else "",
    }


def _steps(rows: Sequence[Row]) -> str:
    """`bill.product 100 % → bill.number 92 %, …`; the last screens stand apart, in their order."""
    asking = " → ".join(_step(row) for row in rows if not row.last)
    last = ", ".join(_step(row) for row in rows if row.last)
    return "; ".join(part for part in (asking, last and f"last screens: {last}") if part)


def _step(row: Row) -> str:
    mark = f" (◀ most lost: {row.lost})" if row.most_lost else ""
    return f"{row.name} {_rounded(row.reached_percent)} %{mark}"


def _rounded(share: float) -> str:
    return f"{share:.0f}"


COMMANDS = (funnel, purge)
