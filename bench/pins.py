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

TIMES = 400
BUDGET_MS = 10.0
RIGHT, WRONG = "7391", "2846"


def run() -> None:
    """Print median, 99th percentile and maximum of CPU milliseconds for each kind of PIN work."""
    pins = Pins(Sealer({1: secrets.token_bytes(32)}), markets.load("demo").pin)
    person_id = new_key()
    attempt = Attempt(person_id, pins.seal(person_id, RIGHT), left=2)

    def check_wrong() -> None:
        try:
            pins.check(attempt, WRONG)
        except DomainError:
            return
        raise AssertionError("a wrong PIN was taken for the right one")

    print(f"CPU of one PIN, {TIMES} times each, budget {BUDGET_MS:.0f} ms for a check")
    _report("check, right", lambda: pins.check(attempt, RIGHT))
    _report("check, wrong", check_wrong)
    _report("seal a new one", lambda: pins.seal(person_id, RIGHT))


def _report(name: str, work: Callable[[], object]) -> None:
    for _ in range(20):
        work()
    spent_ms = sorted(_cpu_ms(work) for _ in range(TIMES))
    p99 = spent_ms[int(TIMES * 0.99)]
    print(f"{name:15} median {median(spent_ms):.2f}  p99 {p99:.2f}  max {spent_ms[-1]:.2f} ms")


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    run()
