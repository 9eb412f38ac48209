"""Going on, at the same moment as other hops: one intent never has two sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateways.wire import Screen
from tests.ussd import shop
from tests.ussd.book import PIN
from tests.ussd.phone import WINDOW, at_once
from tests.ussd.shop import WRONG_PIN

OVER = "This session is over. Please dial again."
REVIEW = "250 for 77\n1 Pay\n0 Back 00 Home"
TO_PIN = ("1", "77", "250")


@pytest.mark.parametrize("copies", [2, 20])
def test_the_choice_many_times_at_once(session_redis_url: str, copies: int) -> None:
    bench = shop.bench(session_redis_url, wait_places=64)
    phone = bench.phone()
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    text = new.longer("1")
    screens = at_once(*[lambda: new.send(text)] * copies)
    assert {screen.text for screen in screens} == {REVIEW}
    assert phone.reply(PIN) == OVER


def test_two_redials_take_the_offer_at_once(session_redis_url: str) -> None:
    bench = shop.bench(session_redis_url, wait_places=64)
    for _ in range(20):
        phone = bench.phone()
        phone.keys(*TO_PIN)
        second, third = shop.redial(phone), shop.redial(phone, WINDOW)
        took = at_once(partial(second.send, second.longer("1")), partial(third.send, "1"))
        assert sorted(screen.text for screen in took) == sorted([REVIEW, OVER])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 3), st.floats(0, 0.004), st.booleans(), st.booleans())
def test_the_choice_and_the_late_pin_at_the_same_moment(
    session_redis_url: str, choices: int, pins: int, head_start: float, pin_first: bool, right: bool
) -> None:
    """Either the money moved in the old session, or that one has ended: never both, never twice."""
    bench = shop.bench(session_redis_url, wait_places=64)
    phone = bench.phone()
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    choose, pay = new.longer("1"), phone.longer(PIN if right else WRONG_PIN)

    def later(call: Callable[[], Screen], waits: bool) -> Callable[[], Screen]:
        def run() -> Screen:
            time.sleep(head_start if waits else 0)
            return call()

        return run

    chosen = [later(lambda: new.send(choose), pin_first)] * choices
    typed = [later(lambda: phone.send(pay), not pin_first)] * pins
    screens = at_once(*chosen, *typed)
    taken, late = {one.text for one in screens[:choices]}, {one.text for one in screens[choices:]}
    assert len(late) == 1
    shop_ = bench.played
    if late == {OVER}:
        assert (taken, shop_.tried) == ({REVIEW}, 0)
        assert new.send(choose).text == REVIEW
    else:
        assert (taken, shop_.tried) == ({OVER}, 1)
        assert late == {"Paid 250"} or not right
    assert len(shop_.paid) == sum(shop_.right.values()) <= 1
