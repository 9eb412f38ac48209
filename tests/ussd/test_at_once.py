"""The same hop twenty times at once, and different hops at once, at every gateway."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.wire import Screen, UssdGateway
from tests.ussd.book import PIN
from tests.ussd.phone import AT, GATEWAYS, Bench, Clock, Phone, at_once

PAID = Screen("Paid 500, number 1", open=False, name="paid")
COPIES = 20


def crowd(session_redis_url: str, gateway: UssdGateway) -> Phone:
    """A phone whose copies all find a place to wait, on a clock that stands still: a `window`
    gateway's copies come within a second, however slow the machine."""
    bench = Bench(session_redis_url, wait_places=64, clock=Clock(stopped=datetime.now(UTC)))
    bench.played.before_commit = lambda: time.sleep(0.05)
    return bench.phone(gateway=gateway)


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
@pytest.mark.parametrize(
    ("keys", "typed", "ran"),
    [
        ((), "1", 0),
        (("1",), "500", 1),
        (("1",), "5*0#0", 1),
        (("1", "500"), "1111111111", 1),
        (("1", "500"), PIN, 1),
        (("7",), PIN, 1),
        ((), "5", 0),
        ((), "6", 1),
    ],
    ids=["menu", "question", "stars", "wrong-pin", "payment", "new-pin", "end", "biller"],
)
def test_a_hop_twenty_times_at_once(
    session_redis_url: str, gateway: UssdGateway, keys: tuple[str, ...], typed: str, ran: int
) -> None:
    phone = crowd(session_redis_url, gateway)
    phone.keys(*keys)
    played = phone.bench.played
    before, text = played.ran, phone.longer(typed)
    first, *others = at_once(*[lambda: phone.send(text)] * COPIES)
    assert others == [first] * (COPIES - 1)
    assert played.ran == before + ran
    assert at_once(*[lambda: phone.send(text)] * COPIES) == [first] * COPIES, "and afterwards"
    assert played.ran == before + ran
    assert len(played.paid) == (first == PAID)


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
def test_a_first_hop_twenty_times_at_once(session_redis_url: str, gateway: UssdGateway) -> None:
    phone = crowd(session_redis_url, gateway)
    phone.session_id = f"first-{phone.bench.prefix}"
    screens = at_once(*[lambda: phone.send("", "new")] * COPIES)
    assert screens == [screens[0]] * COPIES
    assert screens[0].name == "main"
    assert phone.bench.played.dials == 1


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
def test_two_different_inputs_at_once(session_redis_url: str, gateway: UssdGateway) -> None:
    """Accumulated text: the later one does not extend the earlier one. Else they take turns."""
    phone = crowd(session_redis_url, gateway)
    played = phone.bench.played
    for one in range(10):
        phone.keys("1")
        texts = [phone.longer(f"{500 + 2 * one}"), phone.longer(f"{501 + 2 * one}")]
        first, second = at_once(*[partial(phone.send, text) for text in texts])
        if gateway.exactness == "exact":
            assert first == second
        assert {first.name, second.name} == {"pin"}
        assert len(played.inputs) == one + 1, "the other one is an amount no more"
        assert played.attempts == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["1", "2", "3", "4", "0", "00", "9"]), min_size=2, max_size=6))
def test_a_burst_runs_one_after_the_other(session_redis_url: str, typed: list[str]) -> None:
    """Every reply of a burst gets some screen of the session, and the session goes on."""
    phone = crowd(session_redis_url, AT)
    phone.dial()
    texts = ["*".join(typed[:count]) for count in range(1, len(typed) + 1)]
    screens = at_once(*[partial(phone.send, text) for text in texts])
    assert all(screen.text for screen in screens)
    after = phone.send(texts[-1])
    assert phone.send(texts[-1]) == after
    assert phone.send("") == after
