"""Every movement of the menus is known where outcomes are told."""

from __future__ import annotations

from typing import Any

import pytest

from app import markets
from app.ussd.menubook import MenuBook
from app.ussd.menus import books, outcome
from app.ussd.states import Secret

MARKET = markets.load("demo")
BOOKS = books(MARKET)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: f"version {book.version}")
def test_every_flow_tells_its_outcome_to_a_session_that_was_lost(book: MenuBook[Any]) -> None:
    flows = {
        name.removesuffix(".confirm")
        for name, state in book.states.items()
        if name.endswith(".confirm") and isinstance(state, Secret) and state.commits
    }
    assert flows - {"bill"} == set(outcome.DONE_KINDS)
    assert {*outcome.BILL_OUTCOMES, *(f"{flow}.done" for flow in flows - {"bill"})} == {
        *book.entries
    }
