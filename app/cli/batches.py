"""`billers files`: billers that are paid by file. What waits, what went out, what was answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.billers.batches import overview
from app.billers.batches.overview import Sent, Waiting
from app.cli.output import local, refusing, runtime, table
from app.errors import DomainError
from app.markets import Market

WAITING = ["biller", "payments", "total", "leaves at"]
SENT = ["batch", "lines", "total", "state", "age", "paid", "given back", "open"]


@click.command("files")
@click.option("--biller", "code", help="only this one")
@with_appcontext
@refusing
def files(code: str | None) -> None:
    """What is held for the next file of a biller, and what became of the last files."""
    parts, now = runtime(), datetime.now(UTC)
    billers = _billers(parts.market, code)

    def read(session: Session) -> tuple[list[Waiting], list[Sent]]:
        return overview.waiting(session, billers), overview.sent(session, billers, now)

    waiting, sent = parts.db.transact(read)
    click.echo(_waiting_table(waiting, parts.market) if waiting else "Nothing waits for a cut-off.")
    click.echo()
    click.echo(_sent_table(sent, parts.market, now) if sent else "No file is open or recent.")


def add_to(group: click.Group) -> None:
    """Hang the command on the group `billers`."""
    group.add_command(files)


def _billers(market: Market, code: str | None) -> list[str]:
    known = overview.by_file(market)
    if code is not None and code not in known:
        raise DomainError("biller_unknown", known=", ".join(known))
    return known if code is None else [code]


def _waiting_table(waiting: list[Waiting], market: Market) -> str:
    money = market.currency.format
    rows = [
        {
            "biller": one.biller,
            "payments": one.count,
            "total": money(one.total_minor),
            "leaves at": local(one.cut_off, market),
        }
        for one in waiting
    ]
    return table(rows, WAITING)


def _sent_table(sent: list[Sent], market: Market, now: datetime) -> str:
    money = market.currency.format
    rows = [
        {
            "batch": one.name,
            "lines": one.lines,
            "total": money(one.total_minor),
            "state": one.state,
            "age": _age(max(now - one.made_at, timedelta())),
            "paid": one.paid,
            "given back": one.given_back,
            "open": one.open_lines,
        }
        for one in sent
    ]
    return table(rows, SENT)


def _age(age: timedelta) -> str:
    hours, seconds = divmod(int(age.total_seconds()), 3600)
    return f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {seconds // 60} min"
