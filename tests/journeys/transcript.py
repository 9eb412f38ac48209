"""Transcripts: a phone's story as plain text, played against the running system.

    person en 5,000.00          a new registered person: language, balance
    stranger                    a new number that is not registered
    dial *384*123#              dial a code
    > 1                         a reply
    < Kibanda                   a line that the screen shows; all lines, in order
    sms< Paid KES 200.00 …      a line of the next SMS of this phone
    end                         the session must be over
    drop                        the network is lost
    fault biller:stima slow seconds=1.5     something goes wrong outside
    clear                       all faults end
    replies 3                   how many replies were typed since the last dial

`{token}`, `{ref}`, `{name}`, `{day}`, `{year}` and `{time}` stand for what differs from run to run.
A `{ref}` or `{token}` must come again as it came first; the next one is `{ref2}`, `{token2}`.
`{meter}` is a fresh valid meter number of this story.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

PATTERNS = {
    "token": r"\d{4}-\d{4}-\d{4}-\d{4}-\d{4}",
    "ref": r"[0-9A-HJKMNP-TV-Z]{8}",
    "day": r"\d\d/\d\d",
    "time": r"\d\d:\d\d",
    "name": r"[A-Z .]+",
    "year": r"\d{4}",
}
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass
class Line:
    """One instruction with the place it stands at, for a failure that can be found."""

    number: int
    verb: str
    rest: str


@dataclass
class Story:
    """A transcript file, and what its placeholders have stood for so far."""

    path: Path
    known: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[Line]:
        found = []
        for number, raw in enumerate(self.path.read_text().splitlines(), 1):
            if raw.strip() and not raw.startswith("#"):
                verb, _, rest = raw.partition(" ")
                found.append(Line(number, verb, rest))
        return found

    def fill(self, text: str) -> str:
        """What is typed, with the placeholders that are known."""
        return _PLACE.sub(lambda found: self.known[found[1]], text)

    def expect(self, expected: str, shown: str, where: int) -> None:
        """Compare a whole screen or SMS; remember what the placeholders stood for."""
        pattern = "".join(self._piece(piece) for piece in re.split(r"(\{\w+\})", expected))
        match = re.fullmatch(pattern, shown)
        assert match, f"{self.path.name}:{where}\nexpected:\n{expected}\nshown:\n{shown}"
        for name, value in match.groupdict().items():
            if name.startswith("once_"):
                self.known[name.removeprefix("once_")] = value

    def _piece(self, piece: str) -> str:
        found = _PLACE.fullmatch(piece)
        if not found:
            return re.escape(piece)
        name = found[1]
        if name in self.known:
            return re.escape(self.known[name])
        kind = name.rstrip("0123456789")
        pattern = PATTERNS[kind]
        return f"(?P<once_{name}>{pattern})" if kind in {"ref", "token"} else f"(?:{pattern})"
