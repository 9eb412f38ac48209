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
from app.health import Unfit
from app.markets import Market
from app.runtime import Runtime
from app.staff.timeline import Happening

# What a refusal means to staff, and what they can do next.
SENTENCES = {
    "biller_unknown": "The market has no such biller; it has {known}.",
    "database_away": "PostgreSQL does not answer at DATABASE_URL; nothing was changed.",
    "evidence_missing": "Say what the biller said, where and when: {least} to {most} characters.",
    "msisdn_invalid": "This is no telephone number. Write it with + and country, or as dialled.",
    "outcome_unknown": "It is not known whether this was done: look before you try again.",
    "payment_unknown": "No payment has this reference. `person show` lists those of a person.",
    "person_unknown": "Nobody is registered with {msisdn}.",
    "proposal_missing": "There is no open proposal; somebody must propose first.",
    "proposal_open": "There is an open proposal already: approve it or withdraw it.",
    "resolution_does_not_fit": "A payment that is {state} cannot be decided as {decision}.",
    "same_person": "Who proposes may not approve; ask somebody else.",
    "staff_name_missing": "Say who you are: --as needs a name.",
    "token_invalid": "A sale has a token of 20 digits; without a sale there is none.",
}

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


class CannotAsk(click.ClickException):
    """The system could not be asked: no answer is not an answer, so not exit code 1."""

    exit_code = 2


def refusing(command: Callable[P, R]) -> Callable[P, R]:
    """A named refusal ends the command with exit code 1 and a sentence, not with a traceback; a
    database that is away, or no place for us to be, with exit code 2.
    """

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Unfit as error:
            raise CannotAsk(str(error)) from error
        except DomainError as error:
            kind = CannotAsk if error.retryable else click.ClickException
            raise kind(_sentence(error)) from error

    return guarded


def _sentence(error: DomainError) -> str:
    sentence = SENTENCES.get(error.code)
    if sentence is None:
        facts = ", ".join(f"{name}={value}" for name, value in error.facts.items())
        return f"{error.code}{f' ({facts})' if facts else ''}"
    return f"{error.code}: {sentence.format(**error.facts)}"
