"""L6: inputs that answer no question: the keys of the engine, and letters that search a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ussd.hop import S
from app.ussd.inputs import SEARCH_MOST, letters
from app.ussd.live import Live
from app.ussd.screens import BACK, HOME, MORE, Answer, with_screen
from app.ussd.states import Pick, State, Wait

if TYPE_CHECKING:
    from app.ussd.walk import Walk


def turned_by(
    walk: Walk[S], live: Live, home: str, state: State[S], typed: str
) -> Answer | Wait[S] | None:
    """The screen that a key or a search leads to; None for an answer to the question."""
    if typed == HOME:
        return walk.enter(home)
    if typed == BACK and live.page > 0:
        return _page(walk, live, state, live.page - 1)
    if typed == BACK and live.search:
        live.search = ""
        return _page(walk, live, state, 0)
    if typed == BACK and live.stack:
        return walk.enter(live.stack.pop())
    if typed == MORE and live.more:
        return _page(walk, live, state, live.page + 1)
    if isinstance(state, Pick) and state.search and letters(typed):
        return _search(walk, live, state, typed)
    return None


def _page(walk: Walk[S], live: Live, state: State[S], page: int) -> Answer | Wait[S]:
    live.page = page
    if isinstance(state, Pick) and not walk.items(state):
        return walk.enter(state.empty)
    return walk.show(with_screen(state))


def _search(walk: Walk[S], live: Live, state: Pick[S], typed: str) -> Answer:
    """Narrow a list to the lines with a word that begins so."""
    before, live.search = live.search, typed[:SEARCH_MOST]
    if not walk.items(state):
        live.search = before
        return walk.ask_again(state, "no_match", walk.say("engine.no_match", {}))
    live.page = live.tries = 0
    return walk.show(state)
