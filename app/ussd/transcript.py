"""L6: transcripts, a phone's story as plain text: the language, and how a screen is compared.

    # a comment
    person en 5,000.00          a registered person: language, balance
    stranger                    a number that nobody has registered
    dial *384*123#              dial a code
    > 1                         a reply
    < Kibanda                   a line of the screen; all lines of it, in their order
    sms< Paid KES 200.00 …      a line of the next SMS; a blank line parts two SMS
    end                         the session must be over
    drop                        the network is lost
    fault biller:stima slow seconds=1.5     something goes wrong outside
    clear                       all faults end
    replies 3                   how many replies were typed since the last dial

`{token}`, `{ref}`, `{code}`, `{name}`, `{day}`, `{year}`, `{month}`, `{time}`, `{receipt}` and
`{phone}` stand for what differs from run to run. A `{ref}`, a `{token}` or a `{code}` that came by
SMS must come again as it came first; the next one is `{ref2}`, `{token2}`. In a reply `{pin}` is a
PIN that nobody wrote down. Every other name, such as `{meter}`, is given by whoever plays the
transcript.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATTERNS: Mapping[str, str] = {
    "token": r"\d{4}-\d{4}-\d{4}-\d{4}-\d{4}",
    "ref": r"[0-9A-HJKMNP-TV-Z]{8}",
    "code": r"\d{6,8}",
    "day": r"\d\d/\d\d",
    "time": r"\d\d:\d\d",
    "name": r"[A-Z .]+",
    "year": r"\d{4}",
    "month": r"\d\d/\d{4}",
    "receipt": r"[0-9A-Z-]{4,20}",
    "phone": r"0\d{8,12}",
}
# These can be typed, and must come again as they came.
REMEMBERED = frozenset({"ref", "token", "code"})
PIN = "pin"
BYTES_MOST = 1_000_000
LINES_MOST = 5_000

SHOWN = frozenset({"<", "sms<"})
TYPED = frozenset({"dial", ">"})
NEED_A_DIAL = frozenset({"<", ">", "end", "replies"})
CODE = re.compile(r"\*\d+(\*[^*#]+)*#")
# Each verb: the form of what follows it, and the sentence for what has another form.
FORMS: Mapping[str, tuple[str, str]] = {
    "person": (
        r"[a-z]{2,3} \d[\d,]*(\.\d+)?",
        "takes a language and a balance, as in `person en 5,000.00`",
    ),
    "stranger": ("", "stands alone on its line"),
    "dial": (CODE.pattern, "takes a code, as in `dial *384*123#`"),
    ">": (".*", ""),
    "<": (".*", ""),
    "sms<": (".*", ""),
    "end": ("", "stands alone on its line"),
    "drop": ("", "stands alone on its line"),
    "fault": (
        r"\S+ \S+( \w+=\S+)*",
        "takes a target, a kind and facts in JSON, as in `fault biller:stima slow seconds=1.5`",
    ),
    "clear": ("", "stands alone on its line"),
    "replies": (r"\d{1,3}", "takes a number, as in `replies 3`"),
}
_PLACE = re.compile(r"\{([a-z]\w{0,40})\}")
_PLACE_WHOLE = re.compile(r"(\{[a-z]\w{0,40}\})")


class TranscriptError(Exception):
    """A transcript that cannot be played; the text names file and line and says what to do."""

    def __init__(self, name: str, number: int, sentence: str) -> None:
        super().__init__(f"{name}:{number}: {sentence}" if number else f"{name}: {sentence}")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction. `number` is its first line in the file; a screen has several."""

    number: int
    verb: str
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript whose form is right. `name` is how errors call it."""

    name: str
    lines: tuple[Line, ...]

    def error(self, line: Line, sentence: str) -> TranscriptError:
        return TranscriptError(self.name, line.number, sentence)

    @property
    def pins(self) -> dict[str, Line]:
        """The PINs that must be typed, `pin`, `pin2`, …, each with the line that needs it first."""
        found: dict[str, Line] = {}
        for line in self.lines:
            for name in places(line.text) if line.verb == ">" else ():
                if kind(name) == PIN:
                    found.setdefault(name, line)
        return found

    def require(self, given: Collection[str]) -> None:
        """Raises TranscriptError for a placeholder that nothing will ever fill."""
        seen = set(given)
        for line in self.lines:
            for name in places(line.text):
                if not (name in seen or (line.verb == ">" and kind(name) == PIN)):
                    self._require_shown(line, name)
                    seen |= {name} if kind(name) in REMEMBERED else set()

    def _require_shown(self, line: Line, name: str) -> None:
        if kind(name) == PIN:
            raise self.error(line, f"{{{name}}} stands in a reply only: no screen shows a PIN")
        if line.verb in SHOWN and kind(name) in PATTERNS:
            return
        if kind(name) in REMEMBERED:
            raise self.error(line, f"{{{name}}} is typed before any screen or SMS has shown it")
        if kind(name) in PATTERNS:
            raise self.error(line, f"{{{name}}} can be shown but not typed: write what is typed")
        raise self.error(line, f"{{{name}}} has no value: give it one, as in --set {name}=…")


def read(path: Path) -> Transcript:
    """The transcript in a file. Raises TranscriptError."""
    try:
        if path.stat().st_size > BYTES_MOST:
            raise TranscriptError(path.name, 0, "this is too large for a transcript")
        return parse(path.name, path.read_text("utf-8"))
    except OSError as error:
        raise TranscriptError(path.name, 0, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TranscriptError(path.name, 0, "is no text in UTF-8") from error


def parse(name: str, text: str) -> Transcript:
    """The transcript in a text. Raises TranscriptError for a line that has no meaning."""
    lines = tuple(_grouped(_instructions(name, text)))
    if not lines:
        raise TranscriptError(name, 0, "has nothing to play; a transcript begins with `dial`")
    if len(lines) > LINES_MOST:
        raise TranscriptError(name, 0, f"has more than {LINES_MOST} instructions")
    dialled = False
    for line in lines:
        dialled = dialled or line.verb == "dial"
        if line.verb in NEED_A_DIAL and not dialled:
            raise TranscriptError(name, line.number, f"`{line.verb}` comes before the first `dial`")
    return Transcript(name, lines)


def faults(line: Line) -> tuple[str, str, dict[str, Any]]:
    """Target, kind and facts of a `fault`. Raises ValueError for a value that is not JSON."""
    target, name, *facts = line.text.split()
    pairs = (fact.split("=", 1) for fact in facts)
    return target, name, {key: json.loads(value) for key, value in pairs}


def kind(place: str) -> str:
    """`ref` of `ref2`."""
    return place.rstrip("0123456789")


def places(text: str) -> list[str]:
    """Names of the placeholders in a text."""
    return _PLACE.findall(text)


def fill(text: str, known: Mapping[str, str]) -> str:
    """The text with every placeholder that is known; the others stay."""
    return _PLACE.sub(lambda found: known.get(found[1], found[0]), text)


@dataclass
class Memory:
    """What the placeholders have stood for so far."""

    known: dict[str, str] = field(default_factory=dict)

    def matches(self, expected: str, shown: str) -> bool:
        """Whether a whole screen or SMS is the expected one; if so, remember what it told."""
        match = re.fullmatch(self._pattern(expected), shown)
        if match is None:
            return False
        self.known.update(match.groupdict())
        return True

    def difference(self, expected: str, shown: str) -> str:
        """Lines marked `-` were expected and `+` were shown; those with two spaces are right."""
        there = shown.split("\n")
        wanted = [self._as_shown(line, there) for line in expected.split("\n")]
        if wanted == there:  # each line by itself is right: two that should be the same differ
            wanted = fill(expected, self.known).split("\n")
        told = difflib.ndiff(wanted, there)
        return "\n".join(line.rstrip() for line in told if not line.startswith("?"))

    def _as_shown(self, line: str, there: list[str]) -> str:
        pattern = re.compile(self._pattern(line))
        return next((one for one in there if pattern.fullmatch(one)), fill(line, self.known))

    def _pattern(self, expected: str) -> str:
        named: set[str] = set()
        return "".join(self._piece(piece, named) for piece in _PLACE_WHOLE.split(expected))

    def _piece(self, piece: str, named: set[str]) -> str:
        found = _PLACE.fullmatch(piece)
        if not found:
            return re.escape(piece)
        name = found[1]
        if name in self.known:
            return re.escape(self.known[name])
        if kind(name) not in REMEMBERED:
            return f"(?:{PATTERNS[kind(name)]})"
        if name in named:
            return f"(?P={name})"
        named.add(name)
        return f"(?P<{name}>{PATTERNS[kind(name)]})"


def _instructions(name: str, text: str) -> Iterator[Line | None]:
    """The instructions as they stand, and None for a blank line."""
    for number, raw in enumerate(re.split(r"\r?\n", text.removeprefix("\ufeff")), 1):
        if raw.startswith("#"):
            continue
        if not raw.strip():
            yield None
            continue
        verb, _, rest = raw.partition(" ")
        form, sentence = FORMS.get(verb, (None, ""))
        if form is None:
            raise TranscriptError(name, number, _no_verb(verb))
        words = rest if verb in {">", *SHOWN} else rest.strip()
        line = Line(number, verb, words)
        if not re.fullmatch(form, words) or not _is_json(line):
            raise TranscriptError(name, number, f"`{verb}` {sentence}")
        yield line


def _grouped(lines: Iterator[Line | None]) -> Iterator[Line]:
    """Neighbouring lines of one screen, or of one SMS, as one instruction."""
    shown: list[Line] = []
    for line in (*lines, None):
        if shown and (line is None or line.verb != shown[0].verb):
            yield Line(shown[0].number, shown[0].verb, "\n".join(one.text for one in shown))
            shown = []
        if line is not None and line.verb in SHOWN:
            shown.append(line)
        elif line is not None:
            yield line


def _is_json(line: Line) -> bool:
    try:
        return line.verb != "fault" or bool(faults(line))
    except (ValueError, RecursionError):  # JSON of brackets alone
        return False


def _no_verb(verb: str) -> str:
    for known in ("sms<", ">", "<"):
        if verb.startswith(known):
            return f"a space is missing after `{known}`"
    near = difflib.get_close_matches(verb, FORMS, 1)
    meant = f"; perhaps `{near[0]}`" if near else ""
    return f"there is no verb `{verb[:20]}`{meant}. The verbs are {', '.join(FORMS)}"
