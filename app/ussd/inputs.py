"""L6: what a person typed, read as the answer to a state's question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from app.ussd.hop import Hop, S
from app.ussd.live import Live
from app.ussd.screens import item_digest, visible_options
from app.ussd.states import Item, Menu, Pick, Secret

ITEMS_MOST = 50
SEARCH_MOST = 20  # letters
_WORD_START = re.compile(r"\b\w")
NUMBER_DIGITS_MOST = 2


class AskAgain(Exception):
    """The engine's own refusals: the key of their sentence, and its facts."""

    def __init__(self, key: str, **facts: object) -> None:
        super().__init__(key)
        self.key = key
        self.facts = facts


def number(typed: str) -> int:
    """The number typed, 0 for everything else."""
    if len(typed) <= NUMBER_DIGITS_MOST and typed.isascii() and typed.isdecimal():
        return int(typed)
    return 0


def secret(state: Secret[S], typed: str, pin_digits: int) -> str:
    """What has the form of the PIN or code. Raises AskAgain; the input is in no exception."""
    digits = state.digits or pin_digits
    if len(typed) != digits or not (typed.isascii() and typed.isdecimal()):
        raise AskAgain("engine.code_form" if state.digits else "engine.pin_form", digits=digits)
    return typed


def choose(state: Menu[S], hop: Hop[S], typed: str) -> str:
    """Where the chosen option goes; its settings are put into `hop.data`. Raises AskAgain."""
    options = visible_options(state, hop)
    chosen = number(typed)
    if not 1 <= chosen <= len(options):
        raise AskAgain("engine.choose")
    _, goes, sets = options[chosen - 1]
    hop.data.update(sets)
    return goes


def go_on(typed: str) -> bool:
    """What a Resume was answered: True for going on. Raises AskAgain."""
    chosen = number(typed)
    if chosen not in (1, 2):
        raise AskAgain("engine.choose")
    return chosen == 1


def letters(typed: str) -> bool:
    """Whether a list is to be searched: an answer by number has no letters."""
    return any(char.isalpha() for char in typed)


def items_of(state: Pick[S], hop: Hop[S], search: str = "") -> Sequence[Item]:
    """The lines of a list, narrowed to those with a word that begins with `search`."""
    return _narrowed(state, hop, search)[:ITEMS_MOST]


def _narrowed(state: Pick[S], hop: Hop[S], search: str) -> Sequence[Item]:
    if not search:
        return state.items(hop)
    items, begins = (state.among or state.items)(hop), search.casefold()
    return [item for item in items if any(word.startswith(begins) for word in _words(item))]


def _words(item: Item) -> Iterator[str]:
    """What a line may be found by: its facts, whole and from every word on."""
    for value in item.facts.values():
        text = str(value).casefold()
        yield from (text[found.start() :] for found in _WORD_START.finditer(text))


def picked(state: Pick[S], hop: Hop[S], live: Live, typed: str) -> Any:
    """The value of a line that is on the screen, wherever it stands in the list by now.

    Raises AskAgain, also when the line is gone.
    """
    at = number(typed) - live.shown[0] + 1 if live.shown else 0
    if not 1 <= at < len(live.shown):
        raise AskAgain("engine.choose")
    for item in _narrowed(state, hop, live.search):
        if item_digest(item.value) == live.shown[at]:
            return item.value
    raise AskAgain("engine.changed")


def shown_lines(rows: Sequence[int], items: Sequence[Item]) -> list[int]:
    """What `Live.shown` keeps of a page: its first number, then a digest a line."""
    if not items or not rows:
        return []
    return [rows[0] + 1, *(item_digest(items[row].value) for row in rows)]
