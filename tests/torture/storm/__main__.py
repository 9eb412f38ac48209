"""`python -m tests.torture.storm [--seed N] [--minutes 3] [--people 200]`."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path


def main() -> int:
    # Every process that is forked imports this module anew, but has no use for a storm.
    from tests.torture.storm.run import Storm, run

    parser = argparse.ArgumentParser(prog="python -m tests.torture.storm")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=3.0, help="of weather")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="an empty folder that keeps what was written")
    asked = parser.parse_args()
    return run(Storm(asked.seed, asked.minutes * 60, asked.people), asked.keep)


if __name__ == "__main__":
    sys.exit(main())
