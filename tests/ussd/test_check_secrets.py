"""`check` of secrets and commits: what is shown or run before, after and without a PIN."""

from __future__ import annotations

from dataclasses import replace

from app.ussd.check import check
from app.ussd.menubook import Shortcut
from app.ussd.problems import Problem
from app.ussd.states import (
    Option,
    Step,
    Wait,
)
from tests.ussd import phone
from tests.ussd.checked import (
    CODE,
    ask,
    book_of,
    coded,
    found,
    kinds,
    menu,
    said,
    sound,
    step,
)


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


def test_a_pin_is_asked_once_a_flow() -> None:
    states = sound() | step("between", "second")
    states["pin"] = replace(states["pin"], goes=("between", "wait"))
    states["second"] = replace(states["pin"], name="second", goes=("paid",))
    assert kinds(states) == {("second", "secret_twice")}
    assert Problem("second", "secret_twice", "asked again after pin") in found(states)


def test_the_same_pin_state_again_is_asked_twice_too() -> None:
    states = sound() | menu("more", "pin", "paid")
    states["pin"] = replace(states["pin"], goes=("more", "wait"))
    assert kinds(states) == {("pin", "secret_twice")}


def test_a_new_pin_is_not_asked_twice() -> None:
    states = sound()
    states["pin"] = replace(states["pin"], goes=("new", "wait"))
    states["new"] = replace(states["pin"], name="new", goes=("again",), new=True)
    states["again"] = replace(states["new"], name="again", goes=("paid",), repeats=True)
    assert found(states) == []


def test_home_between_two_pins_begins_another_flow() -> None:
    """Nor is the way of the next session, at `resume`, the same flow."""
    states = sound() | ask("amount", "pin")
    states["main"] = replace(states["main"], options=(Option("menus.c.pay", "amount"),))
    states["pin"] = replace(states["pin"], goes=("main", "wait"), resume="amount")
    del states["list"]
    assert found(states, said(both={"menus.c.line": None})) == []


def test_a_resume_onto_a_secret() -> None:
    states = sound() | step("again", "pin", "help")
    states["pin"] = replace(states["pin"], resume="again")
    assert kinds(states) == {("pin", "resumes_on_secret")}
    review = sound() | step("again", "review") | menu("review", "pin")
    review["pin"] = replace(review["pin"], resume="again")
    assert found(review) == []


def test_an_empty_list_is_no_screen_before_a_secret() -> None:
    states = sound() | step("enter", "list")
    states["main"] = replace(states["list"], name="main", empty="pin")
    assert ("pin", "secret_first") in kinds(states)


def test_codes_and_resumes_open_nothing_without_a_pin() -> None:
    states = sound() | ask("meter", "wide") | menu("wide", "paid") | menu("review", "paid")
    states["wide"] = replace(states["wide"], private=True)
    found_kinds = kinds(states, Shortcut("51", "main", ("meter",)))
    assert {("wide", "private_without_secret"), ("paid", "private_without_secret")} <= found_kinds
    states = sound() | menu("review", "paid", "pin")
    states["pin"] = replace(states["pin"], resume="review")
    assert kinds(states) == {("paid", "private_without_secret")}
    states = sound()
    states["help"] = replace(states["help"], private=True)
    states["list"] = replace(states["list"], goes=("pin",), empty="pin")
    assert kinds(states | ask("meter", "pin"), Shortcut("51", "main", ("meter",))) == {
        ("help", "private_without_secret")
    }


def test_an_unfinished_code_does_not_lead_to_a_secret() -> None:
    book = book_of(coded() | step("bad", "pin"), CODE, bad_shortcut="bad")
    problems = check(book, phone.market(), said())
    assert {(one.state, one.kind) for one in problems} == {
        ("pin", "secret_first"),
        ("bad", "shortcut_broken"),
    }


def test_a_code_does_not_pass_by_the_pin_that_the_menus_ask_for() -> None:
    states = sound() | ask("meter", "help")
    states["pin"] = replace(states["pin"], goes=("meter", "wait"))
    assert ("meter", "shortcut_broken") in kinds(states, Shortcut("51", "main", ("meter",)))


def test_nothing_is_committed_that_nobody_answered_for() -> None:
    states = sound() | ask("meter", "move") | step("move", "help", commits=True)
    assert ("move", "commits_unasked") in kinds(states, Shortcut("51", "main", ("meter",)))
    states = sound() | step("move", "help", commits=True)
    states["pin"] = replace(states["pin"], resume="move")
    assert ("move", "commits_unasked") in kinds(states)


def test_a_pin_that_is_being_chosen_opens_nothing() -> None:
    states = sound()
    states["pin"] = replace(states["pin"], new=True)
    assert ("paid", "private_without_secret") in kinds(states)
