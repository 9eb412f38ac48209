"""A wide language on the phone: long screens turn, and nothing is ever longer than a message."""

from __future__ import annotations

import pytest
from redis import Redis

from app.gateways.wire import UssdGateway
from app.text.width import ucs2_units
from tests.ussd import texts
from tests.ussd.book import PIN
from tests.ussd.phone import AT, WINDOW, Bench, Phone

AMHARIC = {
    "menus.t.pin": "{amount} ለመክፈል ፒን ያስገቡ\nአሚና ዋንጂሩ\nቆጣሪ 54100234563\nStima token KES 200.00\n"
    "የአገልግሎት ክፍያ KES 10.00",
    "menus.t.pin_again": "ፒን ያስገቡ",
    "menus.t.paid": "{amount} ተከፍሏል\nቶክን 1234-5678-9012-3456-7890\nቆጣሪ 54100234563\n"
    "የአገልግሎት ክፍያ KES 10.00\nማጣቀሻ {count}",
    "menus.t.balance_shown": "{amount}",
}
ASKED = "500 ለመክፈል ፒን ያስገቡ\nአሚና ዋንጂሩ\nቆጣሪ 54100234563\n0 Back 00 Home 98 More"
DETAILS = "Stima token KES 200.00\nየአገልግሎት ክፍያ KES 10.00\n0 Back 00 Home"
PAID = "500 ተከፍሏል\nቶክን 1234-5678-9012-3456-7890\nቆጣሪ 54100234563"
REST = "የአገልግሎት ክፍያ KES 10.00\nማጣቀሻ 1"


@pytest.fixture
def wide(session_redis_url: str) -> Bench:
    return Bench(session_redis_url, texts=texts.TEXTS | {"en": texts.TEXTS["en"] | AMHARIC})


@pytest.mark.parametrize("gateway", [AT, WINDOW], ids=lambda gateway: gateway.name)
@pytest.mark.parametrize("turns", [(), ("98",), ("98", "0"), ("98", "0", "98")])
def test_a_pin_is_taken_on_every_page(
    wide: Bench, gateway: UssdGateway, turns: tuple[str, ...]
) -> None:
    phone = wide.phone(gateway=gateway)
    phone.keys("1", "500")
    assert phone.screen.text == ASKED
    for typed in turns:
        phone.reply(typed)
        assert phone.screen.open
    assert wide.played.attempts == 0, "a key that turns a page is no try"
    assert phone.reply(PIN) == f"{PAID}\n98 More"
    assert phone.reply("98") == REST
    assert not phone.screen.open
    assert len(wide.played.paid) == 1


def test_the_pages_of_a_secret(wide: Bench) -> None:
    phone = wide.phone()
    phone.keys("1", "500")
    assert [phone.reply("98"), phone.reply("0"), phone.reply("98")] == [DETAILS, ASKED, DETAILS]
    assert phone.reply("00").startswith("Hello"), "home is home on every page"


def test_98_on_the_last_page_is_no_more(wide: Bench) -> None:
    phone = wide.phone()
    phone.keys("1", "500", "98")
    assert phone.reply("98").startswith("A PIN has 10 digits.\nፒን ያስገቡ")
    assert wide.played.attempts == 0


def test_a_wrong_pin_on_a_later_page_asks_from_the_first(wide: Bench) -> None:
    phone = wide.phone()
    phone.keys("1", "500", "98")
    assert phone.reply("1111111111").startswith("Wrong PIN, 2 left.\nፒን ያስገቡ")
    assert phone.reply(PIN).startswith(PAID)
    assert len(wide.played.paid) == 1


def test_an_outcome_that_cannot_be_continued_is_its_first_page(wide: Bench, redis: Redis) -> None:
    """After a lost session nobody can turn a page: what matters stands first, in one message."""
    phone: Phone = wide.phone()
    phone.keys("1", "500")
    wide.played.before_commit = redis.flushdb
    shown = phone.reply(PIN)
    assert shown == f"{PAID}\nየአገልግሎት ክፍያ KES 10.00"
    assert not phone.screen.open
    assert ucs2_units(shown) <= AT.ucs2_units < ucs2_units(f"{PAID}\n{REST}")
    assert len(wide.played.paid) == 1
