"""The way of a session that ended: read from the session itself, else from the gateway's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from app.gateways.wire import UssdEnd
from app.ussd.ends import Way, way_of
from app.ussd.live import PATH_MOST
from app.ussd.session import SessionStore
from tests.ussd import book
from tests.ussd.phone import KEY, Bench, Phone


def ended(phone: Phone, metadata: str | None = None, msisdn: str = "") -> UssdEnd:
    """What the gateway says of the phone's session."""
    return UssdEnd(
        gateway=phone.gateway.name,
        session_id=phone.session_id,
        msisdn=msisdn or phone.msisdn,
        service_code="*384*123#",
        network="99999",
        status="dropped",
        hops=2,
        duration_ms=900,
        cost=None,
        error=None,
        hops_metadata=metadata,
    )


def way(phone: Phone, metadata: str | None = None, msisdn: str = "") -> Way:
    bench = phone.bench
    return way_of(ended(phone, metadata, msisdn), bench.store, bench.engine.books)


def test_the_screens_of_a_session_in_their_order(phone: Phone) -> None:
    phone.keys("1", "250")
    assert way(phone) == Way(
        session_hash=phone.bench.store.hash_of("africastalking", phone.session_id),
        path=("main", "amount", "pin"),
        last_state="pin",
        menu_version="t1",
        language="en",
        registered=True,
    )
    assert "250" not in repr(way(phone))
    assert book.PIN not in repr(way(phone))


def test_a_stranger_in_another_language(bench: Bench) -> None:
    phone = bench.phone("+254711000009")
    phone.keys("5")
    found = way(phone)
    assert (found.path, found.language, found.registered) == (("main", "language"), "sw", False)


def test_a_question_that_is_asked_again_is_one_step(phone: Phone) -> None:
    phone.keys("1", "many", "few", "0", "1")
    assert way(phone).path == ("main", "amount", "main", "amount")


def test_a_long_way_keeps_its_beginning_and_its_end(phone: Phone) -> None:
    phone.keys(*["1", "0"] * PATH_MOST, "2")
    found = way(phone)
    assert found.path is not None
    assert found.path == ("main", "amount") * (PATH_MOST // 2) + ("list",)
    assert found.last_state == "list"


@pytest.mark.parametrize(
    ("told", "path", "last"),
    [
        ("main,main,amount,pin", ("main", "amount", "pin"), "pin"),
        ("pin", ("pin",), "pin"),
        ('["main", "engine.away"]', ("main", "engine.away"), "engine.away"),
        ("7391826450 gone.state main <script>", ("main",), "main"),
        ("Main|7391826450", None, None),
        (None, None, None),
        (",".join(["main", "amount"] * 30 + ["pin"]), ("main", "amount") * 20 + ("pin",), "pin"),
    ],
    ids=["all", "last", "our-sentence", "foreign", "nothing-of-ours", "none", "long"],
)
def test_without_the_session_what_the_gateway_gives_back(
    phone: Phone, redis: Redis, told: str | None, path: tuple[str, ...] | None, last: str | None
) -> None:
    phone.keys("1", "250")
    redis.flushdb()
    found = way(phone, told)
    assert (found.path, found.last_state) == (path, last)
    assert (found.menu_version, found.language, found.registered) == (None, None, None)


def test_the_gateway_knows_better_which_screen_was_the_last(phone: Phone) -> None:
    """An answer that came too late was shown to nobody."""
    phone.keys("1", "250")
    assert way(phone, "main,amount").last_state == "amount"
    found = way(phone, "main,engine.away")
    assert found.path == ("main", "amount", "pin", "engine.away")
    assert found.last_state == "engine.away"


def test_another_number_with_the_same_session_id_learns_nothing(phone: Phone) -> None:
    phone.keys("1")
    found = way(phone, msisdn="+254711000002")
    assert (found.path, found.language, found.registered) == (None, None, None)


def test_menus_that_this_release_does_not_know_keep_their_version(bench: Bench) -> None:
    phone = bench.phone()
    phone.keys("1")
    newer = Bench(bench.redis_url, version="t2", prefix=bench.prefix)
    found = way_of(ended(phone), newer.store, newer.engine.books)
    assert (found.path, found.last_state) == (("amount",), "amount")
    assert (found.menu_version, found.language) == ("t1", "en")


@pytest.mark.parametrize("stored", [b"-en", b"[1", b"[1,2]", b"{}", b"\xff"])
def test_bytes_that_are_no_session_lose_nothing_else(
    phone: Phone, redis: Redis, stored: bytes
) -> None:
    phone.keys("1")
    name = phone.bench.store.hash_of("africastalking", phone.session_id).hex()
    redis.set(f"{phone.bench.prefix}{name}", stored)
    assert way(phone, "main").path == ("main",)


def test_redis_away_loses_nothing_else(phone: Phone, tmp_path: Path) -> None:
    phone.keys("1")
    away = SessionStore(f"unix://{tmp_path}/none.sock?db=0", KEY)
    found = way_of(ended(phone, "main,amount"), away, phone.bench.engine.books)
    assert (found.path, found.last_state) == (("main", "amount"), "amount")
