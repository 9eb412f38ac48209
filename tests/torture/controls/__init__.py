"""Mutants of the system that the torture must catch: what it does not, it does not judge.

Each is a patch of this folder: what it breaks, by which of the rules I1 to I11 it may be caught,
which faults the storm favours for it, and the change. `python -m tests.torture.controls [NAME …]`
runs a storm over a copy of the tree with each, one after the other, by hand: it takes minutes a
mutant. docs/reliability.md keeps what was found; a test sees that every patch still fits.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
LEFT_OUT = (".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis")


class ControlError(Exception):
    """A mutant that cannot be made; the text says why."""


@dataclass(frozen=True)
class Control:
    """One mutant. `rules` are those of which at least one must be broken by it; `favoured` the bad
    luck that brings it to light.
    """

    name: str
    what: str
    rules: frozenset[str]
    favoured: tuple[str, ...]
    patch: Path


def controls() -> list[Control]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Control:
    what, rules, favoured = path.read_text().splitlines()[:3]
    return Control(
        path.stem,
        what.removeprefix("what: "),
        frozenset(rules.removeprefix("rules: ").split()),
        tuple(favoured.removeprefix("favour:").split()),
        path,
    )


def mutate(control: Control, tree: Path) -> None:
    """Break a copy of the sources at `tree`. Raises ControlError where the patch does not fit."""
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(control.patch)],
        cwd=tree, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if applied.returncode != 0:
        raise ControlError(f"{control.name} does not fit: {applied.stderr.strip()}")


def copy_tree(to: Path) -> None:
    """The sources, with this environment's packages beside them."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    (to / ".venv").symlink_to(ROOT / ".venv")
