"""What a person sees: keys, questions asked again, pages, languages, secrets, last words."""

from __future__ import annotations

import pytest
from redis import Redis

from app.errors import DomainError
from app.ussd.menubook import MenuBook
from app.ussd.states import Ask, End, Hop, Menu, MenuError, Option, State, Step, Wait
from tests.ussd.book import PIN, Played
from tests.ussd.phone import Bench, Phone

MAIN = (
    "Hello Amina\n1 Pay\n2 Payments\n3 Terms\n4 Balance\n5 Kiswahili\n6 Ask the biller\n7 New PIN"
)
KEYS = "\n0 Back 00 Home"
OVER = "This session is over. Please dial again."


def test_a_dial_shows_the_first_menu_without_back_or_home(phone: Phone) -> None:
    assert phone.dial() == MAIN
    assert phone.screen.open


def test_a_dial_with_text_is_a_new_dial_until_there_are_shortcuts(phone: Phone) -> None:
    assert phone.dial("1*500") == MAIN
    assert phone.reply("1") == "Enter amount" + KEYS
    assert phone.reply("500").startswith("Pay 500")


def test_a_payment(phone: Phone) -> None:
    assert phone.keys("1") == "Enter amount" + KEYS
    assert phone.reply("500") == "Pay 500. Enter PIN" + KEYS
    assert phone.reply(PIN) == "Paid 500, number 1"
    assert not phone.screen.open


@pytest.mark.parametrize("typed", ["9", "0", "x", " ", "1*1", "#", "١", "98", "111"])
def test_what_is_no_option_is_asked_again(phone: Phone, typed: str) -> None:
    assert phone.keys(typed) == f"Answer with a number from the list.\n{MAIN}"


def test_a_hidden_option_has_no_number(phone: Phone, bench: Bench) -> None:
    assert phone.keys("7") == "Choose a PIN" + KEYS


def test_back_and_home(phone: Phone) -> None:
    phone.keys("1")
    assert phone.reply("0") == MAIN
    phone.reply("1")
    phone.reply("500")
    assert phone.reply("0") == "Enter amount" + KEYS
    phone.reply("500")
    assert phone.reply("00") == MAIN
    assert phone.reply("0").endswith(MAIN), "home has nothing to go back to"


def test_back_never_leads_onto_a_pin_screen(phone: Phone) -> None:
    phone.keys("7", PIN)
    assert phone.reply("0") == MAIN


def test_a_refusal_stands_before_the_question(phone: Phone) -> None:
    assert phone.keys("1", "five") == "Digits only.\nEnter amount" + KEYS
    assert phone.reply("99999999999") == "At most KES 1,000.00.\nEnter amount" + KEYS
    assert phone.reply("500").startswith("Pay 500")


def test_three_wrong_answers_end_the_session_with_the_care_number(phone: Phone) -> None:
    phone.keys("1", "a", "b")
    assert phone.reply("c") == ("Digits only.\nToo many tries. Please dial again. Help: 0711000999")
    assert not phone.screen.open


def test_a_right_answer_begins_the_count_anew(phone: Phone) -> None:
    phone.keys("1", "a", "b", "500", "0", "a", "b")
    assert phone.screen.open


def test_a_wrong_pin_is_told_with_a_shorter_question(phone: Phone) -> None:
    phone.keys("1", "500")
    assert phone.reply("1111111111") == "Wrong PIN, 2 left.\nEnter PIN to pay 500" + KEYS
    phone.reply("2222222222")
    assert phone.reply("3333333333") == "Locked for 29 min. Help: 0711000999"
    assert not phone.screen.open


@pytest.mark.parametrize("typed", ["7391", "739182645x", "73918264501", "٧٣٩١٨٢٦٤٥٠"])
def test_what_has_not_the_form_of_a_pin_is_no_attempt(
    phone: Phone, bench: Bench, typed: str
) -> None:
    phone.keys("1", "500")
    assert phone.reply(typed) == "A PIN has 10 digits.\nEnter PIN to pay 500" + KEYS
    assert bench.played.attempts == 0


def test_an_input_may_hold_a_star_and_a_hash(phone: Phone, bench: Bench) -> None:
    phone.keys("1", "5*0#0")
    assert bench.played.inputs[-1][1] == "5*0#0"
    assert phone.reply("500").startswith("Pay 500")


def test_two_pins_that_agree_though_they_are_equal(phone: Phone) -> None:
    assert phone.keys("7", PIN, PIN) == "PIN changed"
    assert phone.keys("7", PIN, "1111111111") == "Not the same"


def test_the_amount_that_led_to_the_pin_is_set_aside_once(phone: Phone, bench: Bench) -> None:
    phone.keys("1", PIN)
    assert phone.reply(PIN) == f"Pay {PIN}. Enter PIN" + KEYS
    assert bench.played.attempts == 0
    assert phone.reply(PIN) == f"Paid {PIN}, number 1"


def test_a_list(phone: Phone) -> None:
    lines = "1 01/01 KES 100.00\n2 02/01 KES 200.00\n3 03/01 KES 300.00"
    assert phone.keys("2") == f"Payments\n{lines}{KEYS}"
    assert phone.reply("2") == "Payment 200"


def test_an_empty_list(phone: Phone, bench: Bench) -> None:
    bench.played.listed.clear()
    assert phone.keys("2") == "Nothing yet"


def test_the_line_that_was_shown_is_taken_though_the_list_has_changed(
    phone: Phone, bench: Bench
) -> None:
    phone.keys("2")
    bench.played.listed.insert(0, 900)
    assert phone.reply("2") == "Payment 200"


def test_a_line_that_is_gone_is_not_taken_for_another(phone: Phone, bench: Bench) -> None:
    phone.keys("2")
    bench.played.listed.remove(200)
    assert phone.reply("2").startswith("The list has changed. Choose again.\nPayments\n1 01/01")


def test_a_long_list_has_pages_with_numbers_that_go_on(phone: Phone, bench: Bench) -> None:
    bench.played.listed[:] = range(100, 130)
    first = phone.keys("2")
    assert first.endswith("0 Back 00 Home 98 More")
    assert "\n8 " not in first
    second = phone.reply("98")
    assert second.splitlines()[0].startswith("8 08/01")
    assert phone.reply("1").startswith("Answer with a number"), "line 1 is not on this page"
    assert [phone.reply("98"), phone.reply("98")] == [first, second]
    assert phone.reply("0") == first
    phone.reply("98")
    assert phone.reply("9") == "Payment 108"


def test_a_long_end_is_read_page_by_page(phone: Phone) -> None:
    first = phone.keys("3")
    assert first.endswith("\n0 Back 98 More")
    assert phone.screen.open
    second = phone.reply("98")
    assert phone.reply("0") == first
    assert phone.reply("98") == second
    phone.reply("98")
    assert not phone.screen.open


def test_the_language_changes_at_once_and_stays(phone: Phone) -> None:
    assert phone.keys("5") == "Lugha ni Kiswahili"


def test_a_full_house_of_waiting_hops_is_told_at_once(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, wait_places=1)
    with bench.engine._waits.place() as free:
        assert free
        assert bench.phone().keys("6") == "The biller is slow. Nothing was taken"
        assert bench.phone().keys("1", "5", PIN) == "In progress. SMS follows"
    assert bench.phone().keys("6") == "The biller says hello"
    assert len(bench.played.paid) == 1


def test_no_outcome_in_time(phone: Phone, bench: Bench) -> None:
    bench.played.outcome_after = 60
    assert phone.keys("1", "500", PIN) == "In progress. SMS follows"
    assert 5 < bench.played.polls < 15


def lives(redis: Redis) -> list[int]:
    """How long each session is kept yet, in seconds; the pointers to them hold nothing."""
    return [redis.ttl(key) for key in redis.scan_iter() if b":of:" not in key]


def test_the_private_reply_lives_a_minute_and_every_key_expires(phone: Phone, redis: Redis) -> None:
    phone.keys("4")
    assert redis.ttl(phone.key) > 200
    phone.reply(PIN)
    assert phone.screen.text == "Balance KES 1,234.56"
    assert redis.ttl(phone.key) <= 60
    assert all(redis.ttl(key) > 0 for key in redis.scan_iter())


@pytest.mark.parametrize(
    ("keys", "code", "shown"),
    [
        (("4", PIN), "too_poor", "Not enough money: you have KES 1.00"),
        (("4", PIN), "too_much", "At most KES 1.00.\nEnter PIN for the balance" + KEYS),
        (("7", PIN), "", "The same PIN again" + KEYS),
        (("7", PIN, "1111111111"), "", "Not the same"),
        (("1", "500", PIN), "", "In progress. SMS follows"),
    ],
)
def test_whatever_answers_a_right_secret_lives_a_minute(
    phone: Phone, bench: Bench, redis: Redis, keys: tuple[str, ...], code: str, shown: str
) -> None:
    bench.played.outcome_after = 60

    def refuse() -> None:
        if code:
            raise DomainError(code, amount_minor=100, most_minor=100)

    bench.played.before_commit = refuse
    assert phone.keys(*keys) == shown
    assert redis.ttl(phone.key) <= 60


def test_a_wrong_secret_leaves_the_time_to_try_again(phone: Phone, redis: Redis) -> None:
    phone.keys("4", "1111111111")
    assert redis.ttl(phone.key) > 200


@pytest.mark.parametrize("event", ["end", "timeout"])
def test_a_gateway_that_says_goodbye_gets_an_end(phone: Phone, event: str) -> None:
    phone.dial()
    assert not phone.send("", event).open  # type: ignore[arg-type]


def one_state(session_redis_url: str, *states: State[Played]) -> Phone:
    def book(version: str) -> MenuBook[Played]:
        start = states[0].name
        return MenuBook(version=version, start=start, home=start, states=states, who=lambda _: None)

    return Bench(session_redis_url, book=book).phone()


def test_a_state_that_goes_where_it_did_not_declare(session_redis_url: str) -> None:
    astray = Step[Played]("a", run=lambda _: "c", goes=("b",))
    phone = one_state(session_redis_url, astray, End("b", "menus.t.none"), End("c", "menus.t.none"))
    with pytest.raises(MenuError, match="does not declare"):
        phone.dial()


def test_an_undeclared_refusal(session_redis_url: str) -> None:
    def refuse(_: Hop[Played]) -> str:
        raise DomainError("unheard_of")

    state = Step[Played]("a", run=refuse, goes=("b",))
    with pytest.raises(MenuError, match="unheard_of"):
        one_state(session_redis_url, state, End("b", "menus.t.none")).dial()


def test_services_only_where_a_read_is_declared(session_redis_url: str) -> None:
    state = Step[Played]("a", run=lambda hop: str(hop.services.polls), goes=("b",), reads=False)
    with pytest.raises(MenuError, match="reads=True"):
        one_state(session_redis_url, state, End("b", "menus.t.none")).dial()


def test_a_circle_of_states_without_a_screen(session_redis_url: str) -> None:
    first = Step[Played]("a", run=lambda _: "b", goes=("b",))
    second = Step[Played]("b", run=lambda _: "a", goes=("a",))
    with pytest.raises(MenuError, match="without a screen"):
        one_state(session_redis_url, first, second).dial()


@pytest.mark.parametrize(
    ("states", "fault"),
    [
        ((Menu("a", "t", (Option("t", "b"),)),), "goes to 'b'"),
        ((End("a", "t"), End("a", "t")), "two states are named 'a'"),
        ((Menu("a", "t", ()),), "goes nowhere"),
        ((End("b", "t"),), "the book names 'a'"),
        ((Step("a", lambda _: "a", ("a",), slow=True),), "slow and crowded"),
        ((Wait("a", lambda _: None, ("a",), late="z"),), "goes to 'z'"),
        ((Ask("a", "t", lambda _, raw: raw, lambda _, value: value, ()),), "goes nowhere"),
    ],
)
def test_a_book_that_cannot_be_walked_is_refused_at_import(
    states: tuple[State[Played], ...], fault: str
) -> None:
    with pytest.raises(MenuError, match=fault):
        MenuBook(version="x", start="a", home="a", states=states, who=lambda _: None)


def test_nothing_is_skipped_behind_a_refusal_above_a_long_list(bench: Bench) -> None:
    """The refusal makes the first page shorter: the next one begins where the list begins."""
    bench.played.listed = list(range(100, 125))
    phone = bench.phone()
    whole = phone.keys("2")
    assert whole.endswith("98 More")
    refused = phone.reply("77")
    assert refused.startswith("Answer with a number")
    assert phone.reply("98") == whole
    assert phone.reply("98") != whole
    assert phone.reply("0") == whole
