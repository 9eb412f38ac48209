"""The menus of the product, one file a subject; `book(market)` binds them into one version.

A menu is data (see `app/ussd/states.py`): read a file from the top and you read what the person
sees. What moves money is called, not written, here.

    start     arriving: who dials, what became of the last payment, home
    register  an unregistered number opens a wallet
    bill      pay a bill, up to the PIN
    outcome   what became of it
    history   my payments, balance, lost tokens
    account   PIN, language, fees, help
    newpin    a new PIN is typed twice
"""

from __future__ import annotations

from app.markets import Market
from app.ussd.menubook import MenuBook
from app.ussd.menus import account, bill, history, outcome, register, start
from app.ussd.menus.services import Services

VERSION = "1"


def book(market: Market) -> MenuBook[Services]:
    """The menus of this release for a market."""
    return MenuBook(
        version=VERSION,
        start="enter",
        home="enter",
        states=(
            *start.STATES,
            *register.states(market),
            *bill.STATES,
            *outcome.STATES,
            *history.STATES,
            *account.states(market),
        ),
        who=start.arrive,
        on_unknown_session=outcome.of_lost_session,
        entries=outcome.OUTCOMES,
    )
