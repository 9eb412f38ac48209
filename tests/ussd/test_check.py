"""`check` of sentences and widths finds each planted fault, and nothing without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from app import markets
from app.factory import build_runtime
from app.gateways.table import ussd_gateways
from app.gateways.wire import UssdGateway
from app.markets import MarketError
from app.settings import Settings
from app.text import Catalogues
from app.ussd import worst
from app.ussd.check import check
from app.ussd.problems import REPAIRS, Kind, Problem
from app.ussd.states import (
    Ask,
    End,
)
from tests.ussd import phone
from tests.ussd.checked import (
    OFFER,
    book_of,
    found,
    go,
    menu,
    offering,
    said,
    sound,
)

SMALL = UssdGateway(
    "small", "latest", "window", answer_seconds=10, session_seconds=90, septets=160, ucs2_units=70
)


def test_a_sound_book_has_no_problem() -> None:
    assert found(sound()) == []


def test_a_missing_translation() -> None:
    problems = found(sound(), said(sw={"menus.c.paid": None, "refusals.pin_wrong": None}))
    assert problems == [
        Problem("pin", "no_sentence", "refusals.pin_wrong in sw"),
        Problem("paid", "no_sentence", "menus.c.paid in sw"),
    ]


def test_a_missing_sentence_of_the_engine() -> None:
    problems = found(sound(), said(sw={"engine.busy": None}))
    assert problems == [Problem("", "no_sentence", "engine.busy in sw")]


def test_facts_that_differ_between_languages() -> None:
    problems = found(sound(), said(sw={"menus.c.paid": "Umelipa {total}"}))
    assert [problem.kind for problem in problems] == ["facts_differ"]
    assert "amount, total" in problems[0].detail


def test_a_fact_without_a_worst_value() -> None:
    problems = found(sound(), said(both={"menus.c.paid": "Paid {colour}"}))
    assert problems == [
        Problem("paid", "unknown_fact", "menus.c.paid: {colour} has no worst value")
    ]


def test_a_sentence_that_nothing_shows() -> None:
    problems = found(sound(), said(en={"menus.c.old": "Old"}))
    assert problems == [Problem("", "never_shown", "menus.c.old in en")]


def test_sentences_of_the_previous_menus_are_shown_too() -> None:
    """A release carries two books and one catalogue."""
    before = sound() | menu("before", "help")
    before["before"] = replace(before["before"], text="menus.c.old")
    catalogues, market = said(both={"menus.c.old": "Old"}), phone.market()
    assert check(book_of(sound()), market, catalogues, besides=[book_of(before)]) == []


@pytest.mark.parametrize(
    ("sentence", "detail"),
    [
        ("x" * 183, "183 septets of 182"),
        ("x" * 170 + " {amount}", "185 septets of 182"),
        ("ţ" * 81, "81 UCS-2 units of 80"),
        ("[" * 92, "184 septets of 182"),
    ],
)
def test_a_screen_that_is_too_wide(sentence: str, detail: str) -> None:
    problems = found(sound(), said(both={"menus.c.paid": sentence}))
    assert problems[0].state == "paid"
    assert detail in problems[0].detail


def test_a_screen_is_measured_with_its_footer() -> None:
    problems = found(sound(), said(both={"menus.c.pin": "x" * 160 + "{amount}"}))
    assert problems[0].state == "pin"
    assert "189 septets of 182" in problems[0].detail


def test_the_first_screen_has_no_footer_to_measure() -> None:
    fill = 182 - len("\n1 Pay\n2 List")
    assert found(sound(), said(both={"menus.c.main": "x" * fill})) == []
    problems = found(sound(), said(both={"menus.c.main": "x" * (fill + 1)}))
    assert "183 septets of 182" in problems[0].detail


def test_a_refusal_is_measured_with_its_question() -> None:
    problems = found(sound(), said(both={"refusals.pin_wrong": "x" * 150}))
    assert {problem.state for problem in problems} == {"pin"}
    assert "refusals.pin_wrong and question" in problems[0].detail
    states = sound()
    states["pin"] = replace(states["pin"], again="menus.c.main")
    assert found(states, said(both={"refusals.pin_wrong": "x" * 125})) == []


def test_last_words_are_measured() -> None:
    problems = found(sound(), said(sw={"engine.busy": "x" * 183}))
    assert [problem.state for problem in problems] == [""]
    states = sound()
    states["pin"] = replace(states["pin"], ends=("pin_locked",))
    problems = found(states, said(both={"refusals.pin_locked": "x" * 183}))
    assert "refusals.pin_locked" in problems[0].detail


def test_a_text_in_pages_may_be_long() -> None:
    states = sound() | {"help": End[None]("help", "menus.c.help", pages=True)}
    assert found(states, said(both={"menus.c.help": "long " * 100 + "{care}"})) == []


def test_every_worst_value_can_be_made() -> None:
    context = worst.Context(phone.market(), Catalogues(["en", "sw"]), "sw")
    assert all(sample for sample in worst.samples(context, worst.WORST).values())


def test_questions_are_walked_too() -> None:
    states = sound()
    states["list"] = Ask("list", "menus.c.list", lambda _, typed: typed, go, ("help",), ("odd",))
    assert next(problem.detail for problem in found(states)) == "refusals.odd in en, sw"


def test_an_offer_to_go_on_shows_its_two_lines() -> None:
    assert found(offering(), said(both=OFFER)) == []
    for lost in ("menus.c.on", "menus.c.again"):
        problems = found(offering(), said(en=OFFER, sw=OFFER | {lost: None}))
        assert problems == [Problem("resume", "no_sentence", f"{lost} in sw")]
    fill = 182 - len("\n1 Go on\n2 Start again")
    assert found(offering(), said(both=OFFER | {"menus.c.go": "x" * fill})) == []
    problems = found(offering(), said(both=OFFER | {"menus.c.go": "x" * (fill + 1)}))
    assert {problem.state for problem in problems} == {"resume"}
    assert "183 septets of 182" in problems[0].detail


def test_sentences_of_the_search_belong_to_the_engine() -> None:
    problems = found(sound(), said(sw={"engine.search": None, "engine.no_match": None}))
    assert [problem.detail for problem in problems] == [
        "engine.search in sw",
        "engine.no_match in sw",
    ]


def test_a_market_names_gateways_that_exist(tmp_path: Path) -> None:
    demo = markets.load("demo")
    assert [gateway.name for gateway in ussd_gateways(demo.gateways)] == ["africastalking"]
    text = (markets.FOLDER / "demo.toml").read_text()
    market = tmp_path / "pigeon.toml"
    market.write_text(text.replace('["africastalking"]', '["africastalking", "carrier_pigeon"]'))
    with pytest.raises(
        MarketError, match="gateways: there is no 'carrier_pigeon', only africastalking"
    ):
        build_runtime(Settings(kibanda_market=str(market)))


def test_every_kind_of_problem_says_how_it_is_repaired() -> None:
    assert set(REPAIRS) == set(get_args(Kind))


def test_screens_are_measured_for_every_gateway() -> None:
    """A screen that one operator carries is too wide for another."""
    wide = said(both={"menus.c.paid": "x" * 170})
    large = phone.AT
    assert check(book_of(sound()), phone.market(), wide, [large]) == []
    problems = check(book_of(sound()), phone.market(), wide, [large, SMALL])
    assert [str(problem) for problem in problems] == [
        f"paid: too_wide: [{language}, small] menus.c.paid: 170 septets of 160"
        for language in ("en", "sw")
    ]
