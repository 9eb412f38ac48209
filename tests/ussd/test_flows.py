"""Every movement of the menus is known where outcomes are told."""

from __future__ import annotations

from app import markets
from app.ussd.menus import book, books, outcome
from app.ussd.states import Secret

MARKET = markets.load("demo")


def test_every_flow_tells_its_outcome_to_a_session_that_was_lost() -> None:
    states = book(MARKET).states
    flows = {
        name.removesuffix(".confirm")
        for name, state in states.items()
        if name.endswith(".confirm") and isinstance(state, Secret) and state.commits
    }
    assert flows - {"bill"} == set(outcome.DONE_KINDS)
    assert {f"{flow}.done" for flow in flows - {"bill"}} <= set(book(MARKET).entries)


def test_the_previous_menus_tell_it_too() -> None:
    assert "lost.done" in books(MARKET)[1].entries
