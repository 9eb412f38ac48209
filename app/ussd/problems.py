"""L6: what `check` may say of a menu book, and how each kind of problem is repaired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "unreachable",
    "dead_end",
    "endless_steps",
    "too_many_steps",
    "too_many_options",
    "shortcut_broken",
    "secret_first",
    "secret_twice",
    "resumes_on_secret",
    "private_without_secret",
    "wait_without_commit",
    "acts_after_wait",
    "commits_unasked",
    "no_sentence",
    "facts_differ",
    "unknown_fact",
    "never_shown",
    "too_wide",
]
REPAIRS: Mapping[Kind, str] = {
    "unreachable": "Name the state in an option or in the `goes` of another one, or delete it.",
    "dead_end": "Lead at least one way on to an End; the keys `0` and `00` do not count.",
    "endless_steps": "Give one of these Steps a target with a screen.",
    "too_many_steps": "Make one Step of several: a hop goes through 8 states at most.",
    "too_many_options": "A Menu has keys 1 to 9: move some options into a Menu of their own.",
    "shortcut_broken": "Let `at`, the Asks of `answers` and `bad_shortcut` follow the real way.",
    "secret_first": "Ask for something, or show a Menu, before a Secret.",
    "secret_twice": "Let the first PIN be enough, or lead home between the two; a PIN that is "
    "being chosen has `new=True`.",
    "resumes_on_secret": "Let `resume` lead to a screen that shows again what the PIN is for.",
    "private_without_secret": "Put a Secret on every way to it.",
    "wait_without_commit": "A Wait follows the state that committed: give that `commits=True`.",
    "acts_after_wait": "Commit before the Wait, or after the next input.",
    "commits_unasked": "Let the person answer something, or give a PIN, before it is committed.",
    "no_sentence": "Write the sentence in those languages, in `app/text/`.",
    "facts_differ": "Use the same facts in braces in every language.",
    "unknown_fact": "Correct the name, or give the fact its longest value in `app/ussd/worst.py`.",
    "never_shown": "Delete the sentence, or name it: in `extra_texts` if a function says it.",
    "too_wide": "Shorten the sentence; a Menu, Ask or End may have `pages=True` instead.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which state; `state` is empty for a fault of the book or the catalogue."""

    state: str
    kind: Kind
    detail: str

    def __str__(self) -> str:
        return f"{self.state or 'catalogue'}: {self.kind}: {self.detail}"
