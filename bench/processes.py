"""What a process has used, by /proc: CPU and memory of somebody else's, hence Linux only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes: resident, and what no other process shares (what its end would give back)."""

    rss: float
    uss: float


def cpu_seconds(pid: int) -> float:
    """CPU of a process so far, its threads included, its children not."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kilobytes = {name: int(value) for name, value in re.findall(r"(\w+): +(\d+) kB", told)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return Memory(kilobytes["Rss"] / MB, private / MB)


def children(pid: int) -> list[int]:
    """The processes that a process started, oldest first."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
