"""`python -m tests.torture.controls [NAME …] [--seed N] [--minutes 1.5]`: is each mutant caught?"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.torture.controls import Control, controls, copy_tree, mutate

RULE = re.compile(r"^(I\d+|rest|harness)\b", re.MULTILINE)
GRACE_SECONDS = 600.0  # beyond the weather: starting, coming to rest, judging


def main() -> int:
    """Print a line a mutant; 1 when one was not caught by a rule of its own."""
    asked = _asked()
    known = {control.name: control for control in controls()}
    unknown = set(asked.names) - set(known)
    if unknown:
        print(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    for name in asked.names or known:
        began = time.monotonic()
        broken = _storm(known[name], asked)
        caught = bool(known[name].rules & broken.keys())
        missed += not caught
        told = ", ".join(f"{rule} {count}" for rule, count in sorted(broken.items())) or "nothing"
        verdict = "caught" if caught else "MISSED"
        print(f"{name:28} {verdict}  {told}  ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if missed else 0


def _storm(control: Control, asked: argparse.Namespace) -> Counter[str]:
    """How often each rule was broken in a storm over this mutant."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "kibanda"
        copy_tree(tree)
        mutate(control, tree)
        command = [
            sys.executable, "-m", "tests.torture.storm", "--seed", str(asked.seed),
            "--minutes", str(asked.minutes), "--people", str(asked.people),
            "--favour", *control.favoured,
        ]  # fmt: skip
        said = subprocess.run(
            command, cwd=tree, capture_output=True, text=True,
            timeout=asked.minutes * 60 + GRACE_SECONDS, check=False,
        )  # fmt: skip
        if asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            (asked.keep / f"{control.name}.out").write_text(said.stdout + said.stderr)
    return Counter(RULE.findall(said.stdout)) if said.returncode == 1 else Counter()


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.controls", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.5, help="of weather, for each")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a folder for what each storm printed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
