"""How much may come from one number and at one gateway, on the engine over a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import redis

from app.telemetry import FLOODS
from app.ussd.floods import Most
from app.ussd.session import SessionStore
from tests.ussd.phone import KEY, Bench, Phone, at_once

FLOODING = "Too much has come from this number. Wait a minute, then dial again. Help:"
CROWDED = "Very many people are dialling now. Please dial again in a minute. Help:"
LOOSE = 1_000_000


@dataclass
class Guarded(Bench):
    """A bench whose store has limits."""

    most: Most = field(default_factory=lambda: Most(20, 5, LOOSE))

    def __post_init__(self) -> None:
        self.store = SessionStore(self.redis_url, KEY, prefix=self.prefix, most=self.most)
        self.release(self.version)

    def keys(self) -> dict[str, int]:
        """Every key of this bench and how many ms it still lives."""
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as asked:
            return {key: asked.pttl(key) for key in asked.scan_iter(f"{self.prefix}*")}

    def forget(self, ending: str) -> None:
        """The windows of all numbers end, as after their time."""
        with redis.Redis.from_url(self.redis_url) as asked:
            for key in self.keys():
                if key.endswith(ending):
                    asked.delete(key)


@pytest.fixture
def bench(redis_url: str) -> Iterator[Guarded]:
    guarded = Guarded(redis_url)
    yield guarded
    guarded.store.close()


def counted(limit: str) -> float:
    value: float = FLOODS.labels(limit, "africastalking")._value.get()
    return value


def test_a_number_that_dials_too_often_hears_why(bench: Guarded) -> None:
    phone, before = bench.phone(), counted("number_dials")
    for _ in range(5):
        assert phone.dial().startswith("Hello")
    for _ in range(3):
        assert phone.dial().startswith(FLOODING)
        assert not phone.screen.open
        assert phone.screen.name == "engine.flooding"
    assert counted("number_dials") == before + 3
    bench.forget(":dials")
    assert phone.dial().startswith("Hello")


def test_others_notice_nothing(bench: Guarded) -> None:
    flooding, honest = bench.phone("+254711000001"), bench.phone("+254711000002")
    for _ in range(50):
        flooding.dial()
    assert flooding.screen.text.startswith(FLOODING)
    assert honest.dial().startswith("Hello")
    assert honest.reply("1").startswith("Enter amount")


def test_the_sentence_is_in_the_language_of_the_phone(bench: Guarded) -> None:
    phone = bench.phone()
    for _ in range(4):
        phone.dial()
    assert phone.keys("5").startswith("Lugha")
    assert phone.dial().startswith("Maombi ni mengi mno kutoka namba hii.")


def test_too_many_hops_leave_the_session_as_it_was(bench: Guarded) -> None:
    phone = bench.phone()
    phone.dial()
    phone.reply("1")
    for _ in range(18):
        assert phone.again().text == phone.screen.text
    stored = bench.store.peek(phone.session_hash)
    refused = phone.send(phone.longer("500"))
    assert refused.text.startswith(FLOODING)
    assert not refused.open
    assert bench.store.peek(phone.session_hash) == stored
    bench.forget(":hops")
    assert phone.reply("500").startswith("Pay 500"), "nothing was lost but time"


def test_hops_at_once_count_once_each(bench: Guarded) -> None:
    """One that waits for its session's lock asks again and again; that is no hop."""
    phone = bench.phone()
    phone.dial()
    at_once(*[phone.again] * 4, *[lambda: phone.send("3")] * 4)
    for _ in range(11):
        assert not phone.again().text.startswith(FLOODING)
    assert phone.again().text.startswith(FLOODING)


def test_a_window_begins_with_the_first_and_is_not_lengthened(bench: Guarded) -> None:
    phone = bench.phone()
    for _ in range(6):
        phone.dial()
    (left,) = [ms for key, ms in bench.keys().items() if key.endswith(":dials")]
    assert 0 < left <= 60_000
    time.sleep(0.05)
    phone.dial()
    (later,) = [ms for key, ms in bench.keys().items() if key.endswith(":dials")]
    assert later <= left - 50


def test_a_flood_of_refusals_leaves_no_keys(bench: Guarded) -> None:
    phone = bench.phone()
    for _ in range(5):
        phone.dial()
    before = set(bench.keys())
    for _ in range(100):
        phone.dial()
    assert set(bench.keys()) == before
    assert all(ms > 0 for ms in bench.keys().values()), "every key ends by itself"


def test_a_crowd_at_a_gateway_lets_those_inside_finish(redis_url: str) -> None:
    bench = Guarded(redis_url, most=Most(LOOSE, LOOSE, 3))
    inside = bench.phone("+254711000001")
    inside.dial()
    crowd = [bench.phone(f"+2547110001{count:02}") for count in range(10)]
    shown = [one.dial() for one in crowd]
    assert [text.startswith(CROWDED) for text in shown].count(False) in (2, 3, 4)
    assert crowd[-1].screen.name in ("engine.crowded", "main")
    assert inside.reply("1").startswith("Enter amount")
    time.sleep(1.1)
    assert bench.phone("+254711000201").dial().startswith("Hello")
    bench.store.close()


def test_a_number_that_floods_takes_nothing_of_its_gateway(redis_url: str) -> None:
    bench = Guarded(redis_url, most=Most(LOOSE, 2, 5))
    flooding = bench.phone("+254711000001")
    for _ in range(30):
        flooding.dial()
    assert flooding.screen.text.startswith(FLOODING)
    others = [Phone(bench, f"+2547110003{count:02}").dial() for count in range(3)]
    assert all(text.startswith("Hello") for text in others)
    bench.store.close()


def test_a_flushed_redis_counts_anew(bench: Guarded) -> None:
    phone = bench.phone()
    for _ in range(8):
        phone.dial()
    bench.forget("")
    assert phone.dial().startswith("Hello")
