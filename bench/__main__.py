"""`python -m bench [names]`: run these benches, or all, and print one table of what they measured.

The table is also a file in var/bench/, from which docs/performance.md is written by hand.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module

from bench.figures import ROOT, Figure, surroundings, table

BENCHES = (
    "ledger", "growth", "hops", "sessions", "live_sessions", "payments", "drain", "sms", "starting",
    "memory", "reconcile", "pins", "soak",
)  # fmt: skip
KEPT = ROOT / "var" / "bench"
# What `--small` sets: enough to see that a bench runs, and too little to believe its figures.
SMALL = {
    "BENCH_SECONDS": "1", "BENCH_ROUNDS": "1", "BENCH_LIVE_SESSIONS": "2000",
    "BENCH_MOVES": "100000", "BENCH_MESSAGES": "300", "BENCH_HOPS": "5000",
    "BENCH_PAYMENTS": "300", "BENCH_RECONCILE_LINES": "5000",
}  # fmt: skip
SMALL_SOAK = 100


def main(arguments: list[str]) -> int:
    """Run them one after the other. The exit code is 1 when something was wrong, not when it was
    slow, and 2 for a name that no bench has.
    """
    asked = _asked(arguments)
    unknown = [name for name in asked.names if name not in BENCHES]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    if asked.small:
        os.environ.update(SMALL)
    before = surroundings(" ".join(("python -m bench", *arguments)))
    measured: list[tuple[str, Figure]] = []
    try:
        for name in asked.names or BENCHES:
            print(f"== {name}", flush=True)
            facts = {"payments": asked.payments, "seed": asked.seed} if name == "soak" else {}
            found: Sequence[Figure] = import_module(f"bench.{name}").run(**facts)
            measured += [(name, figure) for figure in found]
            print(*(figure.line() for figure in found), "", sep="\n", flush=True)
    finally:  # one that breaks does not take with it what the others measured
        _keep(f"{before}\n\n{table(measured)}\n")
    return int(any(figure.is_fault for _, figure in measured))


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parser.add_argument("--payments", type=int, help="of the soak")
    parser.add_argument("--seed", type=int, help="of the soak")
    parser.add_argument("--small", action="store_true", help="only to see that they run")
    asked = parser.parse_args(arguments)
    if asked.payments is None:
        asked.payments = SMALL_SOAK if asked.small else 10_000
    return asked


def _keep(text: str) -> None:
    """Print the whole, and write it to a file of its own."""
    print(text, flush=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.md"
    path.write_text(text)
    print(f"kept in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
