"""I11: what is due is acted on within five seconds while its worker lives.

The lookout wrote down, second by second, what was overdue, until all had come to rest. That counts
when nothing that the row needs was hurt just then or a little before: a worker that starts again,
or reaches its servers again, needs some seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.storm.judging.evidence import Evidence

AFTERMATH_SECONDS = 8.0
LOOKS_IN_A_ROW = 2  # the row may have been taken while the look was being written
EVERYTHING = ("postgres", "redis", "redis was flushed", "kill_all", "disk", "schedule")
OF_PAYMENTS = ("worker", "worker2")  # one is enough
OF_MESSAGES = ("worker_sms",)


def in_time(evidence: Evidence) -> Iterator[str]:
    """One fault a row that was seen overdue, with how long it was."""
    looks = evidence.of("look")
    if not looks:
        yield "I11: nobody looked"
    for what, workers in (("payments", OF_PAYMENTS), ("messages", OF_MESSAGES)):
        seen: dict[str, list[float]] = {}
        for look in looks:
            if _is_calm(evidence, look["at"], workers):
                for name in look[what]:
                    seen.setdefault(name, []).append(look["at"])
        for name, times in seen.items():
            if len(times) >= LOOKS_IN_A_ROW:
                yield f"I11: {what} {name} was overdue for {times[-1] - times[0]:.0f} s and more"


def _is_calm(evidence: Evidence, at: float, workers: tuple[str, ...]) -> bool:
    """Whether nothing that all need was hurt lately, and one of the workers was not."""
    since = at - AFTERMATH_SECONDS
    if evidence.troubled(since, at, *EVERYTHING):
        return False
    return not all(evidence.troubled(since, at, worker) for worker in workers)
