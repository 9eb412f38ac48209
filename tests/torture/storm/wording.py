"""Reading the system's sentences backwards: from a screen or an SMS to its key and its facts.

The pattern of a sentence is made from the catalogue, so a new wording needs no change here. Amounts
come back in minor units of a currency with two decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from app.text import Catalogues

REFERENCE = r"[0-9A-HJKMNP-TV-Z]{8}"
MONEY = r"[A-Z]{3} -?\d[\d,]*\.\d\d"
_MOMENT = r"\d\d/\d\d \d\d:\d\d"
_FORMS = {
    "reference": REFERENCE,
    "at": _MOMENT,
    "until": _MOMENT,
    "by": _MOMENT,
    "code": r"\d{6,12}",
    "token": r"[\d -]{20,30}",
    "tokens": r"[\d \n-]{20,100}",
    "minutes": r"\d+",
    "agent": r"\d{6}",
    "customer_no": r"[0-9A-Z+]+",
    "to": r"\+?\d+",
    "left": r"\d",
}
_MONEYS = ("amount", "fee", "total", "balance", "received", "float", "held", "available")
_FOOTER = re.compile(r"\n(?:0 Back|00 Home|98 More)[^\n]*\Z")
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Said:
    """A sentence that was recognised; `facts` as text, `minor` the amounts among them."""

    key: str
    facts: dict[str, str]

    @property
    def minor(self) -> dict[str, int]:
        return {name: minor(self.facts[name]) for name in _MONEYS if name in self.facts}

    @property
    def reference(self) -> str:
        return self.facts.get("reference", "")


class Wording:
    """The sentences of one language with these prefixes of their keys."""

    def __init__(self, catalogues: Catalogues, prefixes: Iterable[str], language: str) -> None:
        keys = (key for key in catalogues.keys(language) if key.startswith(tuple(prefixes)))
        self._sentences = {key: catalogues.say(language, key) for key in keys}

    def read(self, text: str) -> Said | None:
        """The sentence that this is, without the engine's keys below it; None for any other."""
        bare = _FOOTER.sub("", text)
        for key, pattern in self._patterns:
            found = pattern.fullmatch(bare)
            if found:
                return Said(key, found.groupdict())
        return None

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        """Those that leave least to guess come first."""
        said = {key: len(_PLACE.sub("", sentence)) for key, sentence in self._sentences.items()}
        most_said = sorted(said, key=lambda key: -said[key])
        return [(key, pattern_of(self._sentences[key])) for key in most_said]


def pattern_of(sentence: str) -> re.Pattern[str]:
    """What every sentence made of this one looks like; each fact is a group of its name."""
    pattern, at, seen = "", 0, set[str]()
    for place in _PLACE.finditer(sentence):
        name = place[1]
        pattern += re.escape(sentence[at : place.start()])
        pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{_form(name)})"
        seen.add(name)
        at = place.end()
    return re.compile(pattern + re.escape(sentence[at:]), re.DOTALL)


def minor(money: str) -> int:
    """`KES 1,200.50` in minor units."""
    whole, _, cents = money.partition(" ")[2].replace(",", "").partition(".")
    return int(whole) * 100 + int(cents)


def _form(name: str) -> str:
    if name in _MONEYS:
        return MONEY
    return _FORMS.get(name, ".*?")
