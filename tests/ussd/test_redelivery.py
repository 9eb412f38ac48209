"""The same hop twice, hops out of order, ids used again, two hops at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.gateways.wire import Screen
from tests.ussd.book import PIN
from tests.ussd.phone import WINDOW, Bench, Phone

KEYS = "\n0 Back 00 Home"
BUSY = "Still working on your last answer. Wait a little, then dial again. Help: 0711000999"


def at_once(*calls: Callable[[], Screen]) -> list[Screen]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_a_redelivered_hop_gets_the_same_and_runs_nothing(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "abc")
    assert [phone.again() for _ in range(4)] == [phone.screen] * 4
    assert len(bench.played.inputs) == 1


def test_a_redelivered_pin_is_counted_once(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500", "1111111111")
    assert phone.again() == phone.screen
    assert bench.played.attempts == 1


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


def test_a_session_belongs_to_one_number(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    stranger = phone.send(phone.text + "*" + PIN, msisdn="+254711000666")
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


@pytest.mark.parametrize("times", [2, 5])
def test_the_same_hop_at_the_same_time(session_redis_url: str, times: int) -> None:
    bench = Bench(session_redis_url, wait_places=8)
    bench.played.before_commit = lambda: time.sleep(0.05)
    phone = bench.phone()
    phone.keys("1", "500")
    screens = at_once(*[lambda: phone.send(f"{phone.text}*{PIN}")] * times)
    assert screens == [Screen("Paid 500, number 1", open=False, name="paid")] * times
    assert (bench.played.attempts, len(bench.played.paid)) == (1, 1)


def test_a_redelivery_during_the_wait_gets_the_first_answer(bench: Bench, phone: Phone) -> None:
    bench.played.outcome_after = 0.3
    phone.keys("1", "500")
    pay = f"{phone.text}*{PIN}"

    def later() -> Screen:
        time.sleep(0.15)
        return phone.send(pay)

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == second == Screen("Paid 500, number 1", open=False, name="paid")
    assert phone.send(pay) == first
    assert len(bench.played.paid) == 1


def test_a_repeat_without_a_place_to_wait_decides_nothing(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=1)
    bench.played.outcome_after = 0.3
    phone = bench.phone()
    phone.keys("1", "500")
    pay = f"{phone.text}*{PIN}"

    def later() -> Screen:
        time.sleep(0.15)
        return phone.send(pay)  # no place to wait is free

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == phone.send(pay) == Screen("Paid 500, number 1", open=False, name="paid")
    assert second == Screen("In progress. SMS follows", open=False, name="late")


def test_copies_of_a_confirmation_do_not_crowd_out_its_outcome(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=4)
    bench.played.before_commit = lambda: time.sleep(0.1)
    bench.played.outcome_after = 0.3
    phone = bench.phone()
    phone.keys("1", "500")
    pay = f"{phone.text}*{PIN}"
    screens = at_once(*[lambda: phone.send(pay)] * 5)
    paid = Screen("Paid 500, number 1", open=False, name="paid")
    assert paid in screens
    assert phone.send(pay) == paid, "those who could not wait have decided nothing"


def test_a_further_input_during_the_wait_is_answered_by_the_outcome_and_never_runs(
    bench: Bench, phone: Phone
) -> None:
    bench.played.outcome_after = 0.3
    phone.keys("1", "500")
    pay = f"{phone.text}*{PIN}"

    def later() -> Screen:
        time.sleep(0.1)
        return phone.send(f"{pay}*1")

    first, second = at_once(lambda: phone.send(pay), later)
    assert first == second
    assert phone.send(f"{pay}*1") == first
    assert bench.played.attempts == 1


def test_a_lost_process_leaves_an_outcome_that_the_redelivery_tells(
    bench: Bench, phone: Phone
) -> None:
    """The process died while it waited: the session says confirmed, nobody holds the lock."""
    bench.played.outcome_after = 0.2
    phone.keys("1", "500")
    pay = f"{phone.text}*{PIN}"
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
    held = bench.store.begin(bench.store.hash_of("africastalking", phone.session_id))
    assert held
    began = time.monotonic()
    assert phone.reply("500") == BUSY
    assert 2.5 < time.monotonic() - began < 4
    bench.store.finish(bench.store.hash_of("africastalking", phone.session_id), held[0])
    assert phone.again().text == "Pay 500. Enter PIN" + KEYS


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
