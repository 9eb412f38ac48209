"""The lines of the trust bank's statement, and those that nobody has accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal, text
from sqlalchemy.orm import QueryableAttribute, Session

from app.errors import DomainError

UNMATCHED_AT_MOST = 500  # of one look; what is older comes first


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of the statement, or one that was entered by hand; negative went out of the bank."""

    id: str
    booked_on: date
    amount_minor: int
    currency: str
    maker: str
    reference: str
    text: str
    by_hand: bool
    posting_id: int | None


_LINES = """
    SELECT l.id, l.booked_on, l.amount_minor, l.currency, l.maker, coalesce(s.reference, ''),
           coalesce(s.text, ''), s.line_id IS NULL, l.posting_id
    FROM bank_lines l LEFT JOIN statement_lines s ON s.line_id = l.id"""


def get(session: Session, line_id: str) -> BankLine:
    """A line. Raises DomainError `line_unknown`."""
    found = _read(session, f"{_LINES} WHERE l.id = :id", {"id": line_id})
    if not found:
        raise DomainError("line_unknown")
    return found[0]


def unmatched(
    session: Session, currency: str, limit: int = UNMATCHED_AT_MOST
) -> Sequence[BankLine]:
    """The lines that nothing was posted for, oldest first."""
    query = (
        f"{_LINES} WHERE l.posting_id IS NULL AND l.currency = :currency"
        " ORDER BY l.booked_on, l.id LIMIT :limit"
    )
    return _read(session, query, {"currency": currency, "limit": limit})


def one_of(column: QueryableAttribute[str], words: Sequence[str]) -> ColumnElement[bool]:
    """The words of many lines, as one parameter: there may be more than a statement can have."""
    return column == any_(literal(list(words), ARRAY(Text)))


def _read(session: Session, query: str, parameters: dict[str, Any]) -> list[BankLine]:
    return [BankLine(*row) for row in session.execute(text(query), parameters)]
