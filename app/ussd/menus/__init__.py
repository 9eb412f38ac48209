"""The menus of the product, one file a subject; `books(market)` binds them into versions.

A menu is data (see `app/ussd/states.py`): read a file from the top and you read what the person
sees. What moves money is called, not written, here.

    start     arriving: who dials, what became of the last payment, home
    register  an unregistered number opens a wallet
    choose    what to pay: categories, products
    saved     numbers that are saved under a name
    bill      pay a bill: its number, and what the biller says of it
    amount    how much is paid
    confirm   its confirmation, which takes the PIN
    outcome   what became of it
    send      send money, to a wallet or by a code
    withdraw  cash at an agent, at once or by a code
    history   my payments, balance, lost tokens, a wrong number
    account   PIN, language, fees, help
    reset     a new PIN for one that was forgotten
    agent/    what an agent sees

    agreement a confirmation, its PIN and its intent
    transfer  the states that every movement shares
    newpin    a new PIN is typed twice
    previous  what the release before had instead
"""

from __future__ import annotations

from typing import Any

from app.markets import Market
from app.ussd.menubook import MenuBook
from app.ussd.menus import (
    account,
    agent,
    amount,
    bill,
    choose,
    confirm,
    history,
    outcome,
    previous,
    register,
    reset,
    saved,
    send,
    start,
    withdraw,
)
from app.ussd.menus.services import Services
from app.ussd.states import State

VERSION = "4"


def book(market: Market) -> MenuBook[Services]:
    """The menus of this release for a market."""
    return MenuBook(
        version=VERSION,
        start="enter",
        home="enter",
        states=states(market),
        who=start.arrive,
        on_unknown_session=outcome.of_lost_session,
        entries=outcome.OUTCOMES,
        shortcuts=bill.shortcuts(market),
        bad_shortcut="bill.shortcut",
        fresh=start.FRESH,
    )


def books(market: Market) -> list[MenuBook[Services]]:
    """The menus of this release, then those of the one before, whose sessions may be open."""
    return [book(market), previous.book(market, states(market))]


def states(market: Market) -> tuple[State[Any], ...]:
    """All states, in the order in which a reader meets them."""
    return (
        *start.STATES,
        *register.states(market),
        *choose.STATES,
        *saved.STATES,
        *bill.STATES,
        *amount.STATES,
        *confirm.STATES,
        *outcome.STATES,
        *send.STATES,
        *withdraw.STATES,
        *history.STATES,
        *account.states(market),
        *reset.STATES,
        *agent.states(market),
    )
