"""Random phones and a random network: whatever is delivered how often, an input runs once."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from app.gateways.wire import Screen
from app.text.width import fits
from tests.ussd.book import PIN
from tests.ussd.phone import AT, Bench, Phone

TYPED = st.sampled_from(
    ["1", "2", "3", "4", "7", "amount", "amount", "bad", PIN, "0", "00", "98", "*"]
)
NETWORK = st.sampled_from(["once", "once", "twice", "at once", "older", "shrunken", "flush"])
HOPS = st.lists(st.tuples(TYPED, NETWORK, st.integers(0, 9)), max_size=16)


class Flushing(Bench):
    """A bench whose own sessions can be lost at any moment."""

    def flush(self) -> None:
        """Only the keys of this bench, because other stories share the Redis."""
        with Redis.from_url(self.redis_url) as redis:
            for key in redis.scan_iter(f"{self.prefix}*"):
                redis.delete(key)


class Story:
    """One phone's session, with every reply that it was given."""

    def __init__(self, bench: Flushing) -> None:
        self.bench = bench
        self.phone: Phone = bench.phone()
        self.texts: list[str] = []
        self.numbers = itertools.count(100_000)
        self.dial()

    def dial(self) -> None:
        self.phone.dial()
        self.texts = [""]

    def hop(self, typed: str, network: str, pick: int, pool: ThreadPoolExecutor) -> None:
        if not self.phone.screen.open:
            self.dial()
        if typed == "amount":
            typed = f"{next(self.numbers)}"  # each amount is typed once in a story
        elif typed == "bad":
            typed = f"x*{next(self.numbers)}"
        phone = self.phone
        text = f"{phone.text}*{typed}" if phone.text else typed
        if network == "flush":
            self.bench.flush()
        elif network == "at once":
            screens = list(pool.map(phone.send, [text] * 3))
            assert screens == [screens[0]] * 3
        phone.reply(typed)
        self.texts.append(phone.text)
        self.fits(phone.screen)
        if network == "twice":
            assert phone.again() == phone.screen
        elif network == "older":
            assert phone.send(self.texts[-1 - pick % len(self.texts)]) == phone.screen
        elif network == "shrunken":
            shrunken = phone.text[: -1 - pick]
            if shrunken and shrunken not in self.texts:
                assert phone.send(shrunken) == phone.screen

    def fits(self, screen: Screen) -> None:
        assert fits(screen.text, AT.septets, AT.ucs2_units), screen.text


@settings(max_examples=80, deadline=None)
@given(HOPS, st.booleans())
def test_every_input_runs_once_and_a_redelivery_says_the_same(
    session_redis_url: str, hops: list[tuple[str, str, int]], slow: bool
) -> None:
    bench = Flushing(session_redis_url, wait_places=8)
    bench.played.outcome_after = 0.03 if slow else 0.0
    story = Story(bench)
    with ThreadPoolExecutor(3) as pool:
        for typed, network, pick in hops:
            story.hop(typed, network, pick, pool)
    unique = [typed for _, typed in bench.played.inputs if len(typed.removeprefix("x*")) == 6]
    ran = Counter(unique)
    paid = Counter(amount for _, amount in bench.played.paid if len(str(amount)) == 6)
    assert set(ran.values()) | set(paid.values()) <= {1}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", "4", "0", "00", "9"]), min_size=2, max_size=6))
def test_different_hops_at_once_run_one_after_the_other(
    session_redis_url: str, typed: list[str]
) -> None:
    """Every reply of a burst gets some screen of the session, and the session goes on."""
    bench = Bench(session_redis_url, wait_places=8)
    phone = bench.phone()
    phone.dial()
    texts = ["*".join(typed[:count]) for count in range(1, len(typed) + 1)]
    with ThreadPoolExecutor(len(texts)) as pool:
        screens = list(pool.map(phone.send, texts))
    assert all(screen.text for screen in screens)
    after = phone.send(texts[-1])
    assert phone.send(texts[-1]) == after
    assert phone.send("") == after
