"""Hops that come late, twice or from another release, each of which once went wrong."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from redis import Redis

from app.ussd.menubook import MenuBook
from app.ussd.states import Ask, End, Menu, Option, Resume, Step
from tests.ussd import shop, texts
from tests.ussd.book import PIN, Played
from tests.ussd.phone import Bench, Clock, cut_engines_off

OVER = "This session is over. Please dial again."


def test_the_choice_after_the_old_session_paid_and_its_reply_expired(
    session_redis_url: str, redis: Redis
) -> None:
    """A private reply lives 60 s: an old session that is gone may have paid."""
    redis.flushdb()
    bench = shop.bench(session_redis_url)
    old = bench.phone()
    old.keys("1", "77", "250")
    new = shop.redial(old)
    assert old.reply(PIN) == "Paid 250"
    redis.delete(old.key)  # what its 60 s do
    assert new.reply("1") == OVER


def test_a_step_that_committed_can_be_gone_back_from_and_resumed(session_redis_url: str) -> None:
    """walk rule 2: the stack is emptied by a commit; states rule 6: after it nobody goes back."""

    def act(hop) -> str:
        hop.services.attempts += 1
        return "after"

    def book(version: str) -> MenuBook[Played]:
        return MenuBook(
            version=version,
            start="enter",
            home="enter",
            states=(
                Step(
                    "enter",
                    lambda h: "resume" if h.left is not None else "main",
                    ("main", "resume"),
                    reads=False,
                ),
                Resume("resume", "menus.s.resume", "menus.s.go_on", "menus.s.again", again="main"),
                Menu("main", "menus.s.pay", (Option("menus.s.pay", "ask"),)),
                Ask("ask", "menus.s.meter", lambda _, raw: raw, lambda *_: "act", ("act",)),
                Step("act", act, ("after",), commits=True),
                Menu("after", "menus.s.done", (Option("menus.s.pay", "end"),)),
                End("end", "menus.s.done"),
            ),
            who=lambda _: None,
        )

    bench = Bench(session_redis_url, book=book, texts=texts.SHOP)
    phone = bench.phone()
    phone.keys("1", "77")
    live = bench.store.peek(phone.session_hash)
    assert phone.screen.name == "after"
    assert live is not None
    problems = []
    if live.stack:
        problems.append(f"0 leads back to {live.stack}")
    if shop.redial(phone).screen.name == "resume":
        problems.append("offered after a commit")
    assert problems == []


def test_an_offer_that_is_passed_on_outlives_the_window(session_redis_url: str) -> None:
    bench = shop.bench(session_redis_url, clock=Clock(stopped=datetime.now(UTC)))
    phone = bench.phone()
    phone.keys("1", "77", "250")
    for _ in range(3):  # 870 s, with a window of 300 s
        bench.clock.pass_seconds(290)
        phone = shop.redial(phone)
    assert phone.screen.name == "main"


def test_a_commit_is_answered_by_another_session_after_a_flush(
    session_redis_url: str, redis: Redis
) -> None:
    """A greater revision is the outcome only where the session began with the same text."""
    redis.flushdb()
    bench = Bench(session_redis_url, wait_places=16)
    phone = bench.phone()
    phone.keys("1", "500")
    bench.played.outcome_after = 0.4
    pay = phone.longer(PIN)
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(phone.send, pay)
        time.sleep(0.15)
        redis.flushdb()
        text = pay
        bench.played.paid.clear()  # so that the new session is at home, not at the outcome
        for typed in ("", "x", "1", "x", "0", "1"):
            text = f"{text}*{typed}" if typed else text
            phone.send(text)
        screen = paying.result()
    assert screen.text == "Paid 500, number 1"


def test_an_ended_session_of_a_version_that_is_gone_repeats_its_answer(
    session_redis_url: str,
) -> None:
    """The bytes are stored; only an input needs the menus of that version."""
    bench = Bench(session_redis_url)
    phone = bench.phone()
    phone.keys("1", "500", PIN)
    bench.release("t3", "t2")
    assert phone.again().text == phone.screen.text


def test_a_repeat_of_the_refused_choice_has_the_same_name(session_redis_url: str) -> None:
    """The name goes out in a header, so it is part of the same bytes."""
    bench = shop.bench(session_redis_url)
    phone = bench.phone()
    phone.keys("1", "77", "250")
    new = shop.redial(phone)
    phone.reply(PIN)
    new.reply("1")
    assert new.again() == new.screen


def test_copies_of_the_choice_beside_a_repeat_of_the_old_session(session_redis_url: str) -> None:
    """The lock is held until "dial again" is stored, so that every copy finds it."""
    bench = shop.bench(session_redis_url, wait_places=64)
    with ThreadPoolExecutor(12) as pool:
        for _ in range(150):
            phone = bench.phone()
            phone.keys("1", "77", "250")
            new = shop.redial(phone)
            choose = new.longer("1")
            hops = []
            for _ in range(6):
                hops += [pool.submit(phone.again), pool.submit(new.send, choose)]
            assert len({one.result().text for one in hops[1::2]}) == 1


def test_a_process_that_reconnected_often_enough_still_has_redis(
    session_redis_url: str, redis: Redis
) -> None:
    """A pool of redis-py counts what it makes: 100 by default, and nothing was given back."""
    phone = Bench(session_redis_url).phone()
    phone.dial()
    for _ in range(120):
        cut_engines_off(redis)
        phone.reply("x")
        phone.dial()
    assert phone.screen.text.startswith("Hello")
