"""Whole ordered sessions at 1, 8 and 64 callers, every body checked, beside the bare Flask view.

Each caller is a person of their own with one session after the other, in two languages. Rounds of
three lines alternate: the bare view; people who look around; and people of whose sessions one in
four pays a bill, so that money moves while they wait. Afterwards the outside world is asked: what
was confirmed was sold once, the ledger verifies, and each phone is told the balance that is left.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from app.staff.status import read_status
from bench.callers import Hop, Played, Session, WrongScreen, play
from bench.figures import Figure
from bench.person import PLAIN, Person
from bench.web import START_SECONDS, add_people, bare_view, hop_request, new_session_id
from launcher.servers import temporary_servers
from tests.servers import migrate
from tests.world import World, wait_for

CALLERS = (1, 8, 64)
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
HOPS_A_ROUND = 1600
BROWSE_HOPS = 8
START = 100_000  # whole shillings
REST_SECONDS = 60.0
BARE, BROWSING, PAYING = "bare Flask, GET + SET", "looking around", "one session in four pays"
SHOWN_MOST = 5
P50, P95, P99 = 49, 94, 98


@dataclass
class Line:
    """One line of the table over all its rounds."""

    rounds: list[Played] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(played.rate for played in self.rounds)

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for played in self.rounds for kind in played.seconds))

    def times(self, kind: str = "") -> list[float]:
        """Milliseconds of all hops, or of those of a kind."""
        return [
            seconds * 1000
            for played in self.rounds
            for name, measured in played.seconds.items()
            if kind in ("", name)
            for seconds in measured
        ]


def run() -> list[Figure]:
    """Hops a second, what was wrong, and what the money says; all times are printed."""
    figures: list[Figure] = []
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        workers = {"WEB_WORKERS": os.environ.get("WEB_WORKERS", "2")}
        world = World(
            Path(folder), app_url, owner_url, servers.redis_url, extra=workers, forked=False
        )
        world.start()
        try:
            world.wait_ready(START_SECONDS)
            with bare_view(world) as bare_port:
                people = [
                    person
                    for callers in CALLERS
                    for person in _compare(world, parts, bare_port, callers, figures)
                ]
            return figures + _judge(world, people)
        finally:
            world.stop()
            parts.db.dispose()


def _compare(
    world: World, parts: Runtime, bare_port: int, callers: int, figures: list[Figure]
) -> list[Person]:
    """All rounds of so many callers, whose figures are added; who they were."""
    languages = ("en", "sw")
    msisdns = add_people(parts, callers, START * 100, *languages)
    people = [Person(msisdn, languages[at % 2], START) for at, msisdn in enumerate(msisdns)]
    sessions = max(1, HOPS_A_ROUND // (BROWSE_HOPS * callers))
    turns = 2 if callers < CALLERS[-1] else 1
    rounds: dict[str, Callable[[], Played]] = {
        BARE: lambda: play(bare_port, [[_bare(sessions * BROWSE_HOPS)] for _ in people]),
        BROWSING: lambda: play(
            world.port, [[who.browse() for _ in range(sessions)] for who in people]
        ),
        PAYING: lambda: _paying(world, parts, people, turns),
    }
    lines = {name: Line() for name in rounds}
    for turn in range(ROUNDS + 1):
        for name, measure in rounds.items():
            played = measure()
            if turn or played.wrong or played.errors:  # the first one warms up
                lines[name].rounds.append(played)
    figures += _report(callers, lines, people)
    return people


def _bare(hops: int) -> Session:
    session_id = new_session_id()
    for _ in range(hops):
        body = yield Hop(hop_request(session_id, "+254711000001", "5*0*5"), PLAIN)
        if body != "CON Hello":
            raise WrongScreen(repr(body))


def _paying(world: World, parts: Runtime, people: list[Person], turns: int) -> Played:
    """Four sessions of each person a turn; the next round begins when all payments are over."""

    def sessions(who: Person) -> Iterator[Session]:
        for _ in range(turns):
            yield from (who.browse(), who.pay(), who.browse(), who.look_back())

    played = play(world.port, [list(sessions(who)) for who in people])
    wait_for(lambda: _at_rest(parts), REST_SECONDS, "payments and SMS to come to rest")
    for who in people:
        who.at_rest()
    return played


def _at_rest(parts: Runtime) -> bool:
    status = parts.db.transact(read_status)
    moving = {"held", "sent", "unknown"} & set(status.open_payments)
    return not moving and not {"due", "sending"} & set(status.open_messages)


def _report(callers: int, lines: dict[str, Line], people: list[Person]) -> list[Figure]:
    print(f"{callers} caller(s), {ROUNDS} rounds; ms{'':29}hops/s    p50    p95    p99   hops")
    for name, line in lines.items():
        _row(name, line.times(), f"{line.rate:8,.0f}")
        for kind in line.kinds if name != BARE else ():
            _row(f"  of these: {kind}", line.times(kind), "")
    rounds = [played for line in lines.values() for played in line.rounds]
    cpu = sum(played.client_cpu for played in rounds) / sum(played.hops for played in rounds)
    print(
        f"  the client costs {cpu * 1e6:.0f} µs of CPU a hop; "
        f"{sum(who.crowded for who in people)} payments turned away, places to wait were taken"
    )
    wrong = [text for played in rounds for text in played.wrong + played.errors]
    for text in wrong[:SHOWN_MOST]:
        print(f"    {text}")
    bare, who = lines[BARE].rate, f"{callers} caller{'s' if callers > 1 else ''}"
    beside = f"bare Flask, GET + SET: {bare:,.0f}/s"
    return [
        *(
            Figure(f"{name}, {who}", lines[name].rate, "hops/s", beside, lines[name].rate / bare)
            for name in (BROWSING, PAYING)
        ),
        Figure(f"wrong screens and errors, {who}", len(wrong), "", most=0, proof=True),
    ]


def _row(name: str, times_ms: list[float], rate: str) -> None:
    if len(times_ms) > 1:
        cuts = quantiles(times_ms, n=100)
        shown = "".join(f"{cuts[at]:7.1f}" for at in (P50, P95, P99))
        print(f"  {name:38}{rate:>8}{shown}{len(times_ms):7d}")


def _judge(world: World, people: list[Person]) -> list[Figure]:
    """What the outside world says of the money."""
    sold = Counter((sale["customer_no"], sale["amount"]) for sale in world.sales())
    asked = Counter((one.meter, one.amount) for who in people for one in who.payments)
    doubles, lost, unasked = sum((sold - asked).values()), asked - sold, set(sold) - set(asked)
    told = play(world.port, [[who.look_at_balance()] for who in people])
    print(f"{sum(asked.values())} payments confirmed, {sum(sold.values())} sold")
    for text in (told.wrong + told.errors)[:SHOWN_MOST]:
        print(f"    {text}")
    told_wrong = len(told.wrong) + len(told.errors)
    books = sum(world.flask(name).returncode != 0 for name in ("verify", "trial-balance"))
    wrong = {
        "payments sold twice": doubles,
        "payments confirmed and not sold": sum(lost.values()),
        "sales that nobody confirmed": len(unasked),
        "balances told wrong": told_wrong,
        "of verify and trial-balance not clean": books,
    }
    return [Figure(name, count, "", most=0, proof=True) for name, count in wrong.items()]
