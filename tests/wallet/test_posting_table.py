"""The posting table of docs/wallet.md beside what the wallet posts when everything happens.

A life in which everything happens is played in the two demo markets, and in two more where the
sender pays every fee, or the receiver. What their databases hold is what the table says, both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from sqlalchemy import text

from app import markets
from app.db import Database
from app.markets.model import Market
from app.markets.tariffs import Operation
from app.wallet.transfers.offers import KINDS
from launcher.servers import Servers
from tests.wallet.machine import story
from tests.wallet.machine.life import Life
from tests.wallet.machine.market import small
from tests.wallet.machine.servers import database

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wallet.md").read_text()
TABLE = PAGE.split("<!-- posting table -->")[1].split("\n## ")[0]
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
PAIR = re.compile(r"(\w+) → (\w+)")
NAME = re.compile(r"`(\w+)`")
TAKEN_BACK = "reversal"
# A market, an amount that costs something there, and how rich its people begin.
LIVES: dict[str, tuple[Market, int, int]] = {
    "demo": (markets.load("demo"), 50_000, 10),
    "demo_id": (markets.load("demo_id"), 200_000, 30),
    "sender pays": (small("sender"), 20_000, 1),
    "receiver pays": (small("receiver"), 20_000, 1),
}
POSTED = text("""
    SELECT DISTINCT p.kind, split_part(d.kind, ':', 1), split_part(c.kind, ':', 1),
           coalesce(substring(p.authority FROM '^[a-z_]+:'), ''), o.kind
    FROM postings p
    JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
    JOIN accounts d ON d.id = m.debit
    JOIN accounts c ON c.id = m.credit
    LEFT JOIN postings o ON p.authority = 'posting:' || o.id
""")
NOT_TURNED_ROUND = text("""
    SELECT p.id FROM postings p
    JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
    WHERE p.kind = 'reversal' AND NOT EXISTS (
        SELECT FROM moves o
        WHERE 'posting:' || o.posting_id = p.authority
          AND (o.debit, o.credit) = (m.credit, m.debit) AND o.amount_minor >= m.amount_minor)
""")
CHECKED_KINDS = text(
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'transfers_kind_check'"
)


class Move(NamedTuple):
    """One sort of move that was seen, between kinds of accounts; `original` of a reversal."""

    kind: str
    debit: str
    credit: str
    allowed_by: str
    original: str | None


@dataclass(frozen=True)
class Seen:
    """What all lives came to."""

    moves: frozenset[Move]
    not_turned_round: list[int]
    checked_kinds: str


@pytest.fixture(scope="module")
def seen(servers: Servers, own_name: str) -> Seen:
    """Each life in a database of its own, where nothing else is posted."""
    moves: set[Move] = set()
    wrong: list[int] = []
    kinds = ""
    for market, unit, scale in LIVES.values():
        with database(servers, own_name) as db:
            play(db, market, unit, scale)
            moves |= {Move(*row) for row in db.transact(lambda s: s.execute(POSTED).all())}
            wrong += db.transact(lambda s: s.scalars(NOT_TURNED_ROUND).all())
            kinds = db.transact(lambda s: s.scalars(CHECKED_KINDS).one())
    return Seen(frozenset(moves), wrong, kinds)


def play(db: Database, market: Market, unit: int, scale: int) -> None:
    life = Life()
    life.db, life.market, life.scale = db, market, scale
    story.tell(life, unit)


def documented() -> dict[str, set[tuple[str, str]]]:
    return {kind: set(PAIR.findall(moves)) for kind, moves, _ in ROW.findall(TABLE)}


def test_every_move_is_in_the_table_and_every_one_of_the_table_happens(seen: Seen) -> None:
    moved: dict[str, set[tuple[str, str]]] = {}
    for move in seen.moves:
        moved.setdefault(move.kind, set()).add((move.debit, move.credit))
    del moved[TAKEN_BACK]
    table = documented()
    assert table.pop(TAKEN_BACK) == set()
    assert moved == table


def test_what_lets_money_out_of_the_house_is_in_the_table(seen: Seen) -> None:
    """A commission that takes nothing out of the house needs none."""
    allowed = {kind: cell.strip(" `–") for kind, _, cell in ROW.findall(TABLE)}
    used = {(move.kind, move.allowed_by) for move in seen.moves}
    assert used - {("commission", "")} == set(allowed.items())
    assert all(move.debit != "commission" or move.allowed_by for move in seen.moves)


def test_a_reversal_is_its_original_turned_round(seen: Seen) -> None:
    (cell,) = [moves for kind, moves, _ in ROW.findall(TABLE) if kind == TAKEN_BACK]
    assert {move.original for move in seen.moves if move.kind == TAKEN_BACK} == {
        *NAME.findall(cell)
    }
    assert seen.not_turned_round == []


def test_a_kind_of_transfer_is_one_of_the_table_and_of_the_database(seen: Seen) -> None:
    assert set(KINDS) <= set(documented())
    assert set(re.findall(r"'(\w+)'", seen.checked_kinds)) == set(KINDS)


@pytest.mark.parametrize("name", ["demo", "demo_id"])
def test_every_operation_has_a_price(name: str) -> None:
    assert set(markets.load(name).tariffs) == set(get_args(Operation))
