"""The phone in a real browser: keys, menus, messages, a lost network, several phones, faults, and
recording a transcript."""

import re
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from app import markets
from app.text import FOLDER, Catalogues
from app.ussd.menus import book
from app.ussd.states import Secret
from app.ussd.transcript import PATTERNS, parse
from tests.outside_world import (
    Form,
    Reply,
    Sandbox,
    StandIn,
    running_sandbox,
    stand_in,
    wait_until,
)
from tests.phone_page import Phone, PhonePage, chromium

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
    expect(page.sales.first).to_contain_text("stima 54100234563")
    expect(page.sales.first).to_contain_text("1,500")
    expect(page.sales.first).to_contain_text(token)


TOLD = "Ref M445DEFB of 24/11/2026 19:04. Token 2452-3650-5449-8390-3858"


def recorded(phone: Phone) -> list[str]:
    """The lines of the transcript, without its opening comment."""
    return [line for line in phone.transcript.splitlines() if not line.startswith("# ")]


def dial_anew(phone: Phone) -> None:
    phone.part("key-end").click()
    phone.expect_view("idle")
    phone.dial(CODE)


def test_a_transcript_is_recorded_from_the_first_dial_to_stop(
    page: PhonePage, kibanda: StandIn, outside: Sandbox
) -> None:
    screens = {"": "CON Menu", "1": f"CON WANJIRU\n{TOLD}\nEnter PIN", "1*7391": "END Bye M445DEFB"}
    kibanda.answer = lambda form: (200, screens.get(form["text"], "CON Wrong PIN. Enter PIN"))
    phone = page.phone()
    expect(phone.part("tape")).to_be_hidden()
    phone.dial(CODE)
    phone.reply("9")
    phone.record()
    expect(phone.part("record")).to_have_text("Stop")
    phone.reply("9")
    dial_anew(phone)
    phone.reply("1")
    phone.reply("7391")
    send_sms(outside, AMINA, TOLD)
    send_sms(outside, AMINA, "Ref SYJE5KEB\nthanks")
    expect(phone.part("transcript")).to_have_value(re.compile("thanks"))
    phone.record()
    dial_anew(phone)
    assert recorded(phone) == [
        "",
        "dial *384*123#",
        "< Menu",
        "> 1",
        "< WANJIRU",
        "< Ref {ref} of {day}/{year} {time}. Token {token}",
        "< Enter PIN",
        "> {pin}",
        "< Bye {ref}",
        "end",
        "sms< Ref {ref} of {day}/{year} {time}. Token {token}",
        "",
        "sms< Ref {ref2}",
        "sms< thanks",
    ]
    assert AMINA in phone.transcript.splitlines()[0]
    parse("page.txt", phone.transcript).require(())


def test_every_pin_is_a_placeholder_of_its_own(page: PhonePage, kibanda: StandIn) -> None:
    kibanda.answer = lambda _: (200, "CON Weka PIN mpya")
    phone = page.phone()
    phone.record()
    phone.dial(CODE)
    for typed in ("7391", "739", "73x", "7391", "0", "98"):
        phone.reply(typed)
    replies = [line for line in recorded(phone) if line.startswith(">")]
    assert replies == ["> {pin}", "> {pin2}", "> {pin3}", "> {pin}", "> 0", "> 98"]


def test_what_ends_a_session_is_recorded(page: PhonePage, kibanda: StandIn) -> None:
    phone = page.phone()
    phone.record()
    phone.dial(CODE)
    phone.lose_network()
    phone.expect_view("lost")
    phone.expect_view("idle")
    phone.dial(CODE)
    phone.part("key-end").click()
    phone.expect_view("idle")
    kibanda.answer = lambda _: (500, "")
    phone.dial(CODE)
    phone.expect_screen("Network error / MMI")
    menu = [f"< {line}" for line in MENU.splitlines()]
    dialled = ["", "dial *384*123#"]
    lost = [*dialled, *menu, "drop"]
    assert recorded(phone) == [*lost, *lost, *dialled, "< Network error / MMI", "end"]


def test_what_another_client_typed_is_left_to_the_reader(page: PhonePage, outside: Sandbox) -> None:
    phone = page.phone()
    phone.record()
    phone.dial(CODE)
    outside.post(f"/phones/{AMINA}/reply", {"text": "1"})
    phone.expect_screen("You sent 1 characters")
    lines = phone.transcript.splitlines()
    assert lines[-3:] == [
        "# Somebody typed this elsewhere: write here what it was.",
        "< You sent 1 characters",
        "end",
    ]


def test_a_dial_that_the_phone_refused_never_happened(page: PhonePage) -> None:
    phone = page.phone()
    phone.record()
    phone.press("12")
    phone.part("key-call").click()
    expect(phone.part("complaint")).to_contain_text("a USSD code looks like")
    assert recorded(phone) == []


def test_a_transcript_is_corrected_copied_and_downloaded(page: PhonePage) -> None:
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    phone = page.phone()
    phone.record()
    phone.dial(CODE)
    expect(phone.part("transcript")).not_to_be_editable()
    phone.record()
    phone.part("transcript").fill("dial *384*123#\n< Karibu\n")
    phone.part("copy").click()
    expect(phone.part("copy")).to_have_text("Copied")
    assert page.page.evaluate("navigator.clipboard.readText()") == phone.transcript
    with page.page.expect_download() as download:
        phone.part("download").click()
    assert download.value.suggested_filename == "transcript.txt"
    assert Path(download.value.path()).read_text() == phone.transcript


def test_two_phones_record_each_its_own(page: PhonePage, kibanda: StandIn) -> None:
    kibanda.answer = lambda form: (200, f"CON {form['phoneNumber']}")
    amina, juma = page.phone(0), page.phone(1)
    amina.record()
    juma.record()
    juma.dial(CODE)
    amina.dial(CODE)
    assert recorded(amina)[-1] == f"< {AMINA}"
    assert recorded(juma)[-1] == f"< {JUMA}"
    amina.enter_number("0722 111 222")
    expect(amina.part("record")).to_have_text("Record")
    assert recorded(amina)[-1] == f"< {AMINA}"


def test_the_page_knows_the_language_of_transcripts(page: PhonePage) -> None:
    """The page speaks to no product, so it has the patterns once more."""
    script = "import('/page/recorder.js').then((module) => module.PATTERNS)"
    patterns = page.page.evaluate(script)
    assert patterns == {kind: PATTERNS[kind] for kind in patterns}
    # A code of six digits may be anything, so it is written as a PIN where one is asked for.
    unwritten = {"name", "year", "code", "month", "receipt", "phone"}
    assert set(PATTERNS) - set(patterns) == unwritten


def test_the_page_knows_every_screen_that_asks_for_a_pin(page: PhonePage) -> None:
    script = "import('/page/recorder.js').then((module) => module.PIN_WORDS.source)"
    words = re.compile(page.page.evaluate(script), re.IGNORECASE)
    market = markets.load("demo")
    asking = [state for state in book(market).states.values() if isinstance(state, Secret)]
    assert len(asking) >= 5
    catalogues = Catalogues(path.parent.name for path in FOLDER.glob("*/menus.toml"))
    for state in asking:
        for key in filter(None, (state.text, state.again)):
            for language in catalogues.languages:
                said = catalogues.say(language, key)
                assert words.search(said), f"add a word of {said!r} to PIN_WORDS in recorder.js"


def test_the_page_needs_nothing_from_outside(page: PhonePage, outside: Sandbox) -> None:
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.reload()
    page.phone().expect_view("idle")
    assert asked
    assert all(url.startswith(outside.url) for url in asked)
