"""What checking a PIN costs: CPU time of this thread, of which the budget is 10 ms at most."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from statistics import median

from app import markets
from app.errors import DomainError
from app.sealing import Sealer
from app.wallet.keys import new_key
from app.wallet.pins import Attempt, Pins
from bench.figures import Figure

TIMES = 400
BUDGET_MS = 10.0
RIGHT, WRONG = "7391", "2846"


def run() -> list[Figure]:
    """Median and 99th percentile of CPU milliseconds for each kind of PIN work."""
    pins = Pins(Sealer({1: secrets.token_bytes(32)}), markets.load("demo").pin)
    person_id = new_key()
    attempt = Attempt(person_id, pins.seal(person_id, RIGHT), left=2)

    def check_wrong() -> None:
        try:
            pins.check(attempt, WRONG)
        except DomainError:
            return
        raise AssertionError("a wrong PIN was taken for the right one")

    return [
        *_measure("CPU to check a right PIN", lambda: pins.check(attempt, RIGHT), BUDGET_MS),
        *_measure("CPU to check a wrong PIN", check_wrong, BUDGET_MS),
        *_measure("CPU to seal a new PIN", lambda: pins.seal(person_id, RIGHT), None),
    ]


def _measure(name: str, work: Callable[[], object], most: float | None) -> list[Figure]:
    for _ in range(20):
        work()
    spent_ms = sorted(_cpu_ms(work) for _ in range(TIMES))
    p99 = spent_ms[int(TIMES * 0.99)]
    return [
        Figure(f"{name}, p50", median(spent_ms), "ms", most=most),
        Figure(f"{name}, p99", p99, "ms", most=most),
    ]


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000
