"""L1: on which line of a TOML text a value stands.

`tomllib` reads files and keeps no lines. Here the text is one that it has accepted, so this reader
may be small: it follows headers, keys, lists and inline tables, and steps over all other values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

Place = tuple[str | int, ...]
_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_PART = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_PLAIN_VALUE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'" r"|[^,\]}#\n]+",
    re.DOTALL,
)


def line_of(text: str, place: Sequence[str | int]) -> int:
    """The line, from 1, of a value or else of the nearest that encloses it.

    `text` is TOML without a fault.
    """
    lines = _lines(text)
    enclosing = (tuple(place[:end]) for end in range(len(place), 0, -1))
    return next((lines[one] for one in enclosing if one in lines), 1)


@lru_cache(maxsize=1)
def _lines(text: str) -> Mapping[Place, int]:
    return _Reader(text).lines


class _Reader:
    """One walk over a text. `lines` has the line of every header, key and list element."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._counts: dict[Place, int] = {}  # of tables under the same [[header]]
        table: Place = ()
        while self._skip_space() < len(text):
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        begin = self._at
        brackets = 2 if self._text.startswith("[[", begin) else 1
        self._at += brackets
        *above, last = self._key()
        path: Place = ()
        for name in above:
            path = self._newest((*path, name))
        path = (*path, last)
        if brackets == 2:
            self._note(path, begin)
            self._counts[path] = self._counts.get(path, 0) + 1
            path = self._newest(path)
        self._note(path, begin)
        self._at = self._text.index("]", self._at) + brackets
        return path

    def _newest(self, path: Place) -> Place:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Place) -> None:
        begin = self._at
        path = (*table, *self._key())
        self._note(path, begin)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _value(self, path: Place) -> None:
        match self._text[self._skip_space()]:
            case "[":
                self._items(path, "]")
            case "{":
                self._items(path, "}")
            case _:
                self._take(_PLAIN_VALUE)

    def _items(self, path: Place, end: str) -> None:
        self._at += 1
        count = 0
        while self._text[self._skip_space()] != end:
            if self._text[self._at] == ",":
                self._at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._note((*path, count), self._at)
                self._value((*path, count))
                count += 1
        self._at += 1

    def _key(self) -> list[str]:
        """The names of a dotted key; `tomllib` knows how they are quoted."""
        self._skip_space()
        names = []
        table: Any = tomllib.loads(f"{self._take(_KEY)} = 0")
        while isinstance(table, dict):
            ((name, table),) = table.items()
            names.append(name)
        return names

    def _note(self, path: Place, at: int) -> None:
        """Tables that no header names have the line of the first that names one in them."""
        line = self._text.count("\n", 0, at) + 1
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)

    def _skip_space(self) -> int:
        self._take(_SPACE)
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found, f"no TOML at {self._at}"
        self._at = found.end()
        return found[0]
