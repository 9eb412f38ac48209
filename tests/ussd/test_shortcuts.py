"""Codes dialled whole: which text is one, how far it leads, and that it never does more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from app.errors import DomainError
from app.gateways.wire import UssdGateway
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.states import MenuError
from tests.ussd import shop, texts
from tests.ussd.book import PIN
from tests.ussd.phone import GATEWAYS, WINDOW, Bench, Clock, Phone, at_once

KEYS = "\n0 Back 00 Home"
CONFIRM = f"Pay 250 for 77. Enter PIN{KEYS}"
BAD_CODE = "Dial *51*meter*amount#"
ANSWERS = {"51": 2, "512": 1}
A_CODE = re.compile(r"(51|512)((?:\*[0-9]{1,24})*)")
PART = st.sampled_from(
    ["51", "512", "1", "77", "250", "0", "00", "98", PIN, "", "x", "#", " 77", "٥", "9" * 24]
)
TEXTS = st.one_of(
    st.lists(PART, max_size=5).map("*".join),
    st.tuples(st.sampled_from(sorted(ANSWERS)), st.lists(PART, max_size=3)).map(
        lambda made: "*".join([made[0], *made[1]])
    ),
    st.text("0123456789*#", max_size=12),
)


@pytest.fixture
def bench(session_redis_url: str, redis: Redis) -> Bench:
    redis.flushdb()
    return shop.bench(session_redis_url)


@pytest.fixture(params=GATEWAYS, ids=lambda gateway: gateway.name)
def phone(request: pytest.FixtureRequest, bench: Bench) -> Phone:
    return bench.phone(gateway=request.param)


def expected(text: str) -> tuple[str, Sequence[str]]:
    """The state that a first text leads to, and the answers that its validators see."""
    code = A_CODE.fullmatch(text)
    if code is None:
        return "main", []
    answers = code[2].split("*")[1:]
    if len(answers) != ANSWERS[code[1]]:
        return "bad_code", []
    if len(answers[0]) > shop.METER_MOST:
        return "meter", answers[:1]
    if len(answers) == 1:
        return "amount", answers
    return ("amount" if len(answers[1]) > shop.AMOUNT_MOST else "confirm"), answers


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(GATEWAYS))
def test_any_first_text(session_redis_url: str, text: str, gateway: UssdGateway) -> None:
    bench = shop.bench(session_redis_url)
    phone = bench.phone(gateway=gateway)
    phone.dial(text)
    state, seen = expected(text)
    assert phone.screen.name == state
    assert [typed for _, typed in bench.played.inputs] == list(seen)
    assert (bench.played.tried, bench.played.paid) == (0, [])
    live = bench.store.peek(phone.session_hash)
    assert live is not None
    code = A_CODE.fullmatch(text)
    assert live.data.get("by") == ("code" if code and code[1] == "51" else None)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.sampled_from(GATEWAYS), st.booleans())
def test_a_text_in_the_middle_is_no_code(
    session_redis_url: str, text: str, gateway: UssdGateway, lost: bool
) -> None:
    """A `latest` gateway tells it from a first one, also when Redis has lost the session."""
    bench = shop.bench(session_redis_url)
    phone = bench.phone(gateway=gateway)
    phone.dial()
    if lost:
        with Redis.from_url(session_redis_url) as redis:
            redis.delete(*redis.keys(f"{bench.prefix}*"))
    phone.reply(text)
    if gateway.mode == "latest" or not lost:
        assert phone.screen.name in ("main", "meter", "first", "year")
        assert bench.played.ran == 0
    else:
        assert phone.screen.name == expected(text)[0]


def test_the_confirmation_and_no_further(phone: Phone, bench: Bench) -> None:
    assert phone.dial("51*77*250") == CONFIRM
    assert phone.again().text == CONFIRM
    assert phone.reply(PIN) == "Paid 250"
    assert (bench.played.tried, len(bench.played.paid)) == (1, 1)


def test_the_way_back_is_that_of_the_menus(phone: Phone) -> None:
    phone.dial("51*77*250")
    assert phone.reply("0") == f"Enter amount for 77{KEYS}"
    phone.bench.clock.pass_seconds(1.1)
    assert phone.reply("0") == f"Enter meter{KEYS}"
    phone.bench.clock.pass_seconds(1.1)
    assert phone.reply("0").startswith("Hello Juma")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("51*123456789*250", f"Too long.\nEnter meter{KEYS}"),
        ("51*77*1234567", f"Too long.\nEnter amount for 77{KEYS}"),
        ("51*77", BAD_CODE),
        ("51", BAD_CODE),
        (f"51*77*250*{PIN}", BAD_CODE),
        ("512*77", f"Enter amount for 77{KEYS}"),
        ("512*77*250", BAD_CODE),
    ],
)
def test_what_is_wrong_is_said(phone: Phone, bench: Bench, code: str, shown: str) -> None:
    assert phone.dial(code) == shown
    assert bench.played.tried == 0


def test_a_refused_answer_can_be_typed_again(phone: Phone) -> None:
    phone.dial("51*123456789*250")
    assert phone.reply("77") == f"Enter amount for 77{KEYS}"
    assert phone.reply("250") == CONFIRM


def test_a_code_dialled_twenty_times_at_once(session_redis_url: str) -> None:
    for gateway in GATEWAYS:
        still = Clock(stopped=datetime.now(UTC))
        bench = shop.bench(session_redis_url, wait_places=64, clock=still)
        phone = bench.phone(gateway=gateway)
        phone.session_id = f"at-once-{bench.prefix}"
        event = "new" if gateway.mode == "latest" else "input"
        screens = at_once(*[partial(phone.send, "51*77*250", event)] * 20)
        assert {screen.text for screen in screens} == {CONFIRM}
        assert (bench.played.dials, bench.played.ran) == (1, 2)


def test_a_code_whose_session_was_lost_after_the_payment_tells_the_outcome(
    bench: Bench, redis: Redis
) -> None:
    phone = bench.phone()
    phone.dial("51*77*250")
    phone.reply(PIN)
    redis.flushdb()
    ran = bench.played.ran
    for text in ("51*77*250", phone.text):
        assert phone.send(text).name == "outcome"
        redis.flushdb()
    assert bench.played.ran == ran


def test_a_code_does_not_stop_at_the_offer_to_go_on(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "99")
    new = bench.phone(phone.msisdn, phone.gateway)
    assert new.dial("51*77*250") == CONFIRM
    assert phone.reply("400").startswith("Pay 400 for 99"), "the old session has not ended"


def test_a_code_that_was_cut_off_can_be_continued(phone: Phone) -> None:
    phone.dial("51*77*250")
    new = shop.redial(phone, phone.gateway)
    assert new.reply("1").startswith("250 for 77\n1 Pay")


def test_only_whom_a_dial_leads_to_its_state(session_redis_url: str) -> None:
    """The code is walked from `at`; whoever arrives elsewhere sees that."""

    def book(version: str) -> MenuBook[shop.Shop]:
        moved = Shortcut("51", at="kinds", answers=("meter", "amount"))
        return MenuBook(
            version=version,
            start="enter",
            home="enter",
            states=shop.STATES,
            who=shop.who,
            shortcuts=[moved],
            bad_shortcut="bad_code",
        )

    bench = Bench(session_redis_url, played=shop.Shop(), book=book, texts=texts.SHOP)
    assert bench.phone().dial("51*77*250").startswith("Hello Juma")
    assert bench.played.ran == 0


def test_the_database_away_under_a_code(bench: Bench, redis: Redis) -> None:
    bench.played.who_fails_with = DomainError("database_away", retryable=True)
    phone = bench.phone(gateway=WINDOW)
    assert phone.dial("51*77*250").startswith("Kibanda cannot answer now.")
    assert not phone.screen.open


@pytest.mark.parametrize(
    ("shortcuts", "fault"),
    [
        ([Shortcut("5", "main", ("meter",))], "two to four digits"),
        ([Shortcut("98", "main", ("meter",))], "own key"),
        ([Shortcut("05", "main", ("meter",))], "two to four digits"),
        ([Shortcut("51", "main", ("confirm",))], "'confirm' is no Ask"),
        ([Shortcut("51", "main", ())], "has no answers"),
        ([Shortcut("51", "nowhere", ("meter",))], "'nowhere', which is no state"),
        ([shop.SHORTCUTS[0], Shortcut("51", "main", ("meter",))], "two shortcuts"),
    ],
)
def test_a_code_that_cannot_be_walked_is_refused_at_import(
    shortcuts: list[Shortcut], fault: str
) -> None:
    with pytest.raises(MenuError, match=fault):
        MenuBook(
            version="x",
            start="enter",
            home="enter",
            states=shop.STATES,
            who=shop.who,
            shortcuts=shortcuts,
            bad_shortcut="bad_code",
        )
