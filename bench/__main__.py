"""`python -m bench [names]`: run these benches, or all of them."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHES = ("ledger", "hops", "sessions", "live_sessions", "payments", "drain", "reconcile", "pins")


def main(names: list[str]) -> int:
    """Run them one after the other; an unknown name is one clear line."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        print(f"== {name}", flush=True)
        import_module(f"bench.{name}").run()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
