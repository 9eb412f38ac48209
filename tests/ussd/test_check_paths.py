"""`check` of the ways through a book: reached, left, answered; codes that arrive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.ussd.inputs import ITEMS_MOST
from app.ussd.menubook import Shortcut
from app.ussd.problems import Problem
from app.ussd.screens import MORE
from app.ussd.states import (
    End,
    Menu,
    MenuError,
    Option,
    Secret,
    State,
)
from tests.ussd.checked import (
    CODE,
    ask,
    book_of,
    coded,
    found,
    go,
    kinds,
    menu,
    sound,
    step,
)


def test_a_state_that_nobody_reaches() -> None:
    states = sound() | {"lost": End[None]("lost", "menus.c.help")}
    assert found(states) == [Problem("lost", "unreachable", "no state leads here")]


def test_a_dead_end() -> None:
    states = sound()
    states["list"] = Menu("list", "menus.c.list", (Option("menus.c.line", "list"),))
    assert Problem("list", "dead_end", "no End can be reached from here") in found(states)


def test_more_options_than_keys() -> None:
    states = sound()
    options = [Option[None]("menus.c.pay", "pin")] * 9 + [Option[None]("menus.c.list", "list")]
    states["main"] = Menu("main", "menus.c.main", tuple(options))
    assert [problem.kind for problem in found(states)] == ["too_many_options"]


def test_key_00_is_no_way_out() -> None:
    states = sound() | menu("left", "right") | menu("right", "left")
    states["list"] = replace(states["list"], goes=("help", "left"))
    assert kinds(states) == {("left", "dead_end"), ("right", "dead_end")}
    states["right"] = replace(states["right"], options=(Option("menus.c.pay", "help"),))
    assert found(states) == []


def test_going_on_after_a_drop_is_no_way_out_either() -> None:
    states = sound() | menu("round", "closed")
    states["closed"] = Secret("closed", "menus.c.list", go, ("round",), resume="main", new=True)
    states["list"] = replace(states["list"], goes=("help", "round"))
    assert kinds(states) == {("round", "dead_end"), ("closed", "dead_end")}


def test_steps_that_lead_to_each_other_only() -> None:
    states = sound() | step("left", "right") | step("right", "left")
    states["list"] = replace(states["list"], goes=("help", "left"))
    assert found(states) == [Problem("left", "endless_steps", "no way out of left, right")]


@pytest.mark.parametrize(
    "way_out", [{"goes": ("left", "help")}, {"ends": ("pin_wrong",)}], ids=["a screen", "an end"]
)
def test_steps_with_a_way_out(way_out: dict[str, Any]) -> None:
    states = sound() | step("left", "right") | step("right", "left")
    states["right"] = replace(states["right"], **way_out)
    states["list"] = replace(states["list"], goes=("help", "left"))
    assert found(states) == []


def test_more_steps_than_a_hop_may_take() -> None:
    states = sound()
    for at in range(7):
        states |= step(f"s{at}", f"s{at + 1}" if at < 6 else "help")
    states["list"] = replace(states["list"], goes=("help", "s0"))
    assert found(states) == []
    states |= step("s6", "s7") | step("s7", "help")
    assert kinds(states) == {("s0", "too_many_steps")}


def test_keys_are_enough_for_every_list() -> None:
    """Two digits choose a line, and none of them is the key that turns the page."""
    assert int(MORE) > ITEMS_MOST


def test_a_code_that_arrives() -> None:
    assert found(coded(), None, CODE) == []


def test_only_a_code_leads_to_its_answers() -> None:
    assert kinds(coded()) == {(name, "unreachable") for name in ("meter", "look", "amount")}


@pytest.mark.parametrize(
    ("code", "changed", "problem"),
    [
        (Shortcut("51", "main", ("amount", "meter")), {}, ("meter", "an answer to amount")),
        (CODE, step("look", "help"), ("amount", "an answer to meter")),
        (Shortcut("51", "list", ("meter", "amount")), {}, ("list", "no dial leads here")),
        (CODE, ask("amount", "help"), ("amount", "leads to nothing new")),
        (CODE, ask("amount", "meter", "help"), ("amount", "leads to nothing new")),
    ],
    ids=["wrong order", "way closed", "nobody dials there", "error at the end", "in a circle"],
)
def test_a_code_that_does_not_arrive(
    code: Shortcut, changed: dict[str, State[None]], problem: tuple[str, str]
) -> None:
    problems = found(coded() | changed, None, code)
    broken = [one for one in problems if one.kind == "shortcut_broken"]
    assert any(one.state == problem[0] and problem[1] in one.detail for one in broken), problems


def test_an_unfinished_code_ends_the_session() -> None:
    states = coded() | menu("help", "paid")
    assert ("help", "shortcut_broken") in kinds(states, CODE)


@pytest.mark.parametrize("number", ["5", "98", "051", "12345"])
def test_a_code_is_no_key_of_a_menu(number: str) -> None:
    with pytest.raises(MenuError, match=f"shortcut '{number}'"):
        book_of(coded(), replace(CODE, number=number))


# --- gateways ---
