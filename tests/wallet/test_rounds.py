"""Ending what is due: broken rows stand in nobody's way, and a round has an end."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.wallet import rounds


class Rows:
    """Some rows that are due; the first of them cannot be ended."""

    def __init__(self, good: int, broken: Sequence[Exception]) -> None:
        self.broken = {uuid4(): error for error in broken}
        self.left = [*self.broken, *(uuid4() for _ in range(good))]

    def due(self, _session: Session, left_out: set[UUID], most: int) -> list[UUID]:
        return [row for row in self.left if row not in left_out][:most]

    def end(self, _session: Session, row: UUID) -> bool:
        if row in self.broken:
            raise self.broken[row]
        self.left.remove(row)
        return True


def test_a_page_of_broken_rows_does_not_starve_the_rest(
    ledger_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAGE", 2)
    rows = Rows(5, [ValueError("broken"), DomainError("person_suspended")])
    assert rounds.end_due(ledger_db, "row", rows.due, rows.end) == 5
    assert set(rows.left) == set(rows.broken)


def test_a_round_has_an_end(ledger_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 0.0)
    rows = Rows(3, [])
    assert rounds.end_due(ledger_db, "row", rows.due, rows.end) == 0
    assert len(rows.left) == 3
