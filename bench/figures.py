"""What a bench measured, and the one table of all that was measured in a run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from launcher.programs import in_wheels

HEAD = ("bench", "what", "measured", "beside it", "ratio", "target", "")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. Where it stands `beside` something that was measured in the same minutes,
    `ratio` is the two together and the target is one of the ratio; else it is one of the value.

    `proof` is a figure about right and wrong: to miss it is a fault, however quick all was.
    """

    name: str
    value: float
    unit: str
    beside: str = ""
    ratio: float | None = None
    least: float | None = None
    most: float | None = None
    proof: bool = False

    @property
    def met(self) -> bool | None:
        """None where nothing was aimed at."""
        if self.least is None and self.most is None:
            return None
        judged = self.value if self.ratio is None else self.ratio
        return not (
            (self.least is not None and judged < self.least)
            or (self.most is not None and judged > self.most)
        )

    @property
    def is_fault(self) -> bool:
        return self.proof and self.met is False

    def cells(self) -> tuple[str, ...]:
        """As in HEAD, without the bench."""
        bounds = [f"≥ {_short(self.least)}"] if self.least is not None else []
        bounds += [f"≤ {_short(self.most)}"] if self.most is not None else []
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        measured = f"{_short(self.value)} {self.unit}".rstrip()
        return self.name, measured, self.beside, ratio, ", ".join(bounds), verdict

    def line(self) -> str:
        """One line while the benches run."""
        name, measured, beside, ratio, bounds, verdict = self.cells()
        told = [f"{name}: {measured}"]
        told += [f"{ratio} x {beside}"] if ratio else []
        told += [f"target {bounds}: {verdict}"] if bounds else []
        return "; ".join(told)


def table(measured: Sequence[tuple[str, Figure]]) -> str:
    """All figures as one Markdown table that also reads in a terminal."""
    rows = [HEAD, *((bench, *figure.cells()) for bench, figure in measured)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (wide + 2) for wide in widths) + "|")
    return "\n".join(lines)


def surroundings(command: str) -> str:
    """Machine, versions, date and command, without which a figure says nothing."""
    cores, (load, _, _) = os.cpu_count(), os.getloadavg()
    versions = (
        f"Python {platform.python_version()}",
        *_servers(),
        f"gunicorn {version('gunicorn')}",
    )
    return "\n".join(
        (
            f"- {_cpu()}, {cores} cores, {_memory_gb():.0f} GB, {platform.system()}",
            f"- {', '.join(versions)}, commit {_commit()}",
            f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average {load:.1f}",
            f"- `{command}`",
        )
    )


def _short(value: float) -> str:
    """Three digits are more than a noisy machine can say."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _servers() -> list[str]:
    programs = in_wheels()
    binaries = {"PostgreSQL": programs.postgres / "postgres", "Redis": programs.redis}
    return [f"{name} {_version(binary)}" for name, binary in binaries.items()]


def _version(binary: Path) -> str:
    said = subprocess.run(
        [str(binary), "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    return found[0] if found else said.stdout.strip()


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", path.read_text()) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _commit() -> str:
    """The checked-out commit's name as its folder says it; "unknown" outside a checkout."""
    folder = ROOT / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head[:10]
        loose, packed = folder / name, folder / "packed-refs"
        if loose.exists():
            return loose.read_text().strip()[:10]
        found = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", packed.read_text(), re.MULTILINE)
    except OSError:
        return "unknown"
    return found[1][:10] if found else "unknown"
