"""`check` finds each planted fault, and nothing in a book without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.text import Catalogues
from app.ussd import worst
from app.ussd.check import Problem, check
from app.ussd.menubook import MenuBook
from app.ussd.states import (
    Ask,
    Caller,
    End,
    Hop,
    Item,
    Menu,
    Option,
    Pick,
    Secret,
    State,
    Step,
    Wait,
)
from tests.ussd import phone

SENTENCES = {
    "menus.c.main": "Choose",
    "menus.c.pay": "Pay",
    "menus.c.pin": "Pay {amount}. PIN",
    "menus.c.paid": "Paid {amount}",
    "menus.c.list": "List",
    "menus.c.line": "{day} {amount}",
    "menus.c.help": "Help: {care}",
    "refusals.pin_wrong": "Wrong PIN",
}


def who(_: Hop[None]) -> Caller | None:
    return None


def go(_: Hop[None], __: Any) -> str:
    return "wait"


def no_items(_: Hop[None]) -> list[Item]:
    return []


def sound() -> dict[str, State[None]]:
    """States by name, with nothing to find."""
    states: tuple[State[None], ...] = (
        Menu(
            "main",
            "menus.c.main",
            (Option("menus.c.pay", "pin"), Option("menus.c.list", "list")),
        ),
        Secret("pin", "menus.c.pin", go, ("wait",), refusals=("pin_wrong",), commits=True),
        Wait("wait", lambda _: None, ("paid",), late="help"),
        End("paid", "menus.c.paid", private=True),
        Pick("list", "menus.c.list", "menus.c.line", no_items, go, ("help",), empty="help"),
        End("help", "menus.c.help"),
    )
    return {state.name: state for state in states}


def said(**changed: dict[str, str | None]) -> Catalogues:
    """English and Swahili with the sound sentences, changed by language."""
    made = Catalogues(["en", "sw"])
    for language in made.languages:
        engine = {
            key: text
            for key, text in made._sentences[language].items()
            if key.startswith("engine.")
        }
        sentences = {**engine, **SENTENCES, **changed.get(language, {}), **changed.get("both", {})}
        made._sentences[language] = {key: text for key, text in sentences.items() if text}
    return made


def found(states: dict[str, State[None]], catalogues: Catalogues | None = None) -> list[Problem]:
    book = MenuBook[None](
        version="c", start="main", home="main", states=states.values(), who=who, entries=("help",)
    )
    return check(book, phone.market(), catalogues or said())


def test_a_sound_book_has_no_problem() -> None:
    assert found(sound()) == []


def test_a_state_that_nobody_reaches() -> None:
    states = sound() | {"lost": End[None]("lost", "menus.c.help")}
    assert found(states) == [Problem("lost", "unreachable", "no state leads here")]


def test_a_dead_end() -> None:
    states = sound()
    states["list"] = Menu("list", "menus.c.list", (Option("menus.c.line", "list"),))
    assert Problem("list", "dead_end", "no End can be reached from here") in found(states)


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


def test_more_options_than_keys() -> None:
    states = sound()
    options = [Option[None]("menus.c.pay", "pin")] * 9 + [Option[None]("menus.c.list", "list")]
    states["main"] = Menu("main", "menus.c.main", tuple(options))
    assert [problem.kind for problem in found(states)] == ["too_many_options"]


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


def test_money_shown_without_a_pin() -> None:
    states = sound()
    states["help"] = replace(states["help"], private=True)
    assert [(problem.state, problem.kind) for problem in found(states)] == [
        ("help", "private_without_secret")
    ]


def test_a_secret_as_the_first_question() -> None:
    states = sound()
    states["main"] = Step[None]("main", lambda _: "pin", ("pin", "list"))
    assert ("pin", "secret_first") in {(one.state, one.kind) for one in found(states)}


def test_a_wait_that_no_commit_leads_to() -> None:
    states = sound()
    states["pin"] = replace(states["pin"], commits=False)
    assert [problem.kind for problem in found(states)] == ["wait_without_commit"]


def test_a_commit_after_a_wait() -> None:
    states = sound() | {"after": Step[None]("after", lambda _: "paid", ("paid",), commits=True)}
    states["wait"] = Wait("wait", lambda _: None, ("after",), late="help")
    assert ("after", "acts_after_wait") in {(one.state, one.kind) for one in found(states)}


def test_every_worst_value_can_be_made() -> None:
    context = worst.Context(phone.market(), Catalogues(["en", "sw"]), "sw")
    assert all(sample for sample in worst.samples(context, worst.WORST).values())


def test_questions_are_walked_too() -> None:
    states = sound()
    states["list"] = Ask("list", "menus.c.list", lambda _, typed: typed, go, ("help",), ("odd",))
    assert next(problem.detail for problem in found(states)) == "refusals.odd in en, sw"
