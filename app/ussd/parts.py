"""L6: what every hop of an engine shares, and its last words when something failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic

from app.errors import DomainError, OutcomeUnknown
from app.gateways.wire import Screen
from app.telemetry import log
from app.ussd.hop import MenuError, S, Surroundings
from app.ussd.menubook import MenuBook
from app.ussd.screens import Composer
from app.ussd.session import SessionStore
from app.ussd.waits import Waits


@dataclass(frozen=True, slots=True)
class Parts(Generic[S]):
    """What every hop of an engine shares."""

    books: Mapping[str, MenuBook[S]]
    opening: Callable[[], MenuBook[S]]
    around: Surroundings[S]
    store: SessionStore
    composer: Composer[S]
    waits: Waits
    strict: bool

    def sentence(self, name: str, language: str | None = None) -> Screen:
        """One of the engine's own last words."""
        spoken = language or self.around.market.default_language
        text = self.composer.sentence(spoken, f"engine.{name}")
        return Screen(text, open=False, name=f"engine.{name}")


def last_words(error: Exception, *, committed: bool, state: str) -> str:
    """The name of the sentence that a session ends with after an exception, which is logged."""
    if not isinstance(error, DomainError):
        _log_failure(error, state)
    if isinstance(error, OutcomeUnknown) or committed:
        return "outcome_unknown"
    if isinstance(error, DomainError) and error.code in ("database_away", "quarantined"):
        return error.code
    return "error"


def _log_failure(error: Exception, state: str) -> None:
    """Where it broke; not the exception's text, which may quote what was typed."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    log.error(
        "ussd_hop_failed",
        state=state,
        error=type(error).__name__,
        problem=str(error) if isinstance(error, MenuError) else "",
        where=" < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames)),
    )
