"""Files of the bank's statement come in: each whole or not at all, after the one before, once.

A file is read twice. First it is checked to its end, before anything is asked of the database; then
it is read again into tables, in one transaction. Memory holds one block of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.patience import take_time
from app.wallet.calls import array, call
from app.wallet.keys import new_key, period_key
from app.wallet.trust.statement_file import FileLine, StatementFile, Summary, refused

BLOCK_LINES = 2_000
IMPORT_SECONDS = 15 * 60
NAME_CHARS_MOST = 255

OPEN = """SELECT o_refusal, o_expected FROM open_statement_v1(
    %s, %s, %s, %s, %s, %s::bigint, %s::bigint, %s::int, %s, %s, %s)"""
ADD = """SELECT o_line, o_refusal FROM add_statement_lines_v1(
    %s, %s::int[], %s::text[], %s::uuid[], %s::bigint[], %s::date[], %s::text[], %s::text[],
    %s::bigint[])"""
LAST = """
    SELECT id, file_name, currency, opening_minor, closing_minor, lines, maker, imported_at
    FROM bank_statements s WHERE currency = :currency
      AND NOT EXISTS (SELECT FROM bank_statements n WHERE n.previous_id = s.id)"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One file of the bank's statement; balances are the bank's, in minor units."""

    id: UUID
    file_name: str
    currency: str
    opening_minor: int
    closing_minor: int
    lines: int
    maker: str
    imported_at: datetime


def last(session: Session, currency: str) -> Statement | None:
    """The newest file of a currency, or None before the first."""
    row = session.execute(text(LAST), {"currency": currency}).first()
    return Statement(*row) if row else None


def import_file(
    session: Session, market: Market, path: Path, *, maker: str, now: datetime
) -> Statement:
    """Enter a file of the bank's statement; its lines wait to be matched.

    Raises DomainError `statement_refused` with `line` and `reason`; `statement_known`;
    `statement_gap` with `line`, `expected`, `found`; `statement_line_known` and
    `statement_line_differs` with `line`, `id`; `statement_changed` (somebody writes into it);
    `statement_unreadable` with `reason`. Then nothing came in.
    """
    today = now.astimezone(market.zone).date()
    take_time(IMPORT_SECONDS)
    try:
        with path.open("rb") as file:
            summary = StatementFile(file, market.currency, today).summary()
            file.seek(0)
            statement_id = _open(session, market, path.name, summary, maker, now)
            _add_lines(session, StatementFile(file, market.currency, today), statement_id, summary)
    except OSError as error:
        raise DomainError("statement_unreadable", reason=error.strerror or str(error)) from error
    statement = last(session, market.currency.code)
    assert statement
    return statement


def _open(
    session: Session, market: Market, name: str, summary: Summary, maker: str, now: datetime
) -> UUID:
    statement_id, currency = new_key(), market.currency
    opening_key = _line_key(f"opening-{currency.code}", summary.first_on)
    parameters = (
        now, statement_id, summary.sha256, _shown(name), currency.code, summary.opening_minor,
        summary.closing_minor, summary.lines, summary.first_on, opening_key, maker,
    )  # fmt: skip
    refusal, expected_minor = call(session, OPEN, parameters)
    if refusal == "statement_gap":
        raise DomainError(
            refusal,
            line=2,
            expected=currency.format(expected_minor),
            found=currency.format(summary.opening_minor),
        )
    if refusal:
        raise DomainError(refusal)
    return statement_id


def _add_lines(
    session: Session, reading: StatementFile, statement_id: UUID, summary: Summary
) -> None:
    for block in _blocks(reading.lines()):
        _refuse_twins(block)
        refused_id, refusal = call(session, ADD, _columns(statement_id, block))
        if refusal:
            position = next(line.position for line in block if line.id == refused_id)
            raise DomainError(f"statement_{refusal}", line=position, id=refused_id)
    if reading.sha256 != summary.sha256:
        raise DomainError("statement_changed")


def _blocks(lines: Iterator[FileLine]) -> Iterator[list[FileLine]]:
    while block := list(islice(lines, BLOCK_LINES)):
        yield block


def _refuse_twins(block: Sequence[FileLine]) -> None:
    """A second line of one id; in another block the database says so."""
    seen: set[str] = set()
    for line in block:
        if line.id in seen:
            raise refused(line.position, f"id {line.id} stands in this file before")
        seen.add(line.id)


def _columns(statement_id: UUID, block: Sequence[FileLine]) -> tuple[object, ...]:
    return (
        statement_id,
        array(line.position for line in block),
        [line.id for line in block],
        array(_line_key(line.id, line.booked_on) for line in block),
        array(line.amount_minor for line in block),
        [line.booked_on for line in block],
        [line.reference for line in block],
        [line.text for line in block],
        array(line.balance_minor for line in block),
    )


def _line_key(line_id: str, booked_on: date) -> UUID:
    """As `ledger.record_bank_line` makes it, so that one line has one key however it came in."""
    return period_key("bank_line", line_id, datetime.combine(booked_on, time(), UTC))


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)[:NAME_CHARS_MOST]
