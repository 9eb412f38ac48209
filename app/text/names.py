"""Names of people, kiosks and billers, in the characters of the language that shows them.

One letter that GSM-7 has not turns a whole screen or SMS into UCS-2, at half the room.
"""

from __future__ import annotations

import unicodedata

from app.text.width import GSM7_BASIC, clip

_BASIC_PLANE_END = 0xFFFF  # a character beyond it takes two units
READABLE = 2  # letters; a name that has fewer without its own script keeps it


def shown(value: str, most: int, *, wide: bool) -> str:
    """A name on a screen: `Ngũgĩ` without its marks where GSM-7 is written; `አበበ` stays itself."""
    simple = clip(value, most) if wide else plain(value, most)
    return simple if sum(char.isalnum() for char in simple) >= READABLE else clip(value, most)


def plain(value: str, most: int) -> str:
    """At most `most` characters, each one septet: `Ŋgũgĩ` becomes `gugi`, emoji go."""
    kept = (
        char if char in GSM7_BASIC else _without_marks(char) for char in clip(value, len(value) + 1)
    )
    return clip("".join(kept), most)


def lettered(value: str, most: int) -> str:
    """At most `most` characters, each one UCS-2 unit: `አበበ ቢቂላ 🙂` becomes `አበበ ቢቂላ`."""
    kept = "".join(
        char
        for char in clip(value, len(value) + 1)
        if char.isprintable() and ord(char) <= _BASIC_PLANE_END and char not in "{}"
    )
    return clip(kept, most)


def _without_marks(char: str) -> str:
    return "".join(base for base in unicodedata.normalize("NFKD", char) if base in GSM7_BASIC)
