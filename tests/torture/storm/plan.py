"""The plan of a storm: which fault hurts what, when and for how long. A seed draws it wholly.

1. A few great faults come first, each once in a short storm and again every few minutes.
2. Each sort of small fault comes again and again, at its own pace, from a shuffled deck of all
   that it can be: none is drawn a second time before every other was drawn once.
3. What is favoured is the whole of its deck, and comes FAVOUR times as often: for a mutant that
   only one sort of bad luck brings to light.
4. Two faults never hold the same process, server or link at a time; and while something
   stands between the phones and their answers no small fault does so too, else nobody would pay.
   What finds no free place a few seconds on is left out.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from app.failpoints import NAMES
from launcher import market as market_file
from launcher.billers import Whereabouts
from sandbox.billers.accounts import from_billers
from sandbox.billers.kinds import kinds_of
from sandbox.faults import BILLER_CALLS, SMS_KINDS
from tests.torture.storm.linked import OURS, SERVERS, link_names
from tests.world import ROOT

SHORT_SECONDS = 120.0  # a storm below that has its great faults once, and shorter ones
GREAT_EVERY_SECONDS = 240.0
LEASE_SECONDS = 30.0  # of a claimed payment, and of a claimed SMS
EVERYTHING = (*OURS, *SERVERS)
RECOVERY_SECONDS = 2.5  # nothing else hurts the same before that
SUN_SECONDS = 4.0  # the least that phones have between two small faults
WEB_SECONDS = 8.0  # the same after the web was started anew, which takes a while
CALM_SECONDS = 8.0  # before the first great fault
FAILPOINTS_LEAST = 3  # in a short storm; the small faults bring more where there is room
TRIES = 20
FAVOUR = 2.0
GREAT = ("lease", "kill_all", "away", "clock", "disk")
OUTSIDE = ("biller", "sms")  # of the outside world, which may have several at a time
BEFORE_PHONES = ("web", *SERVERS, "everything", "phones-web", "web-postgres", "web-redis")
# Seconds between two faults of a sort, on average.
PACES = {
    "failpoint": 10.0,
    "kill": 8.0,
    "freeze": 10.0,
    "flush": 20.0,
    "link": 3.0,
    "biller": 1.5,
    "sms": 4.0,
}


@dataclass(frozen=True)
class Fault:
    """One fault: `at` and `seconds` are seconds, from the beginning of the weather and from there.

    kind       target                facts
    kill       process or server     part: all, master or child
    freeze     process or server     (SIGSTOP, then SIGCONT)
    kill_all   everything            (all at once; all are started `seconds` later)
    failpoint  process               name (armed until it dies there or is started anew)
    flush      redis
    away       redis or postgres     how: kill or end
    link       link                  mode, seconds (of latency), deaf (of half_open)
    lease      worker                (frozen past its lease with sales in its hands)
    biller     biller:CODE           kind, times, on, seconds: as the sandbox takes it
    sms        sms                   the same
    clock      process               offset: seconds that its clock is ahead
    disk       postgres              (the disk of both servers is full)
    """

    at: float
    kind: str
    target: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> float:
        return self.at + self.seconds

    def holds(self) -> set[str]:
        """What no other fault may hurt meanwhile."""
        match self.kind:
            case "kill_all":
                return set(EVERYTHING)
            case "disk":
                return set(SERVERS)
        return {self.target}

    def darkens(self) -> bool:
        """Whether phones are without answers meanwhile, or shortly after."""
        if self.kind == "flush" or self.facts.get("mode") == "latency":
            return False
        return self.target in BEFORE_PHONES


Card = tuple[str, str, float, Mapping[str, Any]]  # a fault without its time


def draw(dice: random.Random, seconds: float, favoured: Collection[str] = ()) -> list[Fault]:
    """The faults of a storm of so many seconds, in the order of their times.

    `favoured` are kinds or targets of faults, or what their facts say.
    """
    found: list[Fault] = []
    rounds = 1 if seconds < SHORT_SECONDS else max(1, round(seconds / GREAT_EVERY_SECONDS))
    for number in range(rounds):
        begin, end = CALM_SECONDS + number * seconds / rounds, (number + 1) * seconds / rounds
        for card in _great(dice, short=seconds < SHORT_SECONDS):
            _place(found, card, _times(dice, begin, end - card[2] - RECOVERY_SECONDS))
    for at, card in sorted(_dealt_out(dice, seconds, favoured), key=lambda dealt: dealt[0]):
        last = seconds - RECOVERY_SECONDS - card[2]
        _place(found, card, (at + wait for wait in range(TRIES) if at + wait < last))
    return sorted(found, key=lambda fault: fault.at)


def _dealt_out(
    dice: random.Random, seconds: float, favoured: Collection[str]
) -> Iterator[tuple[float, Card]]:
    """The small faults, each at the time at which its sort would have it."""
    for sort, cards in _decks().items():
        chosen = [card for card in cards if _is_favoured(card, favoured)]
        pace = PACES[sort] / (FAVOUR if chosen else 1.0)
        at = 0.0
        for card in _dealt(dice, chosen or cards):
            at += pace * dice.uniform(0.2, 1.8)
            if at > seconds:
                break
            yield at, card


def write(faults: Iterable[Fault], path: Path) -> None:
    """One fault a line."""
    path.write_text("".join(json.dumps(asdict(fault)) + "\n" for fault in faults))


def told(faults: Iterable[Fault]) -> str:
    """The plan in lines: what comes when."""
    return "\n".join(_line(fault) for fault in faults)


def _line(fault: Fault) -> str:
    facts = " ".join(f"{name}={value}" for name, value in fault.facts.items())
    lasts = f"{fault.seconds:5.1f} s" if fault.seconds else 7 * " "
    return f"{fault.at:7.1f} {lasts} {fault.kind:9} {fault.target:19} {facts}"


def _times(dice: random.Random, begin: float, end: float) -> Iterator[float]:
    """Random times for a great fault, which must find a place."""
    return (dice.uniform(begin, max(begin, end)) for _ in range(50 * TRIES))


def _place(found: list[Fault], card: Card, times: Iterable[float]) -> None:
    """Add the fault at the first of these times at which nobody else holds what it hurts."""
    kind, target, seconds, facts = card
    tried = [Fault(round(at, 2), kind, target, round(seconds, 2), facts) for at in times]
    if kind in OUTSIDE or not tried:
        found += tried[:1]
        return
    begin, end = min(one.at for one in tried), max(one.end for one in tried)
    near = [
        other
        for other in found
        if other.kind not in OUTSIDE
        and other.at < end + WEB_SECONDS
        and other.end > begin - WEB_SECONDS
    ]
    for fault in tried:
        if all(_apart(fault, other) for other in near):
            found.append(fault)
            return


def _apart(one: Fault, other: Fault) -> bool:
    gap = 0.0
    if one.holds() & other.holds():
        gap = RECOVERY_SECONDS
    if one.darkens() and other.darkens() and not (one.kind in GREAT and other.kind in GREAT):
        first = min(one, other, key=lambda fault: fault.at)
        gap = WEB_SECONDS if first.target in ("web", "everything") else SUN_SECONDS
    return not gap or one.end + gap <= other.at or other.end + gap <= one.at


def _great(dice: random.Random, *, short: bool) -> Sequence[Card]:
    """What needs most room first, so that each finds a place."""
    away_seconds = 10.0 if short else 30.0
    leased = dice.choice(("worker", "worker2"))
    clocks = dice.sample([one for one in OURS if one != leased], 1 if short else 2)
    return (
        ("lease", leased, LEASE_SECONDS + dice.uniform(2, 5), {}),
        ("kill_all", "everything", dice.uniform(0.5, 2.0), {}),
        *(
            ("away", server, away_seconds, {"how": dice.choice(("kill", "end"))})
            for server in SERVERS
        ),
        *(("clock", one, 15.0 if short else 25.0, {"offset": _offset(dice)}) for one in clocks),
        ("disk", "postgres", 4.0 if short else 8.0, {}),
        *dice.sample(_failpoints(), FAILPOINTS_LEAST),
    )


def _offset(dice: random.Random) -> float:
    return round(dice.choice((-1, 1)) * dice.uniform(5, 90), 1)


def _decks() -> dict[str, Sequence[Card]]:
    """For each sort of small fault all that it can be."""
    return {
        "failpoint": _failpoints(),
        "kill": _kills(),
        "freeze": [("freeze", one, 0.0, {}) for one in EVERYTHING],
        "flush": [("flush", "redis", 0.0, {})],
        "link": _links(),
        "biller": _of_billers(),
        "sms": [("sms", "sms", 0.0, {"kind": kind}) for kind in SMS_KINDS],
    }


def _is_favoured(card: Card, favoured: Collection[str]) -> bool:
    kind, target, _, facts = card
    return any(word in favoured for word in (kind, target, *facts.values()))


def _dealt(dice: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    """Shuffled anew each time they are used up."""
    while True:
        for card in dice.sample(cards, len(cards)):
            yield _drawn(dice, card)


def _drawn(dice: random.Random, card: Card) -> Card:
    """With what chance decides of it: for how long, how strong, how often."""
    kind, target, seconds, facts = card
    match kind:
        case "kill":
            return kind, target, dice.choice((0.0, dice.uniform(0.0, 2.0))), facts
        case "freeze":
            return kind, target, dice.uniform(0.5, 6.0), facts
        case "link":
            return (
                kind,
                target,
                dice.uniform(1.0, 6.0),
                {**facts, **_drawn_mode(dice, facts["mode"])},
            )
        case "biller":
            on = dice.choice(BILLER_CALLS) if dice.random() < 0.3 else "transaction"
            slow = {"seconds": round(dice.uniform(0.5, 4.0), 1)} if facts["kind"] == "slow" else {}
            return kind, target, 0.0, {**facts, **slow, "times": dice.randint(1, 3), "on": on}
        case "sms":
            return kind, target, 0.0, {**facts, "times": dice.randint(1, 5)}
    return kind, target, seconds, facts


def _drawn_mode(dice: random.Random, mode: str) -> Mapping[str, Any]:
    match mode:
        case "latency":
            return {"seconds": round(dice.uniform(0.02, 0.4), 3)}
        case "half_open":
            return {"deaf": dice.choice(("client", "server"))}
    return {}


def _kills() -> list[Card]:
    whole = [("kill", one, 0.0, {"part": "all"}) for one in (*EVERYTHING, "sandbox")]
    of_web = [("kill", "web", 0.0, {"part": part}) for part in ("master", "child")]
    return [*whole, *of_web]


def _failpoints() -> list[Card]:
    return [("failpoint", process_of(name), 0.0, {"name": name}) for name in NAMES]


def process_of(failpoint: str) -> str:
    """Who reaches a failpoint."""
    match failpoint.partition(".")[0]:
        case "payment" | "settle" | "batch" | "answer":
            return "worker"
        case "sms":
            return "worker_sms"
    return "web"


def _links() -> list[Card]:
    modes = ("latency", "reset", "half_open", "black_hole")
    return [("link", name, 0.0, {"mode": mode}) for name in link_names() for mode in modes]


def _of_billers() -> list[Card]:
    """Every fault that the sandbox knows of each biller of the demo market."""
    country = market_file.read(ROOT, "demo")
    ports = country.biller_ports(partial(next, itertools.count(1)))
    told = country.of_billers(Whereabouts("http://127.0.0.1:1", "http://127.0.0.1:1", ROOT, ports))
    accounts = from_billers(told["SANDBOX_BILLERS"])
    return [
        ("biller", f"biller:{code}", 0.0, {"kind": kind})
        for code, account in accounts.items()
        for kind in kinds_of(account)
    ]
