"""One worker process and its billers: sales a second, and what a dead biller does to the others.

Every biller answers after 200 ms. The worker is a process of its own, and so are the billers; the
payments are confirmed before. A sale's time runs from when it became due to its capture, both by
the database's clock, in the second part at a pace that the worker can hold.
"""

from __future__ import annotations

import multiprocessing
import resource
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import quantiles
from typing import Any

from sqlalchemy import text

from app import markets, telemetry
from app.billers.fulfilment import Fulfilment
from app.billers.protocols import wires
from app.db import Database
from app.markets.model import Market
from app.settings import Settings
from bench.figures import Figure
from launcher.servers import temporary_servers
from tests.billers.played import PlayedBiller, played_biller, slow
from tests.billers.stage import Stage, market_with
from tests.servers import migrate

BILLER_SECONDS = 0.2
SALES = 1_500
TARGET_A_SECOND = 100
BILLERS = 4
PACE_A_SECOND = 10  # to each biller
PACED_SECONDS = 12
POOL = 20  # as workers/process.py has it
LIVE_TIMEOUT_SECONDS = 10.0
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Drained:
    """`cpu_seconds` are the worker's own, `latencies` of each sale, sorted."""

    seconds: float
    cpu_seconds: float
    latencies: list[float]


def run() -> list[Figure]:
    """Sales a second, then p50 and p99 with and without a dead biller among five."""
    with temporary_servers() as servers, ExitStack() as stack:
        migrate(servers.url("kibanda_owner"))
        url = servers.url("kibanda_app")
        live = [stack.enter_context(_Biller(BILLER_SECONDS)) for _ in range(BILLERS)]
        dead = stack.enter_context(_Biller(None))
        sold = _throughput(url, live[0])
        before = _paced(url, live, None)
        after = _paced(url, live, dead)
        return sold + _compare(before, after)


def _throughput(url: str, biller: _Biller) -> list[Figure]:
    (stage,) = _stages(url, [biller])
    _confirm(stage, SALES)
    done = _drain(url, [stage], SALES, paced=False)
    rate = SALES / done.seconds
    slow = f"a biller of {BILLER_SECONDS * 1000:.0f} ms, one worker"
    return [
        Figure(slow, rate, "sales/s", least=TARGET_A_SECOND),
        Figure("the worker's CPU a sale", done.cpu_seconds / SALES * 1000, "ms"),
    ]


def _paced(url: str, live: list[_Biller], dead: _Biller | None) -> Drained:
    stages = _stages(url, [*live, *([dead] if dead else [])])
    each = PACE_A_SECOND * PACED_SECONDS
    for stage in stages:
        _confirm(stage, each)
    return _drain(url, stages, each * len(live), paced=True)


def _compare(before: Drained, after: Drained) -> list[Figure]:
    figures = []
    for name, share in (("p50", 49), ("p99", 98)):
        one = quantiles(before.latencies, n=100)[share]
        two = quantiles(after.latencies, n=100)[share]
        paced = f"{BILLERS} billers, {PACE_A_SECOND}/s each, a dead one beside them, {name}"
        beside = f"without it: {one * 1000:.0f} ms"
        figures.append(Figure(paced, two * 1000, "ms", beside, two / one))
    return figures


def _stages(url: str, billers: list[_Biller]) -> list[Stage]:
    """One market of all these billers, a stage each; a code is never used twice."""
    demo = markets.load("demo")
    db = Database(url, pool_size=4)
    markets_of = {}
    for one in billers:
        code = f"d{secrets.token_hex(4)}"
        markets_of[code] = (market_with(demo, code, timeout_seconds=LIVE_TIMEOUT_SECONDS), one)
    whole = demo.model_copy(
        update={"billers": {code: made.billers[code] for code, (made, _) in markets_of.items()}}
    )
    return [Stage(db, whole, code, PlayedBiller(one.url)) for code, (_, one) in markets_of.items()]


def _confirm(stage: Stage, count: int) -> None:
    people = [stage.person(100_000_000) for _ in range(8)]
    for turn in range(count):
        stage.pay(people[turn % len(people)], 20_000)


def _drain(url: str, stages: list[Stage], expected: int, *, paced: bool) -> Drained:
    """Let one worker process work until so many are captured."""
    if paced:
        _spread(stages)
    ours, theirs = FORK.Pipe()
    settings = {stage.code: stage.biller.url for stage in stages}
    worker = FORK.Process(target=_work, args=(url, stages[0].market, settings, expected, theirs))
    worker.start()
    theirs.close()
    seconds, cpu = ours.recv()
    worker.join()
    return Drained(seconds, cpu, _latencies(stages))


def _spread(stages: list[Stage]) -> None:
    """Payments become due one after the other, at the pace, from a moment from now."""
    for stage in stages:
        stage.run(
            "UPDATE payments p"
            " SET due_at = clock_timestamp() + make_interval(secs => 1 + n / :pace)"
            " FROM (SELECT id, row_number() OVER (ORDER BY id)::float AS n FROM payments"
            " WHERE biller = :code) o WHERE o.id = p.id AND p.biller = :code",
            pace=float(PACE_A_SECOND), code=stage.code,
        )  # fmt: skip
        stage.run("UPDATE payments SET created_at = due_at WHERE biller = :code", code=stage.code)


def _latencies(stages: list[Stage]) -> list[float]:
    """Seconds from due to captured, of what was captured."""
    rows = stages[0].run(
        "SELECT extract(epoch FROM e.written - p.created_at)::float AS s FROM payments p"
        " JOIN (SELECT payment_id, max(at) AS written FROM payment_events"
        " WHERE to_state = 'captured' GROUP BY payment_id) e ON e.payment_id = p.id"
        " WHERE p.biller = ANY (:codes)",
        codes=[stage.code for stage in stages],
    )
    return sorted(float(row.s) for row in rows)


def _work(url: str, market: Market, urls: dict[str, str], expected: int, told: Connection) -> None:
    """The worker's process: drain until so many are captured, then say how long it took."""
    telemetry.configure("INFO")
    db = Database(url, pool_size=POOL)
    account = {"username": "kibanda", "api_key": "key"}
    credentials: dict[str, Any] = {code: {"url": one, **account} for code, one in urls.items()}
    settings = Settings.model_validate({"biller_credentials": credentials})
    fulfilment = Fulfilment(db, market, wires(market, settings))
    began, cpu = time.monotonic(), _cpu()
    while _captured(db, list(urls)) < expected:
        fulfilment.drain(stop=lambda: False, seconds=1.0)
    told.send((time.monotonic() - began, _cpu() - cpu))
    told.close()


def _captured(db: Database, codes: list[str]) -> int:

    query = text("SELECT count(*) FROM payments WHERE state = 'captured' AND biller = ANY (:codes)")
    return int(db.transact(lambda session: session.scalar(query, {"codes": codes})) or 0)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class _Biller:
    """A biller in a process of its own; `seconds` None: it takes every request and says nothing."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self.url = ""

    def __enter__(self) -> _Biller:
        ours, theirs = FORK.Pipe()
        self._process = FORK.Process(target=_play, args=(self._seconds, theirs), daemon=True)
        self._process.start()
        self.url = ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _play(seconds: float | None, told: Connection) -> None:
    with played_biller() as biller:
        biller.script = slow(seconds if seconds is not None else 3600)
        told.send(biller.url)
        time.sleep(3600)
