"""Redis flushed, silent or gone; PostgreSQL gone; saves lost; secrets looked for."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from app.errors import DomainError, OutcomeUnknown
from app.ussd.live import SESSION_BYTES
from tests.ussd.book import PIN
from tests.ussd.phone import Bench, Phone, cut_engines_off

AWAY = "Kibanda cannot answer now. Please dial again in a few minutes. Help: 0711000999"
OVER = "This session is over. Please dial again."
NOT_KNOWN = (
    "It is not known yet if this was done. Dial again to see before you try once more. "
    "Help: 0711000999"
)
WRONG = "Something went wrong here. Please dial again. Help: 0711000999"
TOUR = ("1", "500", "0", "00", "2", "00", "1", "x", "700", "1111111111", PIN)


@pytest.fixture
def lenient(session_redis_url: str) -> Bench:
    """An engine as in production: what breaks is logged and told in a sentence."""
    return Bench(session_redis_url, strict=False)


@pytest.fixture(params=["gone", "silent"])
def dead_redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Nobody listens, or somebody who never answers."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        if request.param == "silent":
            listener.bind(str(path))
            listener.listen()
        yield f"unix://{path}?db=0"


def test_redis_away_is_a_sentence_within_two_seconds(dead_redis_url: str) -> None:
    phone = Bench(dead_redis_url).phone()
    began = time.monotonic()
    assert phone.dial() == AWAY
    assert not phone.screen.open
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("after", range(len(TOUR)))
def test_redis_flushed_between_two_hops_is_a_new_dial(
    phone: Phone, redis: Redis, bench: Bench, after: int
) -> None:
    phone.dial()
    for typed in TOUR[:after]:
        phone.reply(typed)
    attempts = bench.played.attempts
    redis.flushdb()
    assert phone.reply(TOUR[after]).startswith("Hello Amina\n1 Pay")
    assert bench.played.attempts == attempts, "what came before the flush runs nothing"
    assert phone.reply("1").startswith("Enter amount")


def test_scripts_flushed(phone: Phone, redis: Redis) -> None:
    phone.dial()
    redis.script_flush()
    assert phone.reply("1").startswith("Enter amount")


def test_a_connection_that_proved_stale_is_opened_once_more(phone: Phone, redis: Redis) -> None:
    phone.dial()
    cut_engines_off(redis)
    assert phone.reply("1").startswith("Enter amount")


def test_a_session_lost_after_its_intent_tells_the_outcome(
    phone: Phone, redis: Redis, bench: Bench
) -> None:
    phone.keys("1", "500", PIN)
    redis.flushdb()
    assert phone.again().text == "Last session: payment done"
    assert len(bench.played.paid) == 1


def test_redis_flushed_while_the_hop_runs(phone: Phone, redis: Redis, bench: Bench) -> None:
    phone.keys("1", "500")
    bench.played.before_commit = redis.flushdb
    assert phone.reply(PIN) == "Paid 500, number 1", "what was committed is told"
    assert len(bench.played.paid) == 1


@pytest.mark.parametrize(
    ("keys", "typed", "outcome"),
    [(("1", "500"), PIN, "Paid 500, number 1"), (("7", PIN), PIN, "PIN changed")],
)
def test_a_repeat_that_began_anew_does_not_answer_for_the_hop_that_committed(
    phone: Phone, redis: Redis, bench: Bench, keys: tuple[str, ...], typed: str, outcome: str
) -> None:
    repeats = []

    def lose_and_repeat() -> None:
        redis.flushdb()
        repeats.append(phone.again().text)

    phone.keys(*keys)
    bench.played.before_commit = lose_and_repeat
    assert phone.reply(typed) == outcome
    assert repeats[0].startswith("Hello")
    assert phone.again() == phone.screen, "the outcome is stored over the new session"


def test_redis_silent_after_the_commit(phone: Phone, redis: Redis, bench: Bench) -> None:
    phone.keys("1", "500")
    bench.played.after_commit = lambda: redis.execute_command("CLIENT", "PAUSE", 1500)
    began = time.monotonic()
    assert phone.reply(PIN) == "Paid 500, number 1"
    assert time.monotonic() - began < 2
    assert len(bench.played.paid) == 1


def test_redis_silent_before_a_save_without_a_commit(
    phone: Phone, redis: Redis, bench: Bench
) -> None:
    phone.dial()
    phone.reply("2")
    bench.played.listed = Pausing(redis)  # the list is read while the hop runs
    assert phone.reply("00").startswith("Hello")
    began = time.monotonic()
    assert phone.reply("2") == OVER
    assert not phone.screen.open
    assert time.monotonic() - began < 2


class Pausing(list[int]):
    """A list that silences Redis when it is read."""

    def __init__(self, redis: Redis) -> None:
        super().__init__([1, 2])
        self.redis = redis

    def __iter__(self) -> Iterator[int]:
        self.redis.execute_command("CLIENT", "PAUSE", 900)
        return super().__iter__()


def test_database_away_on_the_first_hop(phone: Phone, bench: Bench) -> None:
    bench.played.who_fails_with = DomainError("database_away", retryable=True)
    assert phone.dial() == AWAY
    assert not phone.screen.open
    assert phone.again() == phone.screen


def test_database_away_at_the_confirmation(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    bench.played.fails_with = DomainError("database_away", retryable=True)
    assert phone.reply(PIN) == AWAY
    bench.played.fails_with = None
    assert phone.again() == phone.screen, "a redelivery does not try once more"
    assert bench.played.paid == []


def test_the_answer_of_a_commit_lost(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "500")
    bench.played.fails_with = OutcomeUnknown()
    assert phone.reply(PIN) == NOT_KNOWN


def test_whatever_breaks_after_a_commit_is_not_told_as_failed(lenient: Bench) -> None:
    def explode() -> None:
        raise RuntimeError(f"quoting {PIN}")

    lenient.played.after_commit = explode
    phone = lenient.phone()
    assert phone.keys("1", "500", PIN) == NOT_KNOWN
    assert phone.again() == phone.screen


def test_what_breaks_elsewhere_is_a_sentence_and_a_log_line_without_its_text(
    lenient: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    lenient.played.who_fails_with = ValueError(f"quoting {PIN}")
    with caplog.at_level(logging.DEBUG):
        assert lenient.phone().dial() == WRONG
    logged = caplog.text + "".join(capsys.readouterr())
    assert "ussd_hop_failed" in logged
    assert "ValueError" in logged
    assert PIN not in logged


def test_a_session_that_grew_too_large_ends(lenient: Bench) -> None:
    phone = lenient.phone()
    phone.keys("1")
    lenient.played.kept_besides = "x" * SESSION_BYTES
    assert phone.reply("500") == OVER
    assert not phone.screen.open
    lenient.played.kept_besides = ""
    assert phone.keys("1").startswith("Enter amount"), "the lock was given back"


def test_bytes_that_are_none_of_ours(lenient: Bench, redis: Redis) -> None:
    phone = lenient.phone()
    phone.dial()
    for key in redis.keys(f"{lenient.prefix}*"):
        redis.set(key, b'[1,"nonsense"]', ex=60)
    assert phone.reply("1") == OVER


def everything(redis: Redis) -> bytes:
    """All keys and values, as a dump would show them."""
    return b"\n".join(key + b"=" + (redis.get(key) or b"") for key in redis.scan_iter())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["1", "2", "4", "7", "500", PIN, "0", "00", "98", "x"]), max_size=14)
)
def test_no_secret_and_no_large_session_in_redis(session_redis_url: str, typed: list[str]) -> None:
    bench = Bench(session_redis_url, strict=True)
    phone = bench.phone()
    phone.dial()
    with Redis.from_url(session_redis_url) as redis:
        for one in typed:
            at_secret = "PIN" in phone.screen.text
            if not phone.screen.open or (one == PIN and not at_secret):
                continue
            phone.reply(one)
            stored = everything(redis)
            assert PIN.encode() not in stored
            assert phone.session_id.encode() not in stored
            for key in redis.keys(f"{bench.prefix}*"):
                assert redis.strlen(key) <= SESSION_BYTES
                assert 0 < redis.ttl(key) <= 540


def test_the_first_of_two_pins_is_kept_sealed(phone: Phone, redis: Redis) -> None:
    phone.keys("7", PIN)
    assert PIN.encode() not in everything(redis)
    assert phone.reply(PIN) == "PIN changed"
