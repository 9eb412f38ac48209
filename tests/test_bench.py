"""The benches' own checks: their sessions fit the menus, and they see a body that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.callers import play
from bench.person import Person
from bench.web import answer_of
from tests.world import Phone, World

AddPerson = Callable[..., str]
START = 10_000  # whole shillings


@pytest.mark.parametrize("language", ["en", "sw"])
def test_every_session_gets_the_screens_that_are_written_down(
    world: World, add_person: AddPerson, language: str
) -> None:
    who = Person(add_person(language, START * 100), language, START)
    first = play(world.port, [[who.browse(), who.look_back(), who.pay()]])
    assert first.wrong + first.errors == []
    assert who.crowded == 0, "the biller was slow or the places to wait were taken"
    Phone(world, who.msisdn).wait_sms(1)
    who.at_rest()
    then = play(world.port, [[who.browse(), who.look_back(), who.look_at_balance()]])
    assert then.wrong + then.errors == []
    (paid,) = who.payments
    sold = [(sale["customer_no"], sale["amount"]) for sale in world.sales()]
    assert sold.count((paid.meter, paid.amount)) == 1
    assert (first.hops, then.hops) == (8 + 2 + 7, 8 + 5 + 3)


def test_another_language_and_another_balance_are_wrong_screens(
    world: World, add_person: AddPerson
) -> None:
    msisdn = add_person("en", START * 100)
    mistaken = [Person(msisdn, "sw", START).browse(), Person(msisdn, "en", 1).look_at_balance()]
    played = play(world.port, [mistaken])
    assert len(played.wrong) == 2
    assert "Pay bill" in played.wrong[0]
    assert f"KES {START:,}.00" in played.wrong[1]
    assert played.errors == []


def test_an_error_of_the_server_is_counted_and_the_next_session_is_played(
    world: World, add_person: AddPerson
) -> None:
    broken = Person("no number", "en", START)
    who = Person(add_person("en", START * 100), "en", START)
    played = play(world.port, [[broken.browse(), who.browse()], [who.look_back()]])
    assert [error[:8] for error in played.errors] == ["HTTP 400"]
    assert played.wrong == []
    assert played.hops == 8 + 2


def test_an_answer_is_read_when_it_is_whole() -> None:
    whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 9\r\n\r\nCON Hello"
    assert [answer_of(whole[:size]) for size in (0, 20, len(whole) - 1)] == [None] * 3
    assert answer_of(whole) == (200, "CON Hello")
