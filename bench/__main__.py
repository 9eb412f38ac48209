"""`python -m bench [names]`: run these benches, or all of them."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

BENCHES = (
    "ledger", "hops", "sessions", "live_sessions", "payments", "drain", "reconcile", "pins", "soak",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run them one after the other; an unknown name is one clear line, a fault the exit code."""
    asked = _asked(arguments)
    unknown = [name for name in asked.names if name not in BENCHES]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    code = 0
    for name in asked.names or BENCHES:
        print(f"== {name}", flush=True)
        facts = {"payments": asked.payments, "seed": asked.seed} if name == "soak" else {}
        code = max(code, import_module(f"bench.{name}").run(**facts) or 0)
        print(flush=True)
    return code


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parser.add_argument("--payments", type=int, default=10_000, help="of the soak")
    parser.add_argument("--seed", type=int, help="of the soak")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
