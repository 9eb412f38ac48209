"""Phones on which somebody presses keys without a plan: nobody's money moves, nothing grows.

Every key of a phone, numbers that mean something, letters of many scripts; hops sent twice, texts
that do not extend what was seen, sessions given up, end events. The one thing that is never typed
is a PIN that is right.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from bench.callers import Hop, Session, WrongScreen, play
from bench.web import hop_request, new_session_id
from tests.floods.rubbish import Before, resident_kib
from tests.people import fresh_msisdn
from tests.world import World

CONNECTIONS = 16
ROUND_HOPS = 20_000  # one line is printed for so many
WARM_HOPS_MOST = 4_000  # until every screen was made once, and every thread has its connections
RIGHT_PIN = "7391"
KEYS = (
    *("123456789" * 4), "0", "00", "98", "1*1", "*", "#", "-1", "", " ", "1234", "9999", "50",
    "200", "54100234563", "0711000002", "+254711000002", "482910", "12345678901", "1000000", "0.5",
    "Amina", "J", "مرحبا", "ሰላም", "😀", "\u202e1", "é", "{care}", "%", "x" * 300, "9" * 200,
)  # fmt: skip
FIRST = ("",) * 12 + ("51*54100234563*200", "1*1", "999", "x", "51")


@dataclass
class Walk:
    """What was seen of so many hops."""

    hops: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    rounds: list[tuple[int, float, int]] = field(default_factory=list)


def walk(world: World, people: list[str], hops: int, seed: int, say: bool = False) -> Walk:
    """So many hops or a few more; `rounds` has hops, hops a second and KiB after each."""
    done, dice = Walk(), random.Random(seed)
    phones = [*people, *(fresh_msisdn() for _ in range(len(people)))]
    while done.hops < hops:
        share = min(ROUND_HOPS, hops - done.hops) // CONNECTIONS + 1
        callers = [
            _sessions(random.Random(dice.random()), phones[place::CONNECTIONS], share)
            for place in range(CONNECTIONS)
        ]
        played = play(world.port, callers)
        done.hops += played.hops
        done.seconds += played.took
        done.wrong += played.wrong + played.errors
        done.rounds.append((done.hops, played.rate, resident_kib(world)))
        if say:
            print(
                f"{done.hops:,} hops, {played.rate:,.0f}/s, {done.rounds[-1][2]:,} KiB", flush=True
            )
        if len(done.wrong) > 20:
            break
    return done


def _sessions(dice: random.Random, phones: list[str], hops: int) -> list[Session]:
    """Sessions of a connection's own phones, enough for so many hops; then they are empty."""
    left = [hops]
    return [_session(dice, dice.choice(phones), left) for _ in range(hops)]


def _session(dice: random.Random, msisdn: str, left: list[int]) -> Session:
    session_id, text = new_session_id(), dice.choice(FIRST)
    if left[0] <= 0:
        return
    for _ in range(dice.randint(1, 14)):
        request = hop_request(session_id, msisdn, text)
        left[0] -= 1
        body = yield Hop(request, "hop")
        if not body.startswith(("CON ", "END ")):
            raise WrongScreen(repr(body[:100]))
        if dice.random() < 0.08:
            left[0] -= 1
            again = yield Hop(request, "again")
            if again != body:
                raise WrongScreen(f"{again[:80]!r} when sent again, instead of {body[:80]!r}")
        if body.startswith("END ") and dice.random() < 0.8:
            break
        text = _next(dice, text)
    if dice.random() < 0.2:
        yield Hop(_ended(session_id, msisdn), "end event")


def _next(dice: random.Random, text: str) -> str:
    typed = dice.choice(KEYS)
    if RIGHT_PIN in typed or len(text) > 3500:
        return ""
    if dice.random() < 0.03:
        return typed  # extends nothing
    return f"{text}*{typed}" if text else typed


def _ended(session_id: str, msisdn: str) -> bytes:
    body = (
        f"sessionId={session_id}&phoneNumber=%2B{msisdn[1:]}&networkCode=99999&status=Incomplete"
        "&serviceCode=%2A384%2A123%23&durationInMillis=100&hopsCount=3&cost=1&hopsMetadata=home"
    )
    return (
        "POST /callbacks/africastalking/ussd/end?token=demo HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def judged(
    world: World, before: Before, people: list[str], hops: int, seed: int, say: bool
) -> Walk:
    """Walk between two looks at money and memory. AssertionError for whatever is not as it was."""
    walk(world, people, min(WARM_HOPS_MOST, hops // 3), seed + 1)
    before.kib = resident_kib(world)
    began = time.monotonic()
    done = walk(world, people, hops, seed, say)
    assert not done.wrong, done.wrong[:5]
    assert done.hops >= hops
    before.changed_nothing()
    if say:
        grown = resident_kib(world) - before.kib
        took = time.monotonic() - began
        print(
            f"{done.hops:,} hops in {took:,.0f} s, {done.hops / done.seconds:,.0f}/s;"
            f" web {before.kib:,} KiB before, {grown:+,} KiB after; no balance changed"
        )
    return done
