"""A transaction that begins with a call of the ledger meets a lost connection as any other does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import TRIES, Database
from app.wallet.calls import rows

STALE = TRIES + 2


def test_more_stale_connections_than_tries(database_url: str) -> None:
    """After a restart of PostgreSQL the whole pool is stale; one failure must tell of all."""
    db = Database(database_url, pool_size=STALE)
    together = Barrier(STALE)

    def pid(session: Session) -> int:
        found = int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
        together.wait(10)
        return found

    with ThreadPoolExecutor(STALE) as pool:
        pids = [asked.result() for asked in [pool.submit(db.transact, pid) for _ in range(STALE)]]
    assert len(set(pids)) == STALE
    other = Database(database_url, pool_size=1)
    end = text("SELECT pg_terminate_backend(pid, 5000) FROM unnest(:pids) AS pid")
    assert all(other.transact(lambda session: session.scalars(end, {"pids": pids}).all()))
    other.dispose()
    assert db.transact(lambda session: rows(session, "SELECT 1", None)) == [(1,)]
    db.dispose()
