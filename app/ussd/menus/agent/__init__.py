"""What an agent sees, on the number of an agent only, one file a subject.

    home       the counter's menu
    cash       cash-in, cash-out by code, vouchers paid out
    floats     the float: balance, asking the super-agent, sending, granting
    customers  registering somebody, a forgotten PIN, a wrong cash-in
    reports    commission, last transactions, the day's sheet

A bill for a walk-in customer goes through `menus/bill.py`, which asks for their number too.
"""

from __future__ import annotations

from typing import Any

from app.markets import Market
from app.ussd.menus.agent import cash, customers, floats, home, reports
from app.ussd.states import State


def states(market: Market) -> tuple[State[Any], ...]:
    """All states of the counter."""
    return (
        *home.STATES,
        *cash.STATES,
        *floats.STATES,
        *customers.states(market),
        *reports.STATES,
    )
