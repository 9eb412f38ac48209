"""A number that the database keeps in 64 bits is bound as 64 bits."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, text

import app.factory  # noqa: F401 - maps every table
from app.db import Base, Database


def test_no_mapped_column_is_narrower_than_its_own(ledger_db: Database) -> None:
    query = text(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'bigint'"
    )
    wide = {tuple(row) for row in ledger_db.transact(lambda session: list(session.execute(query)))}
    mapped = {
        (table.name, column.name): column.type
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Integer)
    }
    narrow = [at for at in mapped if at in wide and not isinstance(mapped[at], BigInteger)]
    assert len(wide & mapped.keys()) > 30
    assert narrow == []
