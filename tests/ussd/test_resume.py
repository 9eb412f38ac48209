"""Going on after a cut: when it is offered, what it brings along, and that it ends the old session.

Every test plays two or more sessions of one number on the same engine and Redis.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.ussd import shop
from tests.ussd.book import AMINA, PIN
from tests.ussd.phone import GATEWAYS, WINDOW, Bench, Clock, Phone
from tests.ussd.shop import ASKS_PIN, GOES_ON, WRONG_PIN

OVER = "This session is over. Please dial again."
OFFER = "Go on where you were?\n1 Go on\n2 Start again"
REVIEW = "250 for 77\n1 Pay\n0 Back 00 Home"
TO_PIN = ("1", "77", "250")

WAYS = st.one_of(
    st.lists(st.sampled_from(["1", "2", "3", "4", "77", PIN, WRONG_PIN, "x", "0", "00"])),
    st.sampled_from(
        [
            ("1", "77", "250", WRONG_PIN),
            ("1", "77", "250", "12"),
            ("1", "77", "250", "0"),
            ("1", "77", "250", "00"),
            ("1", "77", "250", PIN),
            ("2", PIN),
            ("2", PIN, "0"),
            ("2", PIN, "cat"),
            ("4", "1", "x"),
            ("3", "99", "1"),
            ("3", "99", "1", "0"),
            ("3", "99", "2", PIN, "1", "77"),
            ("3", "99", "2", WRONG_PIN, "0"),
            ("3", "99", "2", WRONG_PIN, "00", "1"),
            ("3", "99", "3"),
        ]
    ),
)


@pytest.fixture
def bench(session_redis_url: str, redis: Redis) -> Bench:
    redis.flushdb()
    return shop.bench(session_redis_url)


@pytest.fixture
def phone(bench: Bench) -> Phone:
    return bench.phone()


def play(phone: Phone, keys: list[str]) -> bool:
    """Dial and type while the session lasts; whether a PIN was tried since the first menu."""
    phone.dial()
    tried = False
    for typed in keys:
        if not phone.screen.open:
            break
        tried = tried or (phone.screen.name in ASKS_PIN and typed in (PIN, WRONG_PIN))
        phone.reply(typed)
        tried = tried and phone.screen.name != "main"
    return tried


@settings(max_examples=150, deadline=None)
@given(WAYS, st.sampled_from(GATEWAYS), st.sampled_from([0, 299, 301]), st.sampled_from(["1", "2"]))
def test_a_cut_anywhere(
    session_redis_url: str, keys: list[str], gateway: object, seconds: int, choice: str
) -> None:
    bench = shop.bench(session_redis_url, clock=Clock(stopped=datetime.now(UTC)))
    old = Phone(bench, "+254711000001", gateway)  # type: ignore[arg-type]
    tried = play(old, keys)
    was = bench.store.peek(old.session_hash)
    assert was is not None
    bench.clock.pass_seconds(seconds)
    new = shop.redial(old, old.gateway)
    goes_on = GOES_ON.get(was.state) if was.open and not tried and seconds < 300 else None
    assert (new.screen.name == "resume") is (goes_on is not None)
    if goes_on is None:
        assert new.screen.name == "main"
        return
    assert new.screen.text == OFFER
    new.reply(choice)
    now = bench.store.peek(new.session_hash)
    assert now is not None
    if choice == "2":
        assert (now.state, now.data) == ("main", {})
        assert bench.store.peek(old.session_hash) == was, "the old session has not ended"
        return
    carried = {name: value for name, value in was.data.items() if not name.startswith("sealed.")}
    assert (now.state, now.data) == (goes_on, carried)
    ran = bench.played.ran
    for typed in ("77", PIN, "1", "0"):
        assert old.send(old.longer(typed)).name == "engine.dial_again"
    assert bench.played.ran == ran


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
def test_a_payment_that_was_cut_off_at_the_pin(bench: Bench, gateway: object) -> None:
    old = Phone(bench, "+254711000001", gateway)  # type: ignore[arg-type]
    old.keys(*TO_PIN)
    was = bench.store.peek(old.session_hash)
    new = shop.redial(old, old.gateway)
    assert new.reply("1") == REVIEW
    now = bench.store.peek(new.session_hash)
    assert was is not None
    assert now is not None
    assert now.data["intent"] == was.data["intent"]
    assert new.again() == new.screen
    bench.clock.pass_seconds(1.1)  # a `window` gateway takes the same key for a repeat until then
    assert new.reply("1") == "Pay 250 for 77. Enter PIN\n0 Back 00 Home"
    assert new.reply(PIN) == "Paid 250"
    assert old.reply(PIN) == OVER
    assert (bench.played.tried, len(bench.played.paid)) == (1, 1)


def test_back_leads_where_it_led_in_the_old_session(phone: Phone) -> None:
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    new.reply("1")
    assert new.reply("0").startswith("Enter amount for 77")
    assert new.reply("0").startswith("Enter meter")
    assert new.reply("0").startswith("Hello Juma")


def test_the_language_of_a_person_is_their_own_and_of_a_stranger_goes_along(
    phone: Phone, bench: Bench
) -> None:
    phone.keys("4", "1")
    assert shop.redial(phone).reply("1").startswith("Enter meter")
    stranger = bench.phone("+254711000009")
    bench.played.who[stranger.msisdn] = None
    stranger.keys("4", "1")
    assert shop.redial(stranger).reply("1").startswith("Andika mita")


@pytest.mark.parametrize("typed", ["3", "x", "77", PIN])
def test_what_is_no_choice_is_asked_again(phone: Phone, typed: str) -> None:
    phone.keys("1")
    new = shop.redial(phone)
    assert new.reply(typed) == f"Answer with a number from the list.\n{OFFER}"
    assert new.reply("1").startswith("Enter meter")


def test_a_right_pin_without_an_outcome_is_not_continued(phone: Phone, bench: Bench) -> None:
    bench.played.outcome_after = 60
    phone.keys(*TO_PIN)
    paying = threading.Thread(target=phone.reply, args=(PIN,))
    paying.start()
    time.sleep(0.2)
    assert shop.redial(phone).screen.name == "main", "while the outcome is waited for"
    paying.join()
    assert phone.screen.name == "late"
    assert shop.redial(phone).screen.name == "main"


def test_a_hop_that_runs_is_not_continued(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    running, redialled = threading.Event(), threading.Event()

    def wait() -> None:
        running.set()
        assert redialled.wait(5)

    bench.played.before_commit = wait
    paying = threading.Thread(target=phone.reply, args=(PIN,))
    paying.start()
    assert running.wait(5)
    new = shop.redial(phone)
    redialled.set()
    paying.join()
    assert (new.screen.name, phone.screen.name) == ("main", "paid")


def test_the_old_session_moved_on_before_the_choice(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    assert phone.reply(PIN) == "Paid 250"
    assert new.reply("1") == OVER
    assert not new.screen.open
    assert new.again().text == OVER
    assert shop.redial(new).screen.name == "main"
    assert bench.played.tried == 1


def test_a_repeat_on_the_old_session_changes_nothing(phone: Phone) -> None:
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    assert phone.again() == phone.screen
    assert new.reply("1") == REVIEW


def test_an_offer_that_was_cut_off_is_made_again(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    second = shop.redial(phone)
    third = shop.redial(second)
    assert third.screen.text == OFFER
    assert third.reply("1") == REVIEW
    assert second.reply("1") == OVER, "only one of two offers can be taken"
    assert phone.reply(PIN) == OVER
    assert bench.played.tried == 0


def test_a_session_that_was_continued_can_be_continued(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    sessions = [phone]
    for _ in range(4):
        sessions.append(shop.redial(sessions[-1]))
        assert sessions[-1].reply("1") == REVIEW
        assert sessions[-1].reply("1").startswith("Pay 250 for 77")
    assert [old.reply(PIN) for old in sessions] == [OVER] * 4 + ["Paid 250"]
    assert bench.played.tried == 1


def test_another_number_another_person_another_version(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    assert shop.redial(phone, msisdn="+254711000002").screen.name == "main"
    bench.played.who[phone.msisdn] = AMINA
    assert shop.redial(phone).screen.name == "main", "the number has a new owner"


def test_another_version_of_the_menus(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    bench.release("t2", "t1")
    assert shop.redial(phone).screen.name == "main"
    assert phone.reply(PIN) == "Paid 250", "the old session goes on in its own version"


def test_at_another_gateway(phone: Phone, bench: Bench) -> None:
    phone.keys(*TO_PIN)
    new = shop.redial(phone, WINDOW)
    assert new.screen.text == OFFER
    assert new.reply("1") == REVIEW
    assert phone.reply(PIN) == OVER


def test_redis_flushed_between_offer_and_choice(phone: Phone, bench: Bench, redis: Redis) -> None:
    phone.keys(*TO_PIN)
    new = shop.redial(phone)
    redis.flushdb()
    assert new.reply("1").startswith("Hello Juma")
    assert phone.reply(PIN).startswith("Hello Juma")
    assert bench.played.ran == 2


def test_no_secret_goes_along_and_none_is_in_redis(phone: Phone, redis: Redis) -> None:
    phone.keys("2", PIN)
    new = shop.redial(phone)
    assert new.reply("1").startswith("Enter a hint")
    everything = b"".join(key + (redis.get(key) or b"") for key in redis.scan_iter())
    assert PIN.encode() not in everything
    assert b"sealed." not in everything


def test_a_commit_whose_save_was_lost_moves_no_more_money(
    phone: Phone, bench: Bench, redis: Redis
) -> None:
    """Redis knows nothing of the commit, so the offer is made; the intent is the same."""
    phone.keys(*TO_PIN)
    before = redis.get(phone.key)
    assert phone.reply(PIN) == "Paid 250"
    redis.set(phone.key, before, ex=60)
    new = shop.redial(phone)
    assert new.reply("1") == REVIEW
    new.reply("1")
    assert new.reply(PIN) == "Paid 250"
    assert len(bench.played.paid) == 1
