"""100,000 live sessions: what one takes in Redis, and what the others cost a hop.

The sessions that are copied were played over HTTP. Two are weighed: somebody new before the PIN of
a first payment, and the widest that people make: a long name, a payment a while ago, mistakes on
the way to a large amount, in the language that makes it widest. The copies differ in number,
session, person, intent and everything that is hashed, and the store itself saves them, with the
pointer from the number. All the rest is measured with the widest.

Two Redis servers stand side by side, each with a web process: one keeps 100 sessions, the other is
filled up. They take turns reply by reply: each reply goes to 100 sessions here and to 100 there in
which the same was done before, and each body is checked; so only how many there are differs.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from uuid import uuid4

import redis

from app.cli.demo import PIN
from app.factory import build_runtime
from app.gateways import africastalking
from app.runtime import Runtime
from app.settings import Settings
from app.ussd.live import SESSION_BYTES, Live
from app.ussd.redelivery import digest
from app.ussd.session import SessionStore
from bench.callers import Hop, Session, WrongScreen, play
from bench.figures import Figure
from bench.person import PLAIN
from bench.web import (
    START_SECONDS,
    add_people,
    hop_request,
    new_session_id,
    wait_until_listening,
)
from launcher.redis import Redis
from launcher.servers import Servers, temporary_servers
from tests.people import fresh_meter
from tests.servers import migrate
from tests.world import Phone, World

FEW, MANY = 100, int(os.environ.get("BENCH_LIVE_SESSIONS", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
ROUNDS_BEFORE = max(1, ROUNDS // 2)
WEIGHED = 20_000
RATIO_MOST = 1.2
LIVE_SECONDS = 900  # what expires while we measure would be measured too
GATEWAY = africastalking.GATEWAY
NAME = "Wanjiru Nyambura Kamau Odhiambo Achieng"
PREFIX = "ussd:"
TYPED = ("1", "1", "1", "{meter}", "200")
# Wrong meter, right one, two wrong amounts, the largest: the session remembers as much as it can.
MISTYPED = ("1", "1", "1", "5", "{meter}", "5", "0x", "50000")
# Back through all screens to home, and then around; no reply reads SQL.
REPLIES = ("0", "0", "0", "0", *("1", "0") * 8)


@dataclass
class Side:
    """One Redis with its web process; `unused` are sessions in which nothing was done."""

    store: SessionStore
    redis: redis.Redis
    port: int
    parts: Runtime
    unused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Model:
    """The session that is copied: its texts so far, and what each of REPLIES shows in it."""

    live: Live
    texts: Sequence[str]
    screens: Sequence[str]


def run() -> list[Figure]:
    """Bytes a session, and the time of a hop among few and among many."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        migrate(servers.url("kibanda_owner"))
        other = Redis(servers.places, servers.programs, "redis_many")
        other.start()
        try:
            with (
                _side(servers, servers.redis_url, Path(folder) / "few") as (few, world),
                _side(servers, other.url(), Path(folder) / "many") as (many, _),
            ):
                usual, widest = _models(world, few)
                figures = _weigh("a usual session", many, usual, WEIGHED)
                _only(many, widest, FEW)
                figures.append(_compare(few, many, widest, ROUNDS_BEFORE, FEW))
                figures += _weigh("the widest session", many, widest, MANY)
                figures.append(_compare(few, many, widest, ROUNDS, MANY))
                print(f"  live at the end: {_live_count(many):,}")
                return figures
        finally:
            other.stop()


@contextmanager
def _side(servers: Servers, redis_url: str, folder: Path) -> Iterator[tuple[Side, World]]:
    folder.mkdir()
    app_url = servers.url("kibanda_app")
    parts = build_runtime(Settings(database_url=app_url, redis_url=redis_url))
    world = World(folder, app_url, servers.url("kibanda_owner"), redis_url, forked=False)
    world.start("web")
    try:
        wait_until_listening(world.port)
        client = redis.Redis.from_url(redis_url)
        yield Side(parts.sessions, client, world.port, parts), world
    finally:
        world.stop()
        parts.db.dispose()


def _models(world: World, side: Side) -> tuple[Model, Model]:
    """A usual session, and the widest of all languages, played for real."""
    helpers = ("sandbox", "worker", "worker_sms", "schedule")
    world.start(*helpers)
    world.wait_ready(START_SECONDS)
    languages = side.parts.market.languages
    (newcomer,) = add_people(side.parts, 1, 1_000_000, languages[0])
    usual = _played(side, newcomer, TYPED)
    wide = [_played(side, _payer(world, side, one), MISTYPED) for one in languages]
    for helper in helpers:
        world.kill(helper)
    return usual, max(wide, key=lambda model: len(model.live.encode()))


def _payer(world: World, side: Side, language: str) -> str:
    """The number of somebody who has just paid."""
    (msisdn,) = add_people(side.parts, 1, 1_000_000, language, name=NAME)
    phone = Phone(world, msisdn)
    phone.dial()
    for reply in ("1", "1", "1", fresh_meter(), "200", PIN):
        phone.reply(reply)
    phone.wait_sms(1)
    return msisdn


def _played(side: Side, msisdn: str, typed: Sequence[str]) -> Model:
    """A session that stands before the PIN."""
    session_id, meter = new_session_id(), fresh_meter()
    texts = _texts("", [reply.format(meter=meter) for reply in typed])
    _answers(side.port, session_id, msisdn, texts)
    live = side.store.peek(side.store.hash_of(GATEWAY.name, session_id))
    assert live
    assert live.state == "bill.confirm", live.state
    replies = _texts(texts[-1], REPLIES)[1:]
    return Model(live, texts, _answers(side.port, session_id, msisdn, replies))


def _answers(port: int, session_id: str, msisdn: str, texts: Sequence[str]) -> list[str]:
    """What the web process answers to each text of a session."""
    bodies: list[str] = []

    def session() -> Session:
        for text in texts:
            body = yield Hop(hop_request(session_id, msisdn, text), PLAIN)
            bodies.append(body)

    played = play(port, [[session()]])
    assert not played.errors, played.errors
    return bodies


def _texts(before: str, replies: Sequence[str]) -> list[str]:
    """The accumulated text before the replies and after each."""
    texts = [before]
    for reply in replies:
        texts.append(f"{texts[-1]}*{reply}" if texts[-1] else reply)
    return texts


def _copies(side: Side, model: Model, count: int) -> None:
    """Save so many copies of the session, each of a person of its own."""
    store, kept = side.store, model.live
    for _ in range(count):
        session_id, msisdn = new_session_id(), f"+2547{random.randrange(10**8):08d}"
        session_hash = store.hash_of(GATEWAY.name, session_id)
        seen: list[object] = []
        for text in model.texts:
            seen += (len(text), digest(store.key, session_hash, text))
        assert kept.person
        live = replace(
            kept,
            msisdn=msisdn,
            revision=0,
            seen=seen,
            person=[uuid4().hex, *kept.person[1:]],
            data={**kept.data, "intent": str(uuid4())},
        )
        lost = store.finish(session_hash, "", live, LIVE_SECONDS, point_seconds=LIVE_SECONDS)
        assert lost is None, lost
        side.unused.append((session_id, msisdn))


def _weigh(what: str, side: Side, model: Model, count: int) -> list[Figure]:
    """Fill up to `count` sessions; what one takes."""
    _only(side, model, FEW)
    before = side.redis.info("memory")["used_memory"]
    _copies(side, model, count - FEW)
    whole = (side.redis.info("memory")["used_memory"] - before) / (count - FEW)
    hashes = [side.store.hash_of(GATEWAY.name, one) for one, _ in random.sample(side.unused, FEW)]
    keys = [f"{PREFIX}{one.hex()}" for one in hashes]
    encoded = max(side.redis.strlen(key) for key in keys)
    usage = max(side.redis.memory_usage(key, samples=0) or 0 for key in keys)
    print(
        f"{what}, language {model.live.language!r}: {whole:.0f} bytes of used_memory among "
        f"{count:,}, with the pointer from its number and both expiries"
    )
    return [
        Figure(f"{what}, encoded", encoded, "bytes", most=SESSION_BYTES),
        Figure(f"{what}, by MEMORY USAGE", usage, "bytes", most=SESSION_BYTES),
    ]


def _only(side: Side, model: Model, count: int) -> None:
    """Just so many sessions, all of them new."""
    side.redis.flushdb()
    side.unused.clear()
    _copies(side, model, count)


def _compare(few: Side, many: Side, model: Model, rounds: int, count: int) -> Figure:
    """The medians of the rounds, and the median of their ratios."""
    measured = [_round(few, many, model) for _ in range(rounds + 1)][1:]  # the first one warms up
    ratio = median(among_many / among_few for among_few, among_many in measured)
    ours, theirs = (median(column) * 1e6 for column in zip(*measured, strict=True))
    beside = f"among {FEW}: {ours:.0f} µs"
    if count == FEW:
        beside += ", by which the two servers differ"
    most = RATIO_MOST if count > FEW else None
    name = f"hop among {count:,} live sessions, p50"
    return Figure(name, theirs, "µs", beside, ratio, most=most)


def _round(few: Side, many: Side, model: Model) -> tuple[float, float]:
    """Median seconds of a hop on both sides."""
    _only(few, model, FEW)
    if len(many.unused) < FEW:
        _only(many, model, FEW)
    random.shuffle(many.unused)
    sides = [(side, [side.unused.pop() for _ in range(FEW)]) for side in (few, many)]
    seconds: dict[int, list[float]] = {few.port: [], many.port: []}
    for text, screen in zip(_texts(model.texts[-1], REPLIES)[1:], model.screens, strict=True):
        for side, chosen in sides:
            seconds[side.port] += _one_reply(side.port, chosen, text, screen)
        sides.reverse()
    return median(seconds[few.port]), median(seconds[many.port])


def _one_reply(port: int, chosen: Sequence[tuple[str, str]], text: str, screen: str) -> list[float]:
    """Send a text in all chosen sessions; seconds of each hop."""

    def hops() -> Session:
        for session_id, msisdn in chosen:
            body = yield Hop(hop_request(session_id, msisdn, text), PLAIN)
            if body != screen:
                raise WrongScreen(f"{body!r} and not {screen!r}")

    played = play(port, [[hops()]])
    assert not played.wrong, played.wrong[0]
    assert not played.errors, played.errors[0]
    return played.seconds[PLAIN]


def _live_count(side: Side) -> int:
    """How many sessions did not expire; every one also has its pointer."""
    return sum(1 for key in side.redis.scan_iter(count=5000) if b":of:" not in key)
