"""A book with nothing to find, and how a test plants a fault in it and looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.text import Catalogues
from app.ussd.check import check
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.problems import Problem
from app.ussd.states import (
    Ask,
    Caller,
    End,
    Hop,
    Item,
    Menu,
    Option,
    Pick,
    Resume,
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


def book_of(
    states: dict[str, State[None]], *shortcuts: Shortcut, bad_shortcut: str = "help"
) -> MenuBook[None]:
    return MenuBook[None](
        version="c",
        start="main",
        home="main",
        states=states.values(),
        who=who,
        entries=("help",),
        shortcuts=shortcuts,
        bad_shortcut=bad_shortcut if shortcuts else None,
    )


def found(
    states: dict[str, State[None]], catalogues: Catalogues | None = None, *shortcuts: Shortcut
) -> list[Problem]:
    return check(book_of(states, *shortcuts), phone.market(), catalogues or said())


def kinds(states: dict[str, State[None]], *shortcuts: Shortcut) -> set[tuple[str, str]]:
    """State and kind of every problem."""
    return {(one.state, one.kind) for one in found(states, None, *shortcuts)}


def step(name: str, *goes: str, **more: Any) -> dict[str, State[None]]:
    return {name: Step[None](name, lambda _: goes[0], goes, **more)}


def ask(name: str, *goes: str) -> dict[str, State[None]]:
    return {name: Ask[None, str](name, "menus.c.list", lambda _, typed: typed, go, goes)}


def menu(name: str, *goes: str) -> dict[str, State[None]]:
    return {name: Menu[None](name, "menus.c.main", tuple(Option("menus.c.pay", go) for go in goes))}


def offering() -> dict[str, State[None]]:
    """The sound book with an offer to go on."""
    main = replace(sound()["main"], name="menu")
    resume = Resume[None]("resume", "menus.c.go", "menus.c.on", "menus.c.again", again="main")
    return sound() | step("main", "menu", "resume") | {"menu": main, "resume": resume}


OFFER: dict[str, str | None] = {
    "menus.c.go": "You were cut off",
    "menus.c.on": "Go on",
    "menus.c.again": "Start again",
}


def coded() -> dict[str, State[None]]:
    """The sound book with a way for a code: meter, a look at it, amount, PIN."""
    return sound() | ask("meter", "look") | step("look", "amount", "help") | ask("amount", "pin")


CODE = Shortcut("51", "main", ("meter", "amount"))
