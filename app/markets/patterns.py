"""L1: patterns of customer numbers: a part of regular expressions in which nothing can hang.

    branch | branch        A  7  \\d  [A-Z0-9]  [^0]  (…|…)        {3}  {2,4}  ?

What may repeat without bound, or repeats in something that repeats, is not in this part; so trying
a number costs at most a few thousand steps, and which lengths can match is known beforehand.
"""

from __future__ import annotations

import re
import string

LONGEST = 60
_MOST_REPEATED = 20
# Every part of varying length multiplies the ways in which a number can be tried.
_MOST_VARYING = 3
_DIGITS = frozenset(string.digits)
_LETTERS = frozenset(string.ascii_uppercase)
_COUNT = re.compile(r"\?|\{(\d{1,2})(?:,(\d{1,2}))?\}", re.ASCII)
_CLASS = re.compile(r"\[(\^?)((?:[A-Za-z0-9](?:-[A-Za-z0-9])?|\\d)+)\]", re.ASCII)
_RANGE = re.compile(r"\\d|[A-Za-z0-9](?:-[A-Za-z0-9])?", re.ASCII)
_KNOWN = r"letters, digits, \d, [A-Z0-9], (…|…), ? and {2,4}"
Lengths = frozenset[int]
_NONE: Lengths = frozenset()


def lengths(pattern: str, *, letters: bool) -> Lengths:
    """How long the numbers are that match wholly, up to 20; digits, and capital letters where there
    are `letters`. Raises ValueError with what is wrong.
    """
    reader = _Reader(pattern, _DIGITS | _LETTERS if letters else _DIGITS)
    found = reader.branches()
    if reader.rest:
        raise ValueError(f"has a {reader.rest[0]} that opens nothing")
    return found


class _Reader:
    """One walk over a pattern from left to right."""

    def __init__(self, text: str, alphabet: frozenset[str]) -> None:
        self.rest = text
        self._alphabet = alphabet
        self._varying = 0

    def branches(self) -> Lengths:
        found = self._items()
        while self._took("|"):
            found |= self._items()
        return found

    def _items(self) -> Lengths:
        total: Lengths = frozenset({0})
        while self.rest and self.rest[0] not in "|)":
            total = _sums(total, self._group() if self._took("(") else self._atom())
        return total

    def _group(self) -> Lengths:
        if self.rest.startswith("?"):
            raise ValueError(f"has a (? that is not known here; {_KNOWN} are")
        found = self.branches()
        if not self._took(")"):
            raise ValueError("has a ( that nothing closes")
        if self.rest[:1] in tuple("?*+{"):
            raise ValueError("repeats a group; write the group out as often as it may come")
        return found

    def _atom(self) -> Lengths:
        known = bool(self._characters() & self._alphabet)
        least, most = self._count()
        if not known:
            return frozenset({0}) if least == 0 else _NONE
        return frozenset(range(least, most + 1))

    def _characters(self) -> frozenset[str]:
        if self._took(r"\d"):
            return _DIGITS
        if found := _CLASS.match(self.rest):
            self.rest = self.rest[found.end() :]
            return _members(found)
        sign = self.rest[0]
        if not (sign.isascii() and sign.isalnum()):
            sign = self.rest[: 2 if sign == "\\" else 1]
            raise ValueError(f"has a {sign} that is not known here; {_KNOWN} are")
        self.rest = self.rest[1:]
        return frozenset({sign})

    def _count(self) -> tuple[int, int]:
        if self.rest[:1] in ("*", "+"):
            raise ValueError(
                f"repeats without end; write {{1,{_MOST_REPEATED}}} for {self.rest[0]}"
            )
        found = _COUNT.match(self.rest)
        if not found:
            return 1, 1
        self.rest = self.rest[found.end() :]
        if self.rest[:1] in tuple("?*+{"):
            raise ValueError("repeats what is repeated already")
        least = int(found[1] or 0)
        most = int(found[2] or found[1] or 1)
        if least > most or most > _MOST_REPEATED:
            raise ValueError(f"repeats {found[0]}; at most {_MOST_REPEATED}, the smaller first")
        self._varying += least != most
        if self._varying > _MOST_VARYING:
            raise ValueError(f"has more than {_MOST_VARYING} parts of varying length")
        return least, most

    def _took(self, begin: str) -> bool:
        if not self.rest.startswith(begin):
            return False
        self.rest = self.rest[len(begin) :]
        return True


def _members(found: re.Match[str]) -> frozenset[str]:
    inside: frozenset[str] = frozenset()
    for part in _RANGE.findall(found[2]):
        if part == r"\d":
            inside |= _DIGITS
            continue
        first, last = part[0], part[-1]
        if first > last:
            raise ValueError(f"has a range {part} that runs backwards")
        inside |= {chr(code) for code in range(ord(first), ord(last) + 1)}
    return (_DIGITS | _LETTERS) - inside if found[1] else inside


def _sums(before: Lengths, here: Lengths) -> Lengths:
    return frozenset(
        one + other for one in before for other in here if one + other <= _MOST_REPEATED
    )
