"""L6: plays a transcript on a phone. Which phone, and what is around it, whoever plays it decides.

The phone may be one of the sandbox or a session at the wire; nothing here knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from app.gateways.wire import UssdGateway
from app.text.width import fits, is_gsm7, septets, sms_parts, ucs2_units
from app.ussd.transcript import Line, Memory, Transcript, faults, fill

PLAY_SECONDS = 600.0  # of one transcript, whatever is in it
PARTS_GSM7, PARTS_UCS2 = 1, 3


class Phone(Protocol):
    """A handset."""

    @property
    def open(self) -> bool:
        """True while a menu waits for a reply."""

    def dial(self, code: str) -> str:
        """The first screen."""

    def reply(self, text: str) -> str:
        """The next screen."""

    def drop(self) -> None:
        """The network is lost."""

    def hear_sms(self) -> str | None:
        """The next SMS of this phone; None if none came in time."""


class Around(Protocol):
    """The people and the outside world of a transcript."""

    def person(self, language: str, balance: str) -> Phone: ...

    def stranger(self) -> Phone: ...

    def fault(self, target: str, kind: str, facts: Mapping[str, object]) -> None: ...

    def clear(self) -> None: ...


class Difference(Exception):
    """The system did something else than the transcript says; the text shows both."""


class Player:
    """Plays one transcript.

    `known`: values of placeholders; `secrets`: those that are typed and never told. `phone` is in
    the hand from the start, if there is one. `tell` hears every line that was played.
    """

    def __init__(
        self,
        transcript: Transcript,
        around: Around,
        gateway: UssdGateway,
        *,
        known: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        phone: Phone | None = None,
        tell: Callable[[str], None] = lambda _line: None,
        seconds: float = PLAY_SECONDS,
    ) -> None:
        self.transcript, self.around, self.gateway = transcript, around, gateway
        self.memory, self.secrets = Memory(dict(known or {})), dict(secrets or {})
        self.tell, self.seconds = tell, seconds
        self.screens = self.messages = self.replies = 0
        self._phone, self._screen = phone, ""

    def play(self) -> None:
        """Raises Difference at the first one, TranscriptError for a line that cannot be obeyed.

        What the phone and the world around it raise goes through.
        """
        self.transcript.require(self.memory.known)
        deadline = time.monotonic() + self.seconds
        for line in self.transcript.lines:
            if time.monotonic() >= deadline:
                raise self._differs(line, f"it takes longer than {self.seconds:.0f} s")
            self._obey(line)

    def _obey(self, line: Line) -> None:
        match line.verb:
            case "<":
                self._compare(line, "screen", self._screen)
            case "sms<":
                self._hear(line)
            case "dial" | ">":
                self._type(line)
            case "end":
                if self._in_hand(line).open:
                    raise self._differs(line, "the session is still open")
            case "replies":
                if self.replies != int(line.text):
                    raise self._differs(line, f"it took {self.replies} replies")
            case _:
                self._set_scene(line)

    def _set_scene(self, line: Line) -> None:
        self.tell(f"{line.verb} {line.text}".rstrip())
        match line.verb:
            case "person":
                language, balance = line.text.split()
                self._phone = self.around.person(language, balance)
            case "stranger":
                self._phone = self.around.stranger()
            case "drop":
                self._in_hand(line).drop()
            case "fault":
                self.around.fault(*faults(line))
            case "clear":
                self.around.clear()

    def _type(self, line: Line) -> None:
        phone = self._in_hand(line)
        told = fill(line.text, self.memory.known)
        typed = fill(told, self.secrets)
        self.tell(f"{line.verb} {told}")
        if line.verb == "dial":
            self.replies = 0
            self._screen = phone.dial(typed)
        elif phone.open:
            self.replies += 1
            self._screen = phone.reply(typed)
        else:
            raise self._differs(line, "no menu is open here: the session is over")
        self.screens += 1
        self.tell("\n".join(f"< {row}" for row in self._screen.split("\n")))
        if not fits(self._screen, self.gateway.septets, self.gateway.ucs2_units):
            raise self._differs(line, f"the screen does not fit: {self._width(self._screen)}")

    def _hear(self, line: Line) -> None:
        text = self._in_hand(line).hear_sms()
        if text is None:
            raise self._differs(line, f"no SMS came. Expected:\n{line.text}")
        self.messages += 1
        self.tell("\n".join(f"sms< {row}" for row in text.split("\n")))
        parts, most = sms_parts(text), PARTS_GSM7 if is_gsm7(text) else PARTS_UCS2
        if parts > most:
            raise self._differs(line, f"the SMS has {parts} parts, {most} are allowed:\n{text}")
        self._compare(line, "SMS", text)

    def _compare(self, line: Line, what: str, shown: str) -> None:
        if not self.memory.matches(line.text, shown):
            difference = self.memory.difference(line.text, shown)
            raise self._differs(line, f"the {what} differs (- expected, + shown)\n{difference}")

    def _in_hand(self, line: Line) -> Phone:
        if self._phone is None:
            raise self.transcript.error(line, "nobody has a phone yet: begin with `person`")
        return self._phone

    def _differs(self, line: Line, sentence: str) -> Difference:
        return Difference(f"{self.transcript.name}:{line.number}: {sentence}")

    def _width(self, screen: str) -> str:
        if is_gsm7(screen):
            return f"{septets(screen)} septets, {self.gateway.septets} are the most"
        return f"{ucs2_units(screen)} UCS-2 units, {self.gateway.ucs2_units} are the most"
