"""The ledger beside pgbench's TPC-B: same server, same minutes, same clients, durability on.

`post_v1` is called by pgbench too, so that the language of the client is the same, and from Python
as the application calls it. Many short rounds of all lines alternate, and the medians are compared:
what else the machine does slows all of them.
"""

from __future__ import annotations

import os
import random
import re
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from launcher.servers import Servers, temporary_servers
from tests.servers import migrate

SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
TPCB_SCALE = 50
ACCOUNTS = 100_000
EACH_MINOR = 10**9
BULK = 50
CLIENTS, THREADS = 8, 2
ROLL_UP_SECONDS = 1.0
TPS = re.compile(r"tps = ([0-9.]+)")
FAILED = re.compile(r"number of failed transactions: ([1-9]\d*)")

# A key as the application makes them: time, version 7, random bits.
KEY = (
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7000'"
    " || to_hex({}::bigint))::uuid"
)
RANDOM_BITS = "random(1152921504606846976, 2305843009213693951)"
HEAD = f"""\\set a random(:first, :last)
\\set b random(:first, :last)
\\set r {RANDOM_BITS}
"""
ONE = (
    "SELECT o_refusals FROM post_v1(now(), ARRAY["
    + KEY.format(":r")
    + "], ARRAY["
    + KEY.format(":r")
    + """], ARRAY['send'], ARRAY['bench'], NULL, NULL,
    ARRAY[{moves}], ARRAY[{debits}]::bigint[], ARRAY[{credits}]::bigint[],
    ARRAY[{amounts}]::bigint[], {counts}, {columns});
"""
)
NO_COUNTS = "NULL, NULL, NULL, NULL, NULL"
TRANSFER = HEAD + ONE.format(
    moves=1, debits=":a", credits=":b", amounts=100, counts="NULL", columns=NO_COUNTS
)
HOT = HEAD + ONE.format(
    moves=1, debits=":a", credits=":settlement", amounts=100, counts="NULL", columns=NO_COUNTS
)
SEND = HEAD + ONE.format(
    moves=4,
    debits=":a, :a, :a, :a",
    credits=":b, :fees, :tax, :suspense",  # for commission verify wants an accrual
    amounts="100, 7, 2, 1",
    counts="ARRAY[3]",
    columns="ARRAY[:a, :a, :a]::bigint[], ARRAY['day', 'month', 'times'],"
    " ARRAY[current_date, date_trunc('month', now())::date, current_date],"
    " ARRAY[100, 100, 1]::bigint[], ARRAY[1000000000, 1000000000, 1000000]::bigint[]",
)
MANY = f"""\\set r random(1, 1000000000)
SELECT o_refusals FROM (
    SELECT array_agg({KEY.format("1152921504606846976 + (random() * 1e18)::bigint")}) AS keys,
           array_agg(:first::bigint + (random() * :others::bigint)::bigint) AS debits,
           array_agg(:first::bigint + (random() * :others::bigint)::bigint) AS credits,
           array_agg(100::bigint) AS amounts, array_agg(i) AS ends,
           array_agg('send'::text) AS kinds
    FROM generate_series(1, {BULK}) AS i
) AS t, LATERAL post_v1(now(), keys, keys, kinds, kinds, NULL, NULL, ends, debits, credits,
    amounts, NULL, {NO_COUNTS});
"""


@dataclass(frozen=True)
class Line:
    """What is measured: `measure()` gives a figure a second; targets are ratios to `beside`."""

    name: str
    measure: Callable[[], float]
    beside: str = ""
    target: float = 0.0
    goal: float = 0.0


def run() -> None:
    """Print postings a second, their ratios and the targets."""
    with temporary_servers(redis=False) as servers, tempfile.TemporaryDirectory() as folder:
        migrate(servers.url("kibanda_owner"))
        servers.postgres.create_database("tpcb")
        _pgbench(servers, "postgres", "tpcb", "-i", "-q", "-s", str(TPCB_SCALE))
        facts = _fill(servers)
        with _rolling_up(servers):
            lines = _lines(servers, Path(folder), facts)
            speeds: dict[str, list[float]] = {line.name: [] for line in lines}
            costs: dict[str, list[float]] = {line.name: [] for line in lines}
            for _ in range(ROUNDS):
                for line in lines:
                    before = _cpu_seconds(servers)
                    speed = line.measure()
                    speeds[line.name].append(speed)
                    costs[line.name].append((_cpu_seconds(servers) - before) / (speed * SECONDS))
        _report(
            lines,
            {name: median(measured) for name, measured in speeds.items()},
            {name: median(measured) for name, measured in costs.items()},
        )
        database = Database(servers.url("kibanda_app"))
        print(f"verify: {database.transact(ledger.verify) or 'nothing wrong'}")
        database.dispose()


def _lines(servers: Servers, folder: Path, facts: dict[str, int]) -> list[Line]:
    def script(name: str, text: str, each: int = 1, clients: int = CLIENTS) -> Callable[[], float]:
        path = folder / f"{name}.sql"
        path.write_text(text)
        settings = [f"-D{fact}={value}" for fact, value in facts.items()]
        return lambda: (
            each * _tps(servers, "kibanda_app", "kibanda", clients, "-f", str(path), *settings)
        )

    tpcb = "pgbench TPC-B"
    return [
        Line(tpcb, lambda: _tps(servers, "postgres", "tpcb", CLIENTS)),
        Line("transfer", script("transfer", TRANSFER), tpcb, 0.6, 1.0),
        Line("send: fee, tax, commission, 3 limits", script("send", SEND), tpcb, 0.4, 0.7),
        Line("all to one hot house account", script("hot", HOT), "transfer", 0.9, 1.0),
        Line(f"bulk, {BULK} a call, 2 clients", script("bulk", MANY, BULK, 2), tpcb, 2.0, 4.0),
        Line("transfer from Python, 8 processes", lambda: _python(servers, facts, 1), tpcb),
        Line(f"bulk from Python, {BULK} a call", lambda: _python(servers, facts, BULK), tpcb),
    ]


def _report(lines: list[Line], medians: dict[str, float], costs: dict[str, float]) -> None:
    print(f"Medians of {ROUNDS} rounds of {SECONDS} s, {CLIENTS} clients, fsync on.")
    print(f"{'':38}{'postings/s':>10}{'CPU µs each':>13}")
    for line in lines:
        ratio = medians[line.name] / medians[line.beside] if line.beside else 0.0
        verdict = ""
        if line.target:
            verdict = (
                "goal met" if ratio >= line.goal else "met" if ratio >= line.target else "MISSED"
            )
        told = f"{ratio:5.2f} x {line.beside}  " if line.beside else ""
        wanted = f"target {line.target:.1f}, goal {line.goal:.1f}" if line.target else ""
        cost = f"{costs[line.name] * 1e6:13.0f}" if costs[line.name] > 0 else f"{'-':>13}"
        print(f"{line.name:38}{medians[line.name]:10.0f}{cost}  {told:23}{wanted:24}{verdict}")


def _cpu_seconds(servers: Servers) -> float:
    """What ended clients and ended backends have used so far: unlike the speed, it hardly depends
    on what else the machine does. Zero without /proc."""
    time.sleep(0.3)  # the backends of the last round end a moment after their clients
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = Path(f"/proc/{servers.postgres.pid}/stat")
    if not stat.exists():
        return 0.0
    ticks = stat.read_text().rpartition(")")[2].split()[13:15]
    return used.ru_utime + used.ru_stime + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _tps(servers: Servers, role: str, database: str, clients: int, *arguments: str) -> float:
    said = _pgbench(
        servers, role, database, "-n", "-M", "prepared", "-c", str(clients), "-j", str(THREADS),
        "-T", str(SECONDS), *arguments,
    )  # fmt: skip
    found = TPS.search(said)
    if not found or FAILED.search(said):
        raise SystemExit(f"pgbench did not measure:\n{said}")
    return float(found[1])


def _pgbench(servers: Servers, role: str, database: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(servers.programs.postgres / "pgbench"), "-h", str(servers.places.sockets),
         "-U", role, *arguments, database],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"pgbench ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _fill(servers: Servers) -> dict[str, int]:
    """A hundred thousand wallets, paid in through the bank and posted out in bulk."""
    database = Database(servers.url("kibanda_app"), statement_ms=60_000)
    with psycopg.connect(servers.url("kibanda_owner"), autocommit=True) as owner:
        owner.execute(
            "INSERT INTO accounts (kind, currency, owner_kind, owner_id)"
            " SELECT 'wallet', 'KES', 'person', gen_random_uuid() FROM generate_series(1, %s)",
            (ACCOUNTS,),
        )
        row = owner.execute("SELECT min(id), max(id) FROM accounts").fetchone()
        assert row is not None
        first, last = row
        purse = database.transact(lambda session: _purse(session, first, last))
        for start in range(first, last + 1, 1000):
            batch = [
                ledger.Posting(new_key(), "fill", (ledger.Move(purse, account, EACH_MINOR),))
                for account in range(start, min(start + 1000, last + 1))
            ]
            database.transact(lambda session, b=batch: ledger.post(session, b, now=_now()))  # type: ignore[misc]
        houses = {
            name.removesuffix(":bench"): database.transact(
                lambda session, n=name: ledger.house_account(session, n, "KES")  # type: ignore[misc]
            )
            for name in ("fees", "tax", "suspense:bench", "settlement:bench")
        }
    with psycopg.connect(servers.url("postgres", "kibanda"), autocommit=True) as superuser:
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")
    database.dispose()
    return {"first": first, "last": last, "others": last - first, **houses}


def _purse(session: Session, first: int, last: int) -> int:
    """An agent's float with all the money."""
    purse = ledger.open_account(
        session, kind="float", currency="KES", owner_kind="agent", owner_id=UUID(int=1)
    )
    ledger.record_bank_line(
        session, line_id="bench", amount_minor=(last - first + 1) * EACH_MINOR, currency="KES",
        booked_on=date.today(), maker="maker",  # noqa: DTZ011
    )  # fmt: skip
    ledger.approve_bank_line(session, line_id="bench", checker="checker")
    answer = ledger.deposit(session, bank_line_id="bench", account_id=purse, now=_now())
    assert answer.refusal is None, answer
    return purse


@contextmanager
def _rolling_up(servers: Servers) -> Iterator[None]:
    """The schedule's roll-up, as it runs beside the traffic."""
    database, stop = Database(servers.url("kibanda_app"), pool_size=1), threading.Event()

    def work() -> None:
        while not stop.wait(ROLL_UP_SECONDS):
            database.transact(ledger.roll_up)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        database.dispose()


def _python(servers: Servers, facts: dict[str, int], each: int) -> float:
    """As the application posts: `transact`, `ledger.post`, one process a client."""
    clients = CLIENTS if each == 1 else 2
    work = (servers.url("kibanda_app"), facts["first"], facts["last"], each)
    with ProcessPoolExecutor(clients, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_post_until, [work] * clients))


def _post_until(work: tuple[str, int, int, int]) -> float:
    url, first, last, each = work
    database, chance = Database(url, pool_size=1), random.Random()

    def call(session: Session) -> None:
        batch = [
            ledger.Posting(
                new_key(), "send",
                (ledger.Move(chance.randint(first, last), chance.randint(first, last), 100),),
                "bench",
            )
            for _ in range(each)
        ]  # fmt: skip
        ledger.post(session, batch, now=_now())

    database.transact(call)
    began, done = time.monotonic(), 0
    while time.monotonic() - began < SECONDS:
        database.transact(call)
        done += each
    took = time.monotonic() - began
    database.dispose()
    return done / took


def _now() -> datetime:
    return datetime.now(UTC)
