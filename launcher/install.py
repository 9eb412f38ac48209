"""`python -m launcher.install requirements-….txt`: pip, quiet but for one line of progress.

Runs in a virtual environment that is still empty, so it uses the standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

PIP = (
    *("install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
    "--no-compile",
)
# pip begins a line with one of these for each package that it is about to install.
FOUND = ("Collecting ", "Processing ", "Requirement already satisfied: ")
KEPT_LINES = 40


def main() -> int:
    """Install the file's packages. Exits as pip does, with pip's own words when it fails."""
    requirements = Path(sys.argv[1])
    names = _pinned(requirements)
    started = time.monotonic()
    _show(f"installing {len(names)} packages…")
    status, said = _pip(requirements, len(names))
    if status == 0:
        _show("compiling them…")
        _compile()
        _show(f"installed {len(names)} packages ({time.monotonic() - started:.0f} s)")
        return 0
    for line in said[-KEPT_LINES:]:
        _show(line)
    _show("pip could not install the packages; its last words are above.")
    return status


def _pip(requirements: Path, expected: int) -> tuple[int, list[str]]:
    said: list[str] = []
    found = 0
    with subprocess.Popen(
        [sys.executable, "-m", "pip", *PIP, "-r", str(requirements)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        for line in pip.stdout or ():
            said = [*said[-KEPT_LINES:], line.rstrip()]
            found += line.startswith(FOUND)
            if line.startswith(FOUND) and found % 10 == 0:
                _show(f"  {found}/{expected} found")
            elif line.startswith("Installing collected packages"):
                _show(f"  {found}/{expected} found, unpacking…")
    return pip.returncode, said


def _compile() -> None:
    """Byte code on every core; pip alone would use one. Its status says nothing: some packages
    carry templates with a .py at the end that are no Python.
    """
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-j", "0", sysconfig.get_path("purelib")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def _pinned(requirements: Path) -> set[str]:
    """The names in a requirements file and in those that it includes with -r, less those whose
    marker speaks of other Pythons (their lines have a `;`).
    """
    names: set[str] = set()
    for line in requirements.read_text().splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["-r"]:
            names |= _pinned(requirements.with_name(words[1]))
        elif words and ";" not in line:
            names.add(words[0].split("==")[0].split("[")[0])
    return names


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
