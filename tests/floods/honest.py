"""An honest phone beside a flood: how long its hops take before and meanwhile, in one run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from bench.web import new_session_id
from tests.floods.flooding import connect, hop
from tests.world import ROOT, World

THINK_SECONDS = 0.005  # between two hops; a thumb needs a thousand times that
# My account, back, help of it, back: screens of everyday, none of which moves money.
REPLIES = ("7", "0", "7", "0", "7", "0")
MENUS = ("CON My account", "CON Kibanda")
P50, P99, OK = 49, 98, 200


@dataclass
class Times:
    """Milliseconds of an honest phone's hops, and what it should not have been shown."""

    ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def at(self, percentile: int) -> float:
        return quantiles(self.ms, n=100)[percentile]


def dial(world: World, msisdns: list[str], times: Times) -> list[tuple[str, str]]:
    """Each of these phones dials once: numbers and session ids."""
    line, dialled = connect(world.port), []
    for msisdn in msisdns:
        session_id = new_session_id()
        _timed(line, session_id, msisdn, "", times)
        dialled.append((msisdn, session_id))
    line.close()
    return dialled


def reply(world: World, dialled: list[tuple[str, str]], times: Times) -> None:
    """The phones that have dialled look around."""
    line = connect(world.port)
    for msisdn, session_id in dialled:
        text = ""
        for typed in REPLIES:
            text = f"{text}*{typed}" if text else typed
            _timed(line, session_id, msisdn, text, times)
    line.close()


def measure(world: World, msisdns: list[str], seconds: float) -> Times:
    """These phones one after the other, again and again; each hop must show its screen."""
    times, until, turn = Times(), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        reply(world, dial(world, [msisdns[turn % len(msisdns)]], times), times)
        turn += 1
    return times


def _timed(line: socket.socket, session_id: str, msisdn: str, text: str, times: Times) -> None:
    began = time.perf_counter()
    status, body = hop(line, session_id, msisdn, text)
    times.ms.append((time.perf_counter() - began) * 1000)
    if status != OK or not body.startswith(MENUS):
        times.wrong.append(f"{status} {body[:60]!r} after {text!r}")
    time.sleep(THINK_SECONDS)


@contextmanager
def flooding(world: World, first: str, **options: float) -> Iterator[dict[str, Any]]:
    """A flood meanwhile; what it was told is in the dict afterwards."""
    words = [word for name, value in options.items() for word in (f"--{name}", f"{value:g}")]
    flood = subprocess.Popen(
        [sys.executable, "-m", "tests.floods.flooding", "--port", str(world.port),
         "--first", first, *words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    told: dict[str, Any] = {}
    try:
        time.sleep(2.0)  # it starts, and has its first dials behind it
        yield told
    finally:
        said, _ = flood.communicate(timeout=60)
        told.update(json.loads(said))
