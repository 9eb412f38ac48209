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
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from bench.figures import Figure
from launcher.servers import Servers, temporary_servers
from tests.servers import migrate

SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
TPCB_SCALE = 50
ACCOUNTS = 100_000
EACH_MINOR = 10**9
BULK = 50
CLIENTS, THREADS = (1, 8, 32), 2
AIMED_AT = 8  # clients, for which the targets are meant
BULK_CLIENTS = 2
ROLL_UP_SECONDS = 1.0
VERIFY_MS = 120_000
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
HOT_HOUSE = HEAD + ONE.format(
    moves=1, debits=":a", credits=":settlement", amounts=100, counts="NULL", columns=NO_COUNTS
)
HOT_WALLET = HEAD + ONE.format(
    moves=1, debits=":a", credits=":purse", amounts=100, counts="NULL", columns=NO_COUNTS
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
    """What is measured: `measure()` gives a figure a second; the target is a ratio to `beside`."""

    name: str
    measure: Callable[[], float]
    beside: str = ""
    target: float | None = None


def run() -> list[Figure]:
    """Postings a second beside pgbench, and what each costs of CPU."""
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
        database = Database(servers.url("kibanda_app"), statement_ms=VERIFY_MS)
        wrong = database.transact(ledger.verify)
        database.dispose()
    _print_costs({name: median(measured) for name, measured in costs.items()})
    return [
        *_figures(lines, {name: median(measured) for name, measured in speeds.items()}),
        Figure("what verify finds wrong", len(wrong), "", most=0, proof=True),
    ]


def _lines(servers: Servers, folder: Path, facts: dict[str, int]) -> list[Line]:
    def script(name: str, text: str, clients: int, each: int = 1) -> Callable[[], float]:
        path = folder / f"{name}.sql"
        path.write_text(text)
        settings = [f"-D{fact}={value}" for fact, value in facts.items()]
        return lambda: (
            each * _tps(servers, "kibanda_app", "kibanda", clients, "-f", str(path), *settings)
        )

    lines = []
    for clients in CLIENTS:
        aimed = clients == AIMED_AT
        yardstick, plain = (_of(clients, name) for name in ("pgbench TPC-B", "transfer"))
        bulk = script("bulk", MANY, clients, BULK)
        lines += [
            Line(yardstick, partial(_tps, servers, "postgres", "tpcb", clients)),
            Line(plain, script("transfer", TRANSFER, clients), yardstick, 0.6 if aimed else None),
            Line(
                _of(clients, "send: fee, tax, commission, 3 limits"),
                script("send", SEND, clients), yardstick, 0.4 if aimed else None,
            ),
            Line(
                _of(clients, "all to one house account"),
                script("house", HOT_HOUSE, clients), plain, 0.9 if aimed else None,
            ),
            Line(_of(clients, "all to one wallet"), script("wallet", HOT_WALLET, clients), plain),
            Line(_of(clients, f"bulk, {BULK} a call"), bulk, yardstick),
        ]  # fmt: skip
    beside = _of(AIMED_AT, "pgbench TPC-B")
    lines.append(
        Line(
            _of(BULK_CLIENTS, f"bulk, {BULK} a call"),
            script("bulk", MANY, BULK_CLIENTS, BULK), beside, 2.0,
        )
    )  # fmt: skip
    for each, clients in ((1, AIMED_AT), (BULK, BULK_CLIENTS)):
        what = "transfer" if each == 1 else f"bulk, {BULK} a call"
        measure = partial(_python, servers, facts, each, clients)
        lines.append(Line(_of(clients, f"{what}, from Python"), measure, beside))
    return lines


def _of(clients: int, name: str) -> str:
    return f"{name}, {clients} client{'s' if clients > 1 else ''}"


def _figures(lines: list[Line], medians: dict[str, float]) -> list[Figure]:
    return [
        Figure(
            line.name, medians[line.name], "/s", line.beside,
            medians[line.name] / medians[line.beside] if line.beside else None, least=line.target,
        )
        for line in lines
    ]  # fmt: skip


def _print_costs(costs: dict[str, float]) -> None:
    """Clients and server together; it hardly depends on what else the machine does."""
    print(f"medians of {ROUNDS} rounds of {SECONDS} s; CPU a posting, µs:")
    for name, seconds in costs.items():
        if seconds > 0:
            print(f"  {name:48}{seconds * 1e6:8.0f}")


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
        paid_in = (last - first + 1) * EACH_MINOR
        purse = database.transact(lambda session: open_purse(session, paid_in, _now()))
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
    return {"first": first, "last": last, "others": last - first, "purse": purse, **houses}


def open_purse(session: Session, paid_in_minor: int, now: datetime) -> int:
    """An agent's float with all the money, which came in through the bank; its account's id."""
    purse = ledger.open_account(
        session, kind="float", currency="KES", owner_kind="agent", owner_id=UUID(int=1)
    )
    ledger.record_bank_line(
        session, line_id="bench", amount_minor=paid_in_minor, currency="KES",
        booked_on=now.date(), maker="maker",
    )  # fmt: skip
    ledger.approve_bank_line(session, line_id="bench", checker="checker")
    answer = ledger.deposit(session, bank_line_id="bench", account_id=purse, now=now)
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


def _python(servers: Servers, facts: dict[str, int], each: int, clients: int) -> float:
    """As the application posts: `transact`, `ledger.post`, one process a client."""
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
