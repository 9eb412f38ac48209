"""How commands speak: JSON for machines, aligned columns for people, one sentence on refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import click
from flask import current_app

from app.errors import DomainError
from app.markets import Market
from app.runtime import Runtime
from app.staff.timeline import Happening

P = ParamSpec("P")
R = TypeVar("R")


def runtime() -> Runtime:
    """The assembled parts of the app that this command runs in."""
    assembled: Runtime = current_app.extensions["kibanda"]
    return assembled


def as_json(value: object) -> str:
    def plain(other: object) -> object:
        if isinstance(other, datetime):
            return other.isoformat()
        if isinstance(other, UUID):
            return str(other)
        raise TypeError(f"{type(other).__name__} has no JSON form here")

    return json.dumps(value, default=plain, indent=2, ensure_ascii=False)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Columns padded to their widest cell, heads first."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(columns), *cells]
    ]
    return "\n".join(lines)


def happenings_table(happenings: Sequence[Happening], market: Market) -> str:
    """A timeline in the market's local time, with the money in its currency."""
    rows = [
        {
            "at": line.at.astimezone(market.zone).strftime("%Y-%m-%d %H:%M:%S"),
            "kind": line.kind,
            "total": "" if line.amount_minor is None else market.currency.format(line.amount_minor),
            "what": line.what,
        }
        for line in happenings
    ]
    return table(rows, ["at", "kind", "total", "what"])


def refusing(command: Callable[P, R]) -> Callable[P, R]:
    """A named refusal ends the command with exit code 1 and its name, not with a traceback."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except DomainError as error:
            facts = ", ".join(f"{name}={value}" for name, value in error.facts.items())
            raise click.ClickException(f"{error.code}{f' ({facts})' if facts else ''}") from error

    return guarded
