"""The phone in a real browser: keys, menus, messages, a lost network, several phones, faults."""

from collections.abc import Iterator
from hashlib import md5

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.outside_world import (
    Form,
    Reply,
    Sandbox,
    StandIn,
    running_sandbox,
    stand_in,
    wait_until,
)
from tests.phone_page import PhonePage, chromium

pytestmark = pytest.mark.browser

AMINA = "+254711000001"
JUMA = "+254711000002"
CODE = "*384*123#"
MENU = "Karibu\n1. Balance\n2. Pay bill"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def kibanda() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def outside(kibanda: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(kibanda.url, tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, outside: Sandbox, kibanda: StandIn) -> Iterator[PhonePage]:
    """A page with no memory, phones that are idle, and a check that no script failed."""
    outside.clear_faults()
    kibanda.forget()
    for msisdn in (AMINA, JUMA):
        outside.post(f"/phones/{msisdn}/hangup")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = PhonePage(context.new_page(), outside.url)
    yield page
    context.close()
    assert page.errors == []


def send_sms(outside: Sandbox, to: str, text: str) -> None:
    answer = requests.post(
        f"{outside.url}/version1/messaging",
        data={"username": "sandbox", "to": to, "message": text, "from": "KIBANDA"},
        headers={"apiKey": "demo-at-key", "Accept": "application/json"},
        timeout=10,
    )
    assert answer.status_code == 201


def test_dial_reply_and_read_the_end(page: PhonePage, kibanda: StandIn) -> None:
    phone = page.phone()
    phone.press(CODE)
    expect(phone.part("dial-string")).to_have_value(CODE)
    phone.part("key-call").click()
    phone.expect_screen(MENU)
    assert phone.is_open
    expect(phone.part("septets").locator("b")).to_have_text("29 / 182")
    expect(phone.part("timer").locator("b")).to_contain_text(":")
    phone.reply("1")
    phone.expect_screen("You sent 1 characters")
    assert not phone.is_open
    assert [hop["text"] for hop in kibanda.hops] == ["", "1"]
    phone.part("soft-left").click()
    phone.expect_view("idle")


def test_the_keyboard_does_what_the_keys_do(page: PhonePage, kibanda: StandIn) -> None:
    kibanda.answer = lambda _: (200, "CON next")
    keyboard = page.page.keyboard
    keyboard.type(CODE)
    expect(page.phone().part("dial-string")).to_have_value(CODE)
    keyboard.press("Enter")
    page.phone().expect_screen("next")
    keyboard.type("Amina Wanjiru")
    keyboard.press("Enter")
    wait_until(lambda: len(kibanda.hops) == 2)
    session, text = kibanda.hops[1]["sessionId"], kibanda.hops[1]["text"]
    assert text == "Amina Wanjiru"
    page.phone().expect_view("ussd")
    keyboard.press("Escape")
    page.phone().expect_view("idle")
    wait_until(lambda: kibanda.ends_of(session))
    assert kibanda.ends_of(session)[0]["status"] == "Incomplete"


def test_letters_are_written_by_pressing_a_key_again(page: PhonePage) -> None:
    phone = page.phone()
    phone.dial(CODE)
    phone.part("mode").click()
    phone.press("2")
    phone.press("22")
    expect(phone.part("reply")).to_have_value("c")
    phone.press("6")
    phone.part("mode").click()
    phone.press("7")
    phone.part("mode").click()
    phone.press("7#")
    expect(phone.part("reply")).to_have_value("cmP7#")


def test_an_sms_rings_and_its_badge_goes_when_it_is_read(page: PhonePage, outside: Sandbox) -> None:
    for phone in (page.phone(0), page.phone(1)):
        phone.expect_unread(0)
    send_sms(outside, AMINA, "Token 1234 5678 9012 3456 7890")
    page.phone(0).expect_unread(1)
    page.phone(1).expect_unread(0)
    assert page.phone(0).newest_sms() == "Token 1234 5678 9012 3456 7890"
    page.phone(0).expect_unread(0)
    page.page.reload()
    page.phone(0).expect_unread(0)


def test_a_lost_network_ends_the_session_and_a_new_dial_works(
    page: PhonePage, kibanda: StandIn
) -> None:
    phone = page.phone()
    phone.dial(CODE)
    session = kibanda.hops[0]["sessionId"]
    phone.lose_network()
    phone.expect_view("lost")
    wait_until(lambda: kibanda.ends_of(session))
    assert kibanda.ends_of(session)[0]["status"] == "Incomplete"
    phone.expect_view("idle")
    phone.dial(CODE)
    phone.expect_screen(MENU)


def test_an_error_of_ours_is_the_networks_own_message(page: PhonePage, kibanda: StandIn) -> None:
    kibanda.answer = lambda _: (400, "END no")
    phone = page.phone()
    phone.dial(CODE)
    phone.expect_screen("Network error / MMI")
    assert not phone.is_open


def test_two_phones_side_by_side_do_not_mix(page: PhonePage, kibanda: StandIn) -> None:
    def answer(form: Form) -> Reply:
        return 200, f"CON {form['phoneNumber']} {form['text']}"

    kibanda.answer = answer
    amina, juma = page.phone(0), page.phone(1)
    amina.dial(CODE)
    juma.dial(CODE)
    amina.reply("1")
    juma.reply("2")
    amina.expect_screen(f"{AMINA} 1")
    juma.expect_screen(f"{JUMA} 2")


def test_what_another_client_dials_is_shown_too(page: PhonePage, outside: Sandbox) -> None:
    outside.post(f"/phones/{JUMA}/dial", {"code": CODE})
    page.phone(1).expect_screen(MENU)
    page.phone(0).expect_view("idle")


def test_phones_come_and_go_and_take_any_number(page: PhonePage, kibanda: StandIn) -> None:
    expect(page.phones).to_have_count(3)
    phone = page.add_phone()
    phone.enter_number("0722 111 222")
    expect(phone.place).to_have_attribute("data-msisdn", "+254722111222")
    phone.dial(CODE)
    assert kibanda.hops[0]["phoneNumber"] == "+254722111222"
    page.page.reload()
    expect(page.phones).to_have_count(4)
    page.phone(3).expect_screen(MENU)
    page.phone(3).part("remove-phone").click()
    expect(page.phones).to_have_count(3)


def test_faults_are_switched_and_cleared(page: PhonePage, outside: Sandbox) -> None:
    page.switch("biller:stima", "lost_reply").click()
    page.switch("biller:stima", "no_answer", "all").click()
    page.switch("ussd", "duplicate").click()
    wait_until(lambda: len(outside.get("/faults").json()) == 3)
    page.switch("biller:stima", "lost_reply").click()
    wait_until(lambda: len(outside.get("/faults").json()) == 2)
    outside.fault("sms", "down")
    expect(page.switch("sms", "down").locator("input")).to_be_checked()
    page.page.get_by_test_id("clear-faults").click()
    wait_until(lambda: outside.get("/faults").json() == [])
    expect(page.switch("sms", "down").locator("input")).not_to_be_checked()


def test_the_billers_sales_are_listed(page: PhonePage, outside: Sandbox) -> None:
    expect(page.sales).to_have_count(0)
    order = {
        "username": "kibanda",
        "buyer_sku_code": "stima-token",
        "customer_no": "54100234563",
        "ref_id": "r-1",
        "sign": md5(b"kibandademo-stima-keyr-1").hexdigest(),
        "amount": 1500,
    }
    data = outside.post("/billers/stima/v1/transaction", order).json()["data"]
    token = data["sn"].split("/")[0].replace("-", " ")
    expect(page.sales).to_have_count(1)
    expect(page.sales.first).to_contain_text("meter 54100234563")
    expect(page.sales.first).to_contain_text("1,500")
    expect(page.sales.first).to_contain_text(token)


def test_the_page_needs_nothing_from_outside(page: PhonePage, outside: Sandbox) -> None:
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.reload()
    page.phone().expect_view("idle")
    assert asked
    assert all(url.startswith(outside.url) for url in asked)
