"""The Procfile: `name: command`, one process a line."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from launcher.errors import CannotStartError

ENTRY = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
RELEASE = "release"


def read(file: Path) -> dict[str, list[str]]:
    """Process name to its arguments, `release` included. CannotStartError names a bad line."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        raise CannotStartError(
            f"There is no {file.name} here: start from the project's folder."
        ) from None
    entries: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = ENTRY.fullmatch(line.strip())
        if match is None:
            raise CannotStartError(f"{file.name} line {number} is not `name: command`.")
        entries[match[1]] = shlex.split(match[2])
    return entries


def resolved(argv: list[str], programs: Path) -> list[str]:
    """The same arguments with the program taken from the virtual environment's folder.

    A script there is run by our own Python, not by its first line: that one names the folder in
    which the environment was made, which a project that was moved has left.
    """
    name, rest = argv[0], argv[1:]
    if name in {"python", "python3"}:
        return [sys.executable, *rest]
    program = programs / name
    if not program.is_file():
        return argv
    with program.open("rb") as file:
        is_script = file.read(2) == b"#!"
    return [sys.executable, str(program), *rest] if is_script else [str(program), *rest]
