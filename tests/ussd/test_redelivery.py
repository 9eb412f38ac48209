"""The same hop twice, hops out of order, ids used again, two hops at once.

What every gateway promises is tested at each; what only one sort can tell, at that sort.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from redis import Redis

from app.gateways.wire import Screen
from tests.ussd.book import PIN
from tests.ussd.phone import AT, GATEWAYS, WINDOW, Bench, Clock, Phone, at_once

KEYS = "\n0 Back 00 Home"
PAID = Screen("Paid 500, number 1", open=False, name="paid")
EACH = pytest.mark.parametrize("phone", GATEWAYS, ids=lambda gateway: gateway.name, indirect=True)
BUSY = "Still working on your last answer. Wait a little, then dial again. Help: 0711000999"


@pytest.fixture
def phone(bench: Bench, request: pytest.FixtureRequest) -> Phone:
    """At the exact gateway, or at each one with EACH."""
    return bench.phone(gateway=getattr(request, "param", AT))


@EACH
def test_a_redelivered_hop_gets_the_same_and_runs_nothing(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "abc")
    assert [phone.again() for _ in range(4)] == [phone.screen] * 4
    assert len(bench.played.inputs) == 1


@EACH
def test_a_redelivered_pin_is_counted_once(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500", "1111111111")
    assert phone.again() == phone.screen
    assert bench.played.attempts == 1


@EACH
def test_a_redelivered_confirmation_pays_once(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500", PIN)
    assert [phone.again() for _ in range(4)] == [phone.screen] * 4
    assert len(bench.played.paid) == 1


def test_an_older_hop_gets_the_last_reply(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    for older in ("", "1"):
        assert phone.send(older) == phone.screen
    assert phone.reply(PIN) == "Paid 500, number 1"


def test_text_that_does_not_extend_gets_the_current_question(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    for strange in ("2", "2*500*7391826450", "1*501*7391826450", "1*5007391826450", "1*50"):
        assert phone.send(strange) == phone.screen
    assert bench.played.attempts == 0


def test_many_hops_stay_in_one_session(phone: Phone, bench: Bench) -> None:
    phone.dial()
    for _ in range(30):
        phone.reply("1")
        phone.reply("0")
    assert phone.send("") == phone.screen
    assert phone.send("1*0") == phone.screen
    phone.reply("1")
    assert phone.reply("500").startswith("Pay 500")


def test_an_ended_id_answers_the_same_for_ten_seconds_then_dials_anew(
    phone: Phone, bench: Bench
) -> None:
    phone.keys("5")
    ended = phone.screen
    assert phone.send("", "new") == ended
    bench.clock.pass_seconds(9)
    assert phone.send("", "new") == ended
    assert phone.send("5*1") == ended, "nothing can be answered after the end"
    bench.clock.pass_seconds(2)
    assert phone.send("5") == ended
    dialled = phone.send("", "new")
    assert dialled.open
    assert dialled.text.startswith("Hello")
    assert phone.send("1").text == "Enter amount" + KEYS


def test_a_long_session_that_ended_can_be_dialled_anew(phone: Phone, bench: Bench) -> None:
    phone.keys(*["1", "0"] * 6, "5")
    bench.clock.pass_seconds(11)
    assert phone.send("", "new").name == "main"


@EACH
def test_a_session_belongs_to_one_number(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    stranger = phone.send(phone.longer(PIN), msisdn="+254711000666")
    assert stranger.text == "This session cannot go on. Please dial again. Help: 0711000999"
    assert not stranger.open
    assert bench.played.attempts == 0
    assert phone.reply(PIN) == "Paid 500, number 1"


def test_a_window_gateway_repeats_itself_within_a_second(bench: Bench) -> None:
    phone = bench.phone(gateway=WINDOW)
    phone.dial()
    assert phone.send("*384*123#", "new") == phone.screen
    phone.reply("1")
    assert phone.again() == phone.screen
    bench.clock.pass_seconds(1.1)
    assert phone.again().text.startswith("Pay 1."), "later the same input is a new one"


@pytest.mark.parametrize(("milliseconds", "is_new"), [(0, False), (999, False), (1000, True)])
def test_a_window_gateway_repeats_itself_for_one_second_sharp(
    session_redis_url: str, milliseconds: int, is_new: bool
) -> None:
    bench = Bench(session_redis_url, clock=Clock(stopped=datetime.now(UTC).replace(microsecond=0)))
    phone = bench.phone(gateway=WINDOW)
    phone.keys("1", "x")
    bench.clock.pass_seconds(milliseconds / 1000)
    assert phone.again() == phone.screen
    assert len(bench.played.inputs) == 1 + is_new


def test_a_window_gateway_never_makes_the_last_input_a_pin(bench: Bench) -> None:
    phone = bench.phone(gateway=WINDOW)
    phone.dial()
    phone.reply("1")
    asked = phone.reply(PIN)
    for _ in range(3):
        bench.clock.pass_seconds(2)
        assert phone.again().text == asked
    assert bench.played.attempts == 0


def test_a_window_gateway_may_give_the_same_pin_twice(bench: Bench) -> None:
    phone = bench.phone(gateway=WINDOW)
    phone.dial()
    phone.reply("7")
    again = phone.reply(PIN)
    assert phone.again().text == again
    bench.clock.pass_seconds(1.1)
    assert phone.reply(PIN) == "PIN changed"


def test_a_window_gateway_dials_anew_on_an_old_id(bench: Bench) -> None:
    phone = bench.phone(gateway=WINDOW)
    phone.dial()
    phone.reply("1")
    assert phone.send("*384*123#", "new") == phone.screen
    bench.clock.pass_seconds(11)
    assert phone.send("*384*123#", "new").text.startswith("Hello")


@EACH
def test_a_redelivery_during_the_wait_gets_the_first_answer(bench: Bench, phone: Phone) -> None:
    bench.played.outcome_after = 0.3
    phone.keys("1", "500")
    pay = phone.longer(PIN)

    def later() -> Screen:
        time.sleep(0.15)
        return phone.send(pay)

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == second == PAID
    assert phone.send(pay) == first
    assert len(bench.played.paid) == 1


def test_a_repeat_without_a_place_to_wait_decides_nothing(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=1)
    bench.played.outcome_after = 0.3
    phone = bench.phone()
    phone.keys("1", "500")
    pay = phone.longer(PIN)

    def later() -> Screen:
        time.sleep(0.15)
        return phone.send(pay)  # no place to wait is free

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == phone.send(pay) == PAID
    assert second == Screen("In progress. SMS follows", open=False, name="late")


def test_copies_of_a_confirmation_do_not_crowd_out_its_outcome(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=4)
    bench.played.before_commit = lambda: time.sleep(0.1)
    bench.played.outcome_after = 0.3
    phone = bench.phone()
    phone.keys("1", "500")
    pay = phone.longer(PIN)
    screens = at_once(*[lambda: phone.send(pay)] * 5)
    assert PAID in screens
    assert phone.send(pay) == PAID, "those who could not wait have decided nothing"


@EACH
def test_a_further_input_during_the_wait_is_answered_by_the_outcome_and_never_runs(
    bench: Bench, phone: Phone
) -> None:
    bench.played.outcome_after = 0.3
    phone.keys("1", "500")
    pay = phone.longer(PIN)
    further = f"{pay}*1" if phone.gateway.mode == "accumulated" else "1"

    def later() -> Screen:
        time.sleep(0.1)
        return phone.send(further)

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == second
    assert phone.send(further) == first
    assert bench.played.attempts == 1


def test_a_lost_process_leaves_an_outcome_that_the_redelivery_tells(
    bench: Bench, phone: Phone
) -> None:
    """The process died while it waited: the session says confirmed, nobody holds the lock."""
    bench.played.outcome_after = 0.2
    phone.keys("1", "500")
    pay = phone.longer(PIN)
    thread = threading.Thread(target=phone.send, args=(pay,))
    bench.played.after_commit = lambda: None
    thread.start()
    time.sleep(0.1)
    bench.clock.pass_seconds(60)
    assert phone.send(pay).text in {"In progress. SMS follows", "Paid 500, number 1"}
    thread.join()
    assert phone.send(pay) == phone.send(pay)


def test_a_hop_that_waits_too_long_for_the_lock_says_so(bench: Bench, phone: Phone) -> None:
    phone.keys("1")
    held = bench.store.begin(bench.store.hash_of(phone.gateway.name, phone.session_id))
    assert held
    began = time.monotonic()
    assert phone.reply("500") == BUSY
    assert 2.5 < time.monotonic() - began < 4
    bench.store.finish(bench.store.hash_of(phone.gateway.name, phone.session_id), held[0])
    assert phone.again().text == "Pay 500. Enter PIN" + KEYS


def test_a_hop_that_outlived_its_lock_saves_over_nobody(
    phone: Phone, bench: Bench, redis: Redis
) -> None:
    """The hop that came after the lock had expired was saved first, so the session is its own."""
    phone.keys("4")
    later: list[Screen] = []

    def expire_and_reply() -> None:
        bench.played.before_commit = lambda: None
        redis.delete(f"{phone.key}:lock")
        later.append(phone.send(phone.longer("0")))

    bench.played.before_commit = expire_and_reply
    slow = phone.send(phone.longer(PIN))
    assert later[0].name == "main"
    assert (slow.name, slow.open) == ("balance", False), "a last screen needs no session"
    live = bench.store.peek(phone.session_hash)
    assert live is not None
    assert live.state == "main"


def test_with_no_place_to_wait_the_second_hop_hears_it_at_once(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=1)
    bench.played.biller_seconds = 0.4
    phone = bench.phone()
    phone.dial()

    def later() -> Screen:
        time.sleep(0.1)
        return phone.send("6")

    began = time.monotonic()
    first, second = at_once(lambda: phone.send("6"), later)
    assert (first.text, second.text) == ("The biller says hello", BUSY)
    assert time.monotonic() - began < 1
