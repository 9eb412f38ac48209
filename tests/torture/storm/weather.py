"""The weather: every fault of a plan begins and ends in its time.

What really happened goes to `weather.jsonl` as each fault ends, one a line: the fault, what it
hurt, when it began and ended by the clock of all (seconds since 1970), and a note where something
did not come about.
"""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from tests.torture.storm import faults
from tests.torture.storm.faults import Means
from tests.torture.storm.house import House
from tests.torture.storm.plan import Fault

FILE = "weather.jsonl"
WAIT_SECONDS = 0.5  # until a fault looks again whether another has let go


class Weather:
    """Faults over a house; for the main thread, which alone may start a server."""

    def __init__(self, house: House, means: Means) -> None:
        self._house, self._means = house, means
        self._held: set[str] = set()  # what the faults that last hurt just now
        self.happened: Counter[str] = Counter()  # by kind
        self.missed: list[str] = []  # what did not come about, and why

    def blow(self, plan: Sequence[Fault], seconds: float) -> None:
        """Return when the storm is over and every fault has ended."""
        begin, numbers = time.monotonic(), itertools.count()
        agenda = [(fault.at, next(numbers), fault, 0.0) for fault in plan]
        heapq.heapify(agenda)
        while agenda:
            at, _, fault, began = heapq.heappop(agenda)
            time.sleep(max(0.0, begin + at - time.monotonic()))
            if began:
                self._held -= fault.holds()
                self._note(fault, began, faults.end(self._house, self._means, fault))
                continue
            now = time.monotonic() - begin
            if self._held & fault.holds():  # a slow machine lags behind the plan
                if now < seconds:
                    heapq.heappush(agenda, (now + WAIT_SECONDS, next(numbers), fault, 0.0))
                else:
                    self._note(fault, time.time(), "no time was left for it")
                continue
            began = time.time()
            problem = faults.begin(self._house, self._means, fault)
            if problem:
                self._note(fault, began, problem)
            else:
                self._held |= fault.holds()
                until = time.monotonic() - begin + fault.seconds
                heapq.heappush(agenda, (until, next(numbers), fault, began))
        time.sleep(max(0.0, begin + seconds - time.monotonic()))

    def told(self) -> str:
        """What came about and what did not, in lines."""
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(self.happened.items()))
        died = ", ".join(sorted(set(self._house.reached))) or "none"
        lines = (f"came about: {counted}", f"died at the failpoints: {died}")
        return "\n".join((*lines, *(f"not: {one}" for one in self.missed)))

    def _note(self, fault: Fault, began: float, note: str) -> None:
        if note:
            self.missed.append(f"{fault.kind} {fault.target} {json.dumps(fault.facts)}: {note}")
        else:
            self.happened[fault.kind] += 1
        line = {
            **asdict(fault),
            "hurts": sorted(fault.holds()),
            "began": began,
            "ended": time.time(),
            "note": note,
        }
        with (self._house.folder / FILE).open("a") as written:
            written.write(json.dumps(line) + "\n")
