"""One confirmation moves money once, whatever is repeated, raced or lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis

from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.world import Phone, World

PIN = "7391"
AddPerson = Callable[..., str]


def until_pin(world: World, msisdn: str, meter: str, amount: str = "200") -> Session:
    """A session that stands at its confirmation."""
    session = Session(world, msisdn)
    session.home()
    shown = session.reply("1", "1", "1", meter, amount)
    assert "Enter PIN to pay" in shown, shown
    return session


def sold(world: World, meter: str) -> int:
    return sum(sale["customer_no"] == meter for sale in world.sales())


def test_the_pin_hop_delivered_five_times_at_once_pays_once(
    world: World, add_person: AddPerson
) -> None:
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = until_pin(world, msisdn, meter)
    text = f"{session.text}*{PIN}"
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(session.send, [text] * 5))
    stored = session.send(text)
    assert stored.startswith("END Paid"), "its own repeats never take the last place to wait"
    assert stored in answers, "a late redelivery gets the same bytes"
    without_a_place = ("END Payment in progress", "END Still working on your last answer")
    assert all(answer == stored or answer.startswith(without_a_place) for answer in answers)
    assert len(Phone(world, msisdn).wait_sms(1)) == 1
    assert sold(world, meter) == 1


def test_two_sessions_confirming_at_once_are_two_payments(
    world: World, add_person: AddPerson
) -> None:
    """Two phones with one SIM do not exist, but two sessions of one number do reach a server."""
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    sessions = [until_pin(world, msisdn, meter, amount) for amount in ("100", "150")]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda session: session.reply(PIN), sessions))
    paid = [answer for answer in answers if answer.startswith("END Paid")]
    assert len(paid) == len(answers), answers
    Phone(world, msisdn).wait_sms(len(paid))
    assert sold(world, meter) == len(paid)


def test_two_payments_that_only_one_can_be_paid_for(world: World, add_person: AddPerson) -> None:
    msisdn, meters = add_person("en", 25_000), (fresh_meter(), fresh_meter())
    sessions = [until_pin(world, msisdn, meter) for meter in meters]
    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(lambda session: session.reply(PIN), sessions))
    assert answers[0].startswith("END Not enough money: KES 210.00 needed"), answers
    assert answers[1].startswith("END Paid"), answers
    assert sum(sold(world, meter) for meter in meters) == 1


def test_redis_flushed_before_the_pin_takes_nothing(world: World, add_person: AddPerson) -> None:
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = until_pin(world, msisdn, meter)
    redis.Redis.from_url(world.redis_url).flushdb()
    answer = session.reply(PIN)
    assert "1 Pay bill" in answer, "a mid-session text is never walked as a one-shot dial"
    assert sold(world, meter) == 0


def test_redis_flushed_after_the_pin_still_tells_the_outcome(
    world: World, add_person: AddPerson
) -> None:
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = until_pin(world, msisdn, meter)
    first = session.reply(PIN)
    assert first.startswith("END Paid"), first
    redis.Redis.from_url(world.redis_url).flushdb()
    assert session.send(session.text) == first
    assert sold(world, meter) == 1


def test_another_number_on_the_same_session_is_refused(world: World, add_person: AddPerson) -> None:
    owner, thief, meter = add_person("en", 100_000), add_person("en", 0), fresh_meter()
    session = until_pin(world, owner, meter)
    answer = session.send(f"{session.text}*{PIN}", phoneNumber=thief)
    assert answer.startswith("END"), answer
    assert "Paid" not in answer
    assert sold(world, meter) == 0


def test_an_older_hop_and_a_text_that_does_not_extend_get_the_question_again(
    world: World, add_person: AddPerson
) -> None:
    session = until_pin(world, add_person("en", 100_000), fresh_meter())
    question = session.send(session.text)
    assert session.send("1") == question
    assert session.send("9*9*9*9*9*9*9*9*9*9*9*9*9*9*9") == question


def test_two_confirmations_of_one_bill_pay_it_once(world: World, add_person: AddPerson) -> None:
    """The second one was shown before the first was paid, so nobody was asked about a repeat."""
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    sessions = [until_pin(world, msisdn, meter) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda session: session.reply(PIN), sessions))
    paid = [answer for answer in answers if answer.startswith("END Paid")]
    refused = [answer for answer in answers if answer.startswith("END You have just paid this")]
    assert (len(paid), len(refused)) == (1, 1), answers
    assert len(Phone(world, msisdn).wait_sms(1)) == 1
    assert sold(world, meter) == 1


def test_a_confirmation_shown_again_after_a_wrong_pin_pays_once_and_is_told(
    world: World, add_person: AddPerson
) -> None:
    """Its first intent is closed with the payment, so the next dial does not say "not done"."""
    msisdn, meter = add_person("en", 100_000), fresh_meter()
    session = until_pin(world, msisdn, meter)
    assert "Wrong PIN" in session.reply("1111")
    assert "Enter amount" in session.reply("0")
    assert "Enter PIN to pay" in session.reply("200")
    assert session.reply(PIN).startswith("END Paid KES 200.00")
    assert Session(world, msisdn).dial().startswith("CON Last: KES 200.00 paid")
    assert sold(world, meter) == 1
