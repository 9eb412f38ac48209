"""A biller's daily file beside what was captured: lines a second, and how the process grows.

`BENCH_RECONCILE_LINES` says how many; the target, a million within 60 s, is measured with

    BENCH_RECONCILE_LINES=1000000 .venv/bin/python -m bench reconcile

The payments are rows without the people behind them: what is measured is the comparison.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from app import markets
from app.billers.reconciliation import exceptions, runs
from app.db import Database
from app.markets.model import Market
from app.markets.reports import Report
from bench.figures import Figure
from launcher.servers import Servers, temporary_servers
from tests.servers import migrate

LINES = int(os.environ.get("BENCH_RECONCILE_LINES", "50000"))
TARGET_LINES_A_SECOND = 1_000_000 / 60
GROWS_AT_MOST_MB = 64
BILLER, DAY = "stima", date(2026, 11, 25)
ODD = 1000  # one line of so many does not fit
REPORT: dict[str, Any] = {
    "format": "csv",
    "amount": "major",
    "day_format": "%Y-%m-%d",
    "sold": ["OK"],
    "columns": {"reference": "ref", "amount": "value", "day": "day", "status": "state"},
    "trailer": {"mark": "T", "count": 2},
}
PAYMENTS = """
    INSERT INTO payments (
        id, reference, biller_ref, intent_id, person_id, wallet_id, hold_id, biller, product,
        customer_no, customer_name, currency, amount_minor, fee_minor, tax_minor,
        commission_minor, state, came_from, created_at, expires_at, requests, first_sent_at,
        settled_at)
    SELECT gen_random_uuid(), lpad(n::text, 8, '0'), 'K' || lpad(n::text, 11, '0'),
           gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), %(biller)s, 'stima_token',
           '04123456789', 'GRACE', 'KES', 5000 + n %% 1000 * 100, 0, 0, 0, 'captured', 'sent',
           t, t, 1, t, t + interval '2 seconds'
    FROM (SELECT n, CAST(%(day)s AS timestamptz) + n %% 86000 * interval '1 second' AS t
          FROM generate_series(1, %(lines)s) AS n) AS made
"""


def run() -> list[Figure]:
    """The speed, and how the process grows."""
    with temporary_servers(redis=False) as servers, tempfile.TemporaryDirectory() as folder:
        migrate(servers.url("kibanda_owner"))
        _fill(servers)
        path = Path(folder) / "report.csv"
        _write(path)
        database = Database(servers.url("kibanda_app"), pool_size=1)
        try:
            return _measure(database, path)
        finally:
            database.dispose()


def _measure(database: Database, path: Path) -> list[Figure]:
    now = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=12)
    market = _market()
    backend = database.transact(lambda session: session.scalar(text("SELECT pg_backend_pid()")))
    assert backend
    with _resident() as grown:
        began, here, there = time.monotonic(), time.process_time(), _cpu_seconds(backend)
        done = database.transact(
            lambda session: runs.take(session, market, BILLER, path, maker="bench", now=now)
        )
        took = time.monotonic() - began
        here, there = time.process_time() - here, _cpu_seconds(backend) - there
    speed, megabytes = LINES / took, grown() / 1024
    found = database.transact(lambda session: exceptions.counts(session, done))
    print(f"CPU: {here:.1f} s here, {there:.1f} s in PostgreSQL, whatever else the machine did")
    print(f"matched {done.matched:,}; {found}")
    return [
        Figure(f"of {done.lines:,} lines", speed, "lines/s", least=TARGET_LINES_A_SECOND),
        Figure("the process grew by", megabytes, "MB", most=GROWS_AT_MOST_MB),
    ]


@contextmanager
def _resident() -> Any:
    """How many KB more this process holds at its highest than before."""
    before, highest, stop = _kilobytes(), _kilobytes(), threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.05):
            highest = max(highest, _kilobytes())

    thread = threading.Thread(target=watch)
    thread.start()
    grown: Callable[[], int] = lambda: highest - before  # noqa: E731
    try:
        yield grown
    finally:
        stop.set()
        thread.join()


def _kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def _cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _fill(servers: Servers) -> None:
    with psycopg.connect(servers.url("postgres"), autocommit=True) as line:
        line.execute("SET session_replication_role = replica")
        line.execute("SET timezone = 'Africa/Nairobi'")
        line.execute(PAYMENTS, {"biller": BILLER, "day": DAY, "lines": LINES})
        line.execute("VACUUM ANALYZE payments")


def _write(path: Path) -> None:
    with path.open("w") as file:
        file.write("ref,value,day,state\n")
        for n in range(1, LINES + 1):
            minor = 5000 + n % 1000 * 100 + (100 if n % ODD == 0 else 0)
            name = f"X{n:011d}" if n % ODD == 1 else f"K{n:011d}"
            file.write(f"{name},{minor // 100}.{minor % 100:02d},{DAY},OK\n")
        file.write(f"T,{LINES}\n")


def _market() -> Market:
    market = markets.load("demo")
    report = Report.model_validate_json(json.dumps(REPORT), strict=True)
    stima = market.billers[BILLER].model_copy(update={"report": report})
    return market.model_copy(update={"billers": market.billers | {BILLER: stima}})
