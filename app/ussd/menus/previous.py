"""The menus of the release before, as differences from today's.

Sessions that began with them end with them, and processes of that release know no others. When a
release changes the menus, this file is written anew and `menus.VERSION` counts up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.billers.quotes import Quote
from app.ussd.menubook import MenuBook
from app.ussd.menus import bill, confirm, outcome, start
from app.ussd.menus.services import Services
from app.ussd.states import Hop, State

VERSION = "1"
NEW_SINCE = frozenset(
    {
        "resume",
        "bill.repeated",
        "bill.repeat",
        "bill.ready",
        "bill.go_on",
        "bill.review",
        "bill.shortcut",
    }
)


def enter(hop: Hop[Services]) -> str:
    """There was no going on after a cut."""
    hop.left = None
    return start.enter(hop)


def accept_amount(hop: Hop[Services], quoted: Quote) -> str:
    """A repeated payment was not asked about."""
    bill.accept_amount(hop, quoted)
    confirm.note_shown(hop)
    return "bill.confirm"


_CHANGED: dict[str, dict[str, Any]] = {
    "enter": {"run": enter, "goes": ("register.language", "home.suspended", "home")},
    "bill.product": {"search": False},
    "bill.amount": {"accept": accept_amount, "goes": ("bill.confirm",)},
    "bill.confirm": {"resume": None},
    "register.new": {"resume": None},
    "register.again": {"resume": None},
    "register.differ": {"resume": None},
}


def book(today: tuple[State[Any], ...]) -> MenuBook[Services]:
    """The book of the release before, made from the states of today's."""
    states = (
        replace(state, **_CHANGED.get(state.name, {}))
        for state in today
        if state.name not in NEW_SINCE
    )
    return MenuBook(
        version=VERSION,
        start="enter",
        home="enter",
        states=states,
        who=start.arrive,
        on_unknown_session=outcome.of_lost_session,
        entries=outcome.OUTCOMES,
    )
