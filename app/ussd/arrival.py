"""L6: the first hop of a session: an outcome, a shortcut, an offer to go on, or the start.

text of a session that we do not know ──▶ its intent's outcome, if there is one
text that is a shortcut wholly ─────────▶ through its validators to the next question
a session that was cut off ─────────────▶ the start state may offer to go on
everything else ────────────────────────▶ the start state
"""

from __future__ import annotations

from collections.abc import Sequence

from app.ussd.hop import Hop, MenuError, S
from app.ussd.live import Live
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.resume import Left
from app.ussd.screens import Answer
from app.ussd.shortcuts import dialled
from app.ussd.states import State, Wait
from app.ussd.walk import Walk


def arrive(
    walk: Walk[S],
    book: MenuBook[S],
    live: Live,
    *,
    code: str,
    mid_session: bool,
    left: Left | None,
) -> Answer | Wait[S]:
    """Walk the first hop.

    `code` is what was dialled behind the service code, as far as the wire can tell; `mid_session`
    says that it may as well be the text of a session that we lost.
    """
    hop = walk.hop
    hop.may_read = True
    hop.left = left.data if left else None
    hop.person = book.who(hop)
    outcome = book.on_unknown_session(hop) if mid_session and book.on_unknown_session else None
    live.top = outcome is None
    if outcome is not None:
        if outcome not in book.entries:
            raise MenuError(f"{outcome!r} is not among the entries of the book")
        return walk.enter(outcome)
    shortcut = dialled(book, code)
    if shortcut:
        hop.left = None
        return _walk_shortcut(walk, book, *shortcut)
    _offer(hop, live, left)
    return walk.enter(book.start)


def _offer(hop: Hop[S], live: Live, left: Left | None) -> None:
    """Keep what the start state may offer to continue; another person's is dropped."""
    if left is None or left.person != (hop.person.id.hex if hop.person else None):
        hop.left = None
    elif hop.left is not None:
        live.left = left.kept()
        if hop.person is None:
            hop.language = left.language


def _walk_shortcut(
    walk: Walk[S], book: MenuBook[S], shortcut: Shortcut, answers: Sequence[str]
) -> Answer | Wait[S]:
    """Go as far as the answers lead; the engine's keys are none of them."""
    home = walk.settle(book.start)
    if isinstance(home, Answer) or home.name != shortcut.at or not _agreed(shortcut, walk.hop):
        return walk.arrived(home)
    walk.leave(home)
    walk.hop.data.update(shortcut.sets)
    if len(answers) != len(shortcut.answers):
        return walk.enter(book.bad_shortcut or book.start)
    now: Answer | State[S] = walk.settle(shortcut.answers[0])
    for expected, typed in zip(shortcut.answers, answers, strict=True):
        if isinstance(now, Answer) or now.name != expected:
            break
        went = walk.taken(now, typed)
        now = walk.settle(went) if isinstance(went, str) else went
    return walk.arrived(now)


def _agreed(shortcut: Shortcut, hop: Hop[S]) -> bool:
    return shortcut.when is None or shortcut.when(hop)
