"""How the wallet calls its functions in the database: prepared, on the session's own connection.

Through psycopg such a call is about twice as quick as through SQLAlchemy Core, and it stays in the
same transaction. Arrays of numbers and keys travel as PostgreSQL's array text: one type however
large the numbers are, hence one prepared statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from sqlalchemy.orm import Session

from app.db import driver


def call(session: Session, statement: str, parameters: Sequence[object]) -> tuple[Any, ...]:
    """The one row of a posting function. Raises as SQLAlchemy does, so `transact` can retry."""
    connection = driver(session)
    try:
        row: tuple[Any, ...] | None = connection.execute(
            statement, parameters, prepare=True
        ).fetchone()
    except psycopg.Error as error:
        _raise_as_sqlalchemy(session, statement, error)
    assert row is not None
    return row


def rows(
    session: Session, statement: str, parameters: Sequence[object] | Mapping[str, object] | None
) -> list[tuple[Any, ...]]:
    """All rows of a reading query, which bounds itself. Without parameters a % is a %."""
    connection = driver(session)
    try:
        return connection.execute(statement, parameters, prepare=True).fetchall()
    except psycopg.Error as error:
        _raise_as_sqlalchemy(session, statement, error)


def array(values: Iterable[int | UUID | str]) -> str:
    """Array text of numbers or keys."""
    return f"{{{','.join(map(str, values))}}}"


def nullable_array(values: Sequence[UUID | None]) -> str | None:
    """Array text of keys of which some are missing; None when all are."""
    if not any(values):
        return None
    return array("NULL" if value is None else value for value in values)


def _raise_as_sqlalchemy(session: Session, statement: str, error: psycopg.Error) -> NoReturn:
    """SQLAlchemy's own way with a driver's error: wrapped, and a lost connection takes with it
    every one of the pool that is as old, so that the next try gets a new one.
    """
    session.connection()._handle_dbapi_exception(error, statement, None, None, None)  # noqa: SLF001
