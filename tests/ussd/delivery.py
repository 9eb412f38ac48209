"""What a delivery is, by what its gateway declares: the test's own account of DESIGN's rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.gateways.wire import Event, Screen, UssdGateway

Verdict = Literal["dial", "input", "same"]
SAME_INPUT = timedelta(seconds=1)
SAME_DIAL = timedelta(seconds=10)


@dataclass
class Told:
    """A session as its phone and its gateway know it.

    `texts` are those that were taken, the first one first; `led` is what was typed to come to a
    PIN; `kept` says that Redis still has the session.
    """

    gateway: UssdGateway
    version: str
    texts: list[str]
    screen: Screen
    answered: datetime
    led: str | None = None
    kept: bool = True

    def verdict(self, text: str, event: Event, now: datetime) -> Verdict:
        """A new dial, a new input, or nothing new: the same bytes and nothing runs."""
        if not self.kept:
            return "dial"
        since = now - self.answered
        if self.gateway.mode == "latest":
            return self._latest(text, event, since)
        if self.screen.open and self._extends(text):
            return "input"
        again = text == self.texts[0] and not self.screen.open
        return "dial" if again and since >= SAME_DIAL else "same"

    def _latest(self, text: str, event: Event, since: timedelta) -> Verdict:
        """Only the clock tells a repeated input from a new one."""
        if event == "new":
            return "same" if since < SAME_DIAL else "dial"
        if text == self.texts[-1] and since < SAME_INPUT:
            return "same"
        return "input" if self.screen.open else "same"

    def _extends(self, text: str) -> bool:
        last = self.texts[-1]
        return text.startswith(f"{last}*") if last else bool(text)

    def typed(self, text: str) -> str:
        """The new part of a text that is an input."""
        if self.gateway.mode == "latest" or not self.texts[-1]:
            return text
        return text.removeprefix(f"{self.texts[-1]}*")
