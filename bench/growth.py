"""A small ledger beside a big one on the same server: posting, balance and a page of a statement.

The small one has 10,000 moves and 1,000 wallets, the big one a hundred times as many; a thousand
times as many are measured with

    BENCH_MOVES=10000000 .venv/bin/python -m bench growth

Both are a year old, in monthly partitions. They are filled by the set and not by `post_v1`, which
would take its time, so `verify` judges afterwards that they are what it would have made. Reads and
postings go the application's way, and take turns between the two.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import psycopg
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from bench.figures import Figure
from bench.ledger import open_purse
from launcher.servers import Servers, temporary_servers
from tests.servers import migrate

SMALL_MOVES, SMALL_ACCOUNTS = 10_000, 1_000
MOVES = int(os.environ.get("BENCH_MOVES", "1000000"))
ACCOUNTS = MOVES // 10
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
CALLS = 200  # of each kind in a round
DAYS, MONTHS = 360, 15
EACH_MINOR = 10**9
FLAT = 1.5  # a hundred times the rows are one or two levels more of a B-tree
STATEMENT_MS = 3_600_000
PAGE = 10

# Through the year the purse pays one wallet after the other out, a move in ten; another in ten goes
# to the house; and wallets that have something send to each other.
MADE = """
CREATE UNLOGGED TABLE made AS
SELECT i, debit, amount, id, posted_at, uuidv7(posted_at - now()) AS key,
       CASE WHEN debit = %(purse)s THEN %(first)s + i / %(step)s
            WHEN i %% %(step)s = 2 THEN %(fees)s
            ELSE %(first)s + (debit - %(first)s + 1 + (hashint8(i) & 2147483647)
                              %% (%(wallets)s - 1)) %% %(wallets)s
       END AS credit
FROM (SELECT i, nextval('posting_ids') AS id,
             CASE WHEN i %% %(step)s = 0 THEN %(purse)s
                  ELSE %(first)s + (hashint8(i * 31) & 2147483647) %% (i / %(step)s + 1)
             END AS debit,
             CASE WHEN i %% %(step)s = 0 THEN %(each)s ELSE 100 END::bigint AS amount,
             %(began)s::timestamptz + i * (%(days)s * interval '1 day' / %(moves)s) AS posted_at
      FROM generate_series(0, %(moves)s::bigint - 1) AS i) AS t
"""
# What each move left on each side of it that has a floor, as `post_v1` would have written it.
SIDES = """
CREATE UNLOGGED TABLE sides AS
SELECT i, account, debits, row_number() OVER w + (account = %(purse)s)::int AS seq,
       (sum(amount) OVER w)::bigint + CASE WHEN account = %(purse)s THEN %(paid_in)s ELSE 0 END
           AS balance
FROM (SELECT i, debit AS account, true AS debits, -amount AS amount FROM made
      UNION ALL SELECT i, credit, false, amount FROM made WHERE credit <> %(fees)s) AS t
WINDOW w AS (PARTITION BY account ORDER BY i)
"""
KEYS = """
INSERT INTO posting_keys (key, fingerprint, posting_id, recorded_at)
SELECT key, gen_random_uuid(), id, posted_at FROM made ORDER BY i
"""
POSTINGS = """
INSERT INTO postings (id, posted_at, key, kind, reference)
SELECT id, posted_at, key, 'send', 'bench' FROM made ORDER BY i
"""
MOVED = """
INSERT INTO moves (posting_id, posted_at, line, debit, credit, amount_minor, debit_seq,
                   debit_balance, credit_seq, credit_balance)
SELECT m.id, m.posted_at, 1, m.debit, m.credit, m.amount, d.seq, d.balance, c.seq, c.balance
FROM made m LEFT JOIN sides d ON d.i = m.i AND d.debits
LEFT JOIN sides c ON c.i = m.i AND NOT c.debits ORDER BY m.i
"""
WALLETS = """
UPDATE accounts a SET seq = s.seq, balance = s.balance
FROM (SELECT DISTINCT ON (account) account, seq, balance FROM sides ORDER BY account, seq DESC) s
WHERE a.id = s.account
"""
HOUSE = """
UPDATE accounts a SET balance = f.amount
FROM (SELECT credit, sum(amount)::bigint AS amount FROM made GROUP BY credit) f
WHERE a.id = f.credit AND a.house
"""
ROWS = (KEYS, POSTINGS, MOVED, WALLETS, HOUSE, "DROP TABLE made, sides")


@dataclass(frozen=True)
class Book:
    """A filled ledger; its wallets are the accounts from `first` to `last`."""

    db: Database
    first: int
    last: int
    purse: int
    fees: int

    def wallet(self) -> int:
        return random.randint(self.first, self.last)


def run() -> list[Figure]:
    """Milliseconds in the big ledger beside those in the small one."""
    with temporary_servers(redis=False) as servers:
        migrate(servers.url("kibanda_owner"))
        for name in ("small", "big"):
            servers.postgres.create_database(name, template="kibanda")
        with (
            book(servers, "small", SMALL_MOVES, SMALL_ACCOUNTS) as small,
            book(servers, "big", MOVES, ACCOUNTS) as big,
        ):
            figures = [_compare(what, small, big, call) for what, call in CALLED.items()]
            wrong = [found for one in (small, big) for found in one.db.transact(ledger.verify)]
    print(*wrong[:5], sep="\n", end="")
    return [*figures, Figure("what verify finds wrong in both", len(wrong), "", most=0, proof=True)]


def _post(session: Session, book: Book) -> None:
    debit, credit = random.sample(range(book.first, book.last + 1), 2)
    move = ledger.Move(debit, credit, 100)
    (answer,) = ledger.post(
        session, [ledger.Posting(new_key(), "send", (move,), "bench")], now=datetime.now(UTC)
    )
    assert answer.refusal is None, answer


def _balance(session: Session, book: Book) -> None:
    ledger.balance(session, book.wallet())


def _house_balance(session: Session, book: Book) -> None:
    ledger.balance(session, book.fees)


def _page(session: Session, book: Book) -> None:
    assert ledger.statement(session, book.wallet(), limit=PAGE)


def _busiest_page(session: Session, book: Book) -> None:
    """From the middle of the account that has as many moves as there are wallets."""
    middle = (book.last - book.first) // 2
    assert ledger.statement(session, book.purse, before_seq=middle, limit=PAGE)


def _house_page(session: Session, book: Book) -> None:
    until = datetime.now(UTC) - timedelta(days=DAYS // 2)
    assert ledger.house_statement(session, book.fees, until=until, limit=PAGE)


CALLED: dict[str, Callable[[Session, Book], None]] = {
    "posting": _post,
    "balance of a wallet": _balance,
    "balance of a house account": _house_balance,
    "statement page of a wallet": _page,
    "statement page amid the busiest account": _busiest_page,
    "statement page amid a house account": _house_page,
}
PAGES = (_page, _busiest_page, _house_page)


def _compare(what: str, small: Book, big: Book, call: Callable[[Session, Book], None]) -> Figure:
    """Medians of the rounds; the first round warms up."""
    seconds: dict[Book, list[float]] = {small: [], big: []}
    for turn in range(ROUNDS + 1):
        measured: dict[Book, list[float]] = {small: [], big: []}
        for _ in range(CALLS):
            for book, spent in measured.items():
                began = time.perf_counter()
                book.db.transact(lambda session, b=book: call(session, b))  # type: ignore[misc]
                spent.append(time.perf_counter() - began)
        if turn:
            for book, spent in measured.items():
                seconds[book].append(median(spent))
    few, many = (median(seconds[book]) * 1000 for book in (small, big))
    name = f"{what}, {MOVES:,} moves, {ACCOUNTS:,} wallets"
    beside = f"{SMALL_MOVES:,} and {SMALL_ACCOUNTS:,}: {few:.2f} ms"
    return Figure(name, many, "ms", beside, many / few, most=FLAT)


@contextmanager
def book(servers: Servers, name: str, moves: int, wallets: int) -> Iterator[Book]:
    """A database of that name, which is migrated and empty, filled with so many."""
    began = time.monotonic()
    database = Database(servers.url("kibanda_app", name), pool_size=1, statement_ms=STATEMENT_MS)
    try:
        with psycopg.connect(servers.url("postgres", name), autocommit=True) as line:
            filled = _fill(line, database, moves, wallets)
        print(f"{moves:,} moves in {time.monotonic() - began:.0f} s", flush=True)
        yield filled
    finally:
        database.dispose()


def _fill(line: psycopg.Connection, db: Database, moves: int, wallets: int) -> Book:
    line.execute("SET work_mem = '512MB'")
    began = datetime.now(UTC) - timedelta(days=DAYS)
    line.execute("SELECT make_partitions_v1(%s, %s)", (began.date(), MONTHS))
    made = line.execute(
        "WITH made AS (INSERT INTO accounts (kind, currency, owner_kind, owner_id)"
        " SELECT 'wallet', 'KES', 'person', gen_random_uuid() FROM generate_series(1, %s)"
        " RETURNING id) SELECT min(id), max(id) FROM made",
        (wallets,),
    ).fetchone()
    assert made is not None
    first, last = made
    paid_in = wallets * EACH_MINOR
    purse = db.transact(lambda session: open_purse(session, paid_in, began))
    fees = db.transact(lambda session: ledger.house_account(session, "fees", "KES"))
    facts = {
        "moves": moves, "wallets": wallets, "step": moves // wallets, "first": first,
        "purse": purse, "fees": fees, "each": EACH_MINOR, "paid_in": paid_in, "began": began,
        "days": DAYS,
    }  # fmt: skip
    # A table that is made cannot have parameters sent beside it.
    cursor = psycopg.ClientCursor(line)
    for statement in (MADE, SIDES):
        cursor.execute(statement, facts)
    line.execute("CREATE INDEX ON sides (i)")
    line.execute("ANALYZE made, sides")
    for statement in ROWS:
        line.execute(statement)
    line.execute("VACUUM ANALYZE")
    line.execute("CHECKPOINT")
    return Book(db, first, last, purse, fees)
