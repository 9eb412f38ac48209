"""How each kind of fault begins and ends. Each says a word where it did not come about."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests
from redis.exceptions import RedisError

from tests.torture.storm.house import House
from tests.torture.storm.linked import Orders
from tests.torture.storm.machine import BALLAST, Absent, fill
from tests.torture.storm.plan import EVERYTHING, Fault

IN_HAND_SECONDS = 0.7  # until a worker holds sales that their billers are slow with
SLOW = {"kind": "slow", "seconds": 3.0, "times": 4}


@dataclass(frozen=True)
class Means:
    """What a machine lends for the faults that not every machine can have.

    `clock` is the library that gives a process another clock, `disk` the small file system that
    both servers have their data on.
    """

    clock: Path | Absent
    disk: Path | Absent

    @property
    def absent(self) -> Mapping[str, Absent]:
        """The kinds of faults that cannot be had, and why."""
        kinds = {"clock": self.clock, "disk": self.disk}
        return {kind: why for kind, why in kinds.items() if isinstance(why, Absent)}


Step = Callable[[House, Means, Fault], str]


def begin(house: House, means: Means, fault: Fault) -> str:
    """Let a fault begin; "", or why it did not."""
    if fault.kind in means.absent:
        return means.absent[fault.kind].why
    return _STEPS[fault.kind][0](house, means, fault)


def end(house: House, means: Means, fault: Fault) -> str:
    """Let a fault end that has begun; "", or what did not come of it."""
    return _STEPS[fault.kind][1](house, means, fault)


def _nothing(_house: House, _means: Means, _fault: Fault) -> str:
    return ""


def _kill(house: House, _means: Means, fault: Fault) -> str:
    part = fault.facts["part"]
    if part == "all":
        house.kill(fault.target)
        return ""
    return "" if house.kill_one(fault.target, child=part == "child") else "there was no such child"


def _start(house: House, _means: Means, fault: Fault) -> str:
    if fault.facts.get("part", "all") == "all":
        house.start(fault.target)
    return ""  # a master or a child is started again by whoever watches over it


def _kill_all(house: House, _means: Means, _fault: Fault) -> str:
    house.kill(*EVERYTHING)
    return ""


def _start_all(house: House, _means: Means, _fault: Fault) -> str:
    house.start(*reversed(EVERYTHING))
    return ""


def _freeze(house: House, _means: Means, fault: Fault) -> str:
    house.freeze(fault.target)
    return ""


def _go_on(house: House, _means: Means, fault: Fault) -> str:
    house.go_on(fault.target)
    return ""


def _arm(house: House, _means: Means, fault: Fault) -> str:
    house.kill(fault.target)
    house.start(fault.target, orders=Orders(failpoint=fault.facts["name"]))
    return ""


def _flush(house: House, _means: Means, _fault: Fault) -> str:
    try:
        house.world.flush_redis()
    except RedisError as error:
        return f"redis: {error}"
    return ""


def _take_away(house: House, _means: Means, fault: Fault) -> str:
    if fault.facts["how"] == "kill":
        house.kill(fault.target)
    else:
        house.end(fault.target)
    return ""


def _set_link(house: House, _means: Means, fault: Fault) -> str:
    facts = fault.facts
    house.world.links.set(
        fault.target,
        facts["mode"],
        seconds=facts.get("seconds", 0.0),
        deaf=facts.get("deaf", "client"),
    )
    return ""


def _open_link(house: House, _means: Means, fault: Fault) -> str:
    house.world.links.set(fault.target, "open")
    return ""


def _sleep_past_lease(house: House, means: Means, fault: Fault) -> str:
    """Asleep with sales in hand, if the sandbox lives and is slow with them when asked."""
    for code in _called(house):
        _ask(house, f"biller:{code}", SLOW)
    time.sleep(IN_HAND_SECONDS)
    return _freeze(house, means, fault)


def _misbehave(house: House, _means: Means, fault: Fault) -> str:
    return _ask(house, fault.target, fault.facts)


def _change_clock(house: House, means: Means, fault: Fault) -> str:
    assert isinstance(means.clock, Path)
    house.kill(fault.target)
    orders = Orders(clock_seconds=fault.facts["offset"], library=str(means.clock))
    house.start(fault.target, orders=orders)
    return ""


def _right_clock(house: House, _means: Means, fault: Fault) -> str:
    said = "" if house.has_clock(fault.target) else "it ended before its time"
    house.kill(fault.target)
    house.start(fault.target)
    return said


def _fill_disk(_house: House, means: Means, _fault: Fault) -> str:
    assert isinstance(means.disk, Path)
    fill(means.disk)
    return ""


def _empty_disk(house: House, means: Means, _fault: Fault) -> str:
    """A server that gave up meanwhile is started again."""
    assert isinstance(means.disk, Path)
    (means.disk / BALLAST).unlink()
    house.start("redis", "postgres")
    return ""


def _ask(house: House, target: str, facts: Mapping[str, object]) -> str:
    """Ask the sandbox for a fault; it may be dead just now."""
    try:
        house.world.sandbox("POST", "/faults", {"target": target, **facts})
    except requests.RequestException as error:
        return f"the sandbox: {type(error).__name__}"
    return ""


def _called(house: House) -> list[str]:
    return [one.code for one in house.world.country.biller_files if one.family != "file"]


_STEPS: Mapping[str, tuple[Step, Step]] = {
    "kill": (_kill, _start),
    "freeze": (_freeze, _go_on),
    "kill_all": (_kill_all, _start_all),
    "failpoint": (_arm, _nothing),
    "flush": (_flush, _nothing),
    "away": (_take_away, _start),
    "link": (_set_link, _open_link),
    "lease": (_sleep_past_lease, _go_on),
    "biller": (_misbehave, _nothing),
    "sms": (_misbehave, _nothing),
    "clock": (_change_clock, _right_clock),
    "disk": (_fill_disk, _empty_disk),
}
