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
    parser.add_argument(
        "--favour", nargs="*", default=[], metavar="WORD",
        help="kinds or targets of faults, or what their facts say: of their sort only these come",
    )  # fmt: skip
    asked = parser.parse_args()
    storm = Storm(asked.seed, asked.minutes * 60, asked.people, tuple(asked.favour))
    return run(storm, asked.keep)


if __name__ == "__main__":
    sys.exit(main())
