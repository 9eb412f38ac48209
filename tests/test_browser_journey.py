"""The main job in a real browser against the real system: dial, pay, read the token by SMS."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.people import fresh_meter
from tests.phone_page import Phone, PhonePage, chromium
from tests.world import ROOT, World

pytestmark = pytest.mark.browser

CODE = "*384*123#"
PIN = "7391"
START_AGAIN = "2"  # what a session that was cut off is answered with
TOKEN = re.compile(r"Token (\d{4}(?:-\d{4}){4})")
AddPerson = Callable[..., str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, world: World) -> Iterator[PhonePage]:
    """A desk with no memory, and a check that no script failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 768}, reduced_motion="reduce")
    page = PhonePage(context.new_page(), world.sandbox_url)
    yield page
    context.close()
    assert page.errors == []


def fits(phone: Phone) -> None:
    """The counter under the phone, which measures what the handset shows."""
    found = re.fullmatch(r"(\d+) / 182", phone.part("septets").locator("b").inner_text())
    assert found, "the counter is there, and counts septets"
    assert 0 < int(found[1]) <= 182


def type_in(phone: Phone, *replies: str) -> None:
    """Type one reply after the other, with a look at every screen."""
    for reply in replies:
        fits(phone)
        shown = phone.screen
        phone.reply(reply)
        expect(phone.part("screen")).not_to_have_text(shown, use_inner_text=True)
    fits(phone)


def token_on_screen(phone: Phone) -> str:
    found = TOKEN.search(phone.screen)
    assert found, phone.screen
    return found[1]


def test_pay_for_electricity_and_read_the_token_twice(
    page: PhonePage, world: World, add_person: AddPerson
) -> None:
    msisdn, meter = add_person("en", 500_000), fresh_meter()
    phone = page.phone()
    phone.enter_number(msisdn)
    phone.press(CODE)
    phone.part("key-call").click()
    phone.expect_screen(
        "Kibanda\n1 Pay bill\n2 Send money\n3 Withdraw cash\n4 My payments\n5 Balance\n"
        "6 Lost token\n7 My account"
    )
    type_in(phone, "1", "1", "1", meter, "200")
    assert phone.is_open
    assert phone.screen.startswith(f"Pay KES 200.00 to Stima token\nNo. {meter}\n")
    assert "Total KES 210.00\nEnter PIN to pay" in phone.screen
    phone.reply(PIN)
    expect(phone.part("screen")).to_contain_text("Paid KES 200.00")
    assert not phone.is_open
    fits(phone)
    token = token_on_screen(phone)
    phone.expect_unread(1)
    receipt = phone.newest_sms()
    assert f"Token {token}." in receipt
    assert f"for Stima token {meter}" in receipt
    assert "Bal KES 4,790.00" in receipt
    phone.expect_unread(0)
    (sale,) = [sale for sale in world.sales() if sale["customer_no"] == meter]
    assert sale["token"] == token.replace("-", "")
    expect(page.sales.filter(has_text=meter)).to_contain_text(token.replace("-", " "))


def test_what_the_page_recorded_can_be_played(
    page: PhonePage, world: World, add_person: AddPerson, tmp_path: Path
) -> None:
    """Recorded with one person, played with another of the same balance, at the wire."""
    phone, meter = page.phone(), fresh_meter()
    phone.enter_number(add_person("en", 500_000))
    phone.record()
    phone.dial(CODE)
    type_in(phone, "1", "1", "1", meter, "200")
    phone.lose_network()
    phone.expect_view("lost")
    phone.expect_view("idle")
    phone.dial(CODE)
    type_in(phone, START_AGAIN, "1", "1", "1", meter, "200", PIN)
    phone.expect_unread(1)
    phone.part("key-end").click()
    phone.expect_view("idle")
    phone.dial(CODE)
    type_in(phone, "7", "1111", PIN, "1")
    phone.record()

    path = tmp_path / "transcript.txt"
    with page.page.expect_download() as download:
        phone.part("download").click()
    download.value.save_as(path)
    text = path.read_text()
    assert PIN not in text
    assert text.count("> {pin}") == text.count("> {pin2}") + 1 == 2
    assert text.count("{token}") == 3, text

    where = ("--url", world.url, "--sandbox", world.sandbox_url)
    played = play(world, "--msisdn", add_person("en", 500_000), *where, str(path))
    assert played.returncode == 0, played.stderr
    assert played.stdout.endswith(" screens and 1 SMS as written\n")
    assert PIN not in played.stdout + played.stderr
    assert len([sale for sale in world.sales() if sale["customer_no"] == meter]) == 2

    path.write_text(text.replace("Total KES 210.00", "Total KES 205.00"))
    differs = play(world, "--msisdn", add_person("en", 500_000), *where, "--quiet", str(path))
    assert (differs.returncode, differs.stdout) == (1, "")
    assert "- Total KES 205.00\n+ Total KES 210.00\n" in differs.stderr


def play(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`ussd transcript` as whoever recorded would call it, with the PINs of the recording."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app.factory", "ussd", "transcript", *arguments],
        cwd=ROOT,
        env={**world.environment, "KIBANDA_PIN": f"{PIN},1111"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_two_people_pay_side_by_side(page: PhonePage, add_person: AddPerson) -> None:
    phones = [page.phone(0), page.phone(1)]
    meters = [fresh_meter(), fresh_meter()]
    for phone, language in zip(phones, ("en", "sw"), strict=True):
        phone.enter_number(add_person(language, 100_000))
        phone.dial(CODE)
    for replies in (*[("1", "1")] * 3, meters, ("100", "150")):
        for phone, reply in zip(phones, replies, strict=True):
            phone.reply(reply)
    expect(phones[0].part("screen")).to_contain_text(f"No. {meters[0]}")
    expect(phones[1].part("screen")).to_contain_text(f"Namba {meters[1]}")
    for phone in phones:
        phone.part("reply").fill(PIN)
    for phone in phones:
        phone.part("soft-left").click()
    expect(phones[0].part("screen")).to_contain_text("Paid KES 100.00")
    expect(phones[1].part("screen")).to_contain_text("Umelipa KES 150.00")
    for phone, meter in zip(phones, meters, strict=True):
        phone.expect_unread(1)
        assert meter in phone.newest_sms()


def test_the_network_is_lost_before_and_after_the_pin(
    page: PhonePage, world: World, add_person: AddPerson
) -> None:
    phone, meter = page.phone(), fresh_meter()
    phone.enter_number(add_person("en", 100_000))
    phone.dial(CODE)
    type_in(phone, "1", "1", "1", meter, "200")
    phone.lose_network()
    phone.expect_view("lost")
    phone.expect_view("idle")
    phone.dial(CODE)
    type_in(phone, START_AGAIN, "1", "1", "1", meter, "150")
    world.fault("ussd", "drop", times=1)
    phone.part("reply").fill(PIN)
    phone.part("soft-left").click()
    phone.expect_view("lost")
    phone.expect_unread(1)
    assert "Paid KES 150.00" in phone.newest_sms()
    phone.part("key-end").click()
    phone.dial(CODE)
    expect(phone.part("screen")).to_contain_text("Last: KES 150.00 paid")
    fits(phone)
    assert [sale["amount"] for sale in world.sales() if sale["customer_no"] == meter] == [150]
