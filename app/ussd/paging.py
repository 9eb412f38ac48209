"""L6: a long screen cut into pages: at a line break nearby, else between words; never in an amount.

Every page is measured whole, footer included: in septets, or in UCS-2 units as soon as one of its
characters is not in GSM-7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.text.width import fits

PAGES_MOST = 30
MOSTLY_FULL = 2 / 3  # of what fits: a page may stay emptier to end with a whole line
_WORD = re.compile(r"(\n+| *)([A-Z]{3} \d\S*|\S+)")  # `KES 10.00` is one word
Footer = Callable[[int, bool], str]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message carries: GSM-7 septets, or UCS-2 units."""

    septets: int
    ucs2_units: int


@dataclass(frozen=True, slots=True)
class Page:
    """One screen. `rows` are the indexes of the rows that begin on it."""

    text: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is not cut while it fits a page: a word of the head, or a whole row."""

    gap: str
    text: str
    row: int | None


def paginate(head: str, rows: Sequence[str], footer: Footer, limits: Limits) -> list[Page]:
    """The pages of a head and rows under it. `footer(page, more)` is the last line of a page.

    A row is not torn unless it alone is longer than a page. Raises ValueError when a footer
    leaves no room, or past PAGES_MOST pages.
    """
    whole = _with_footer("\n".join([head, *rows] if head else rows), footer(0, False))
    if fits(whole, limits.septets, limits.ucs2_units):
        return [Page(whole, tuple(range(len(rows))))]
    pieces = _words(head) + [_Piece("\n", row, index) for index, row in enumerate(rows)]
    pages: list[Page] = []
    while pieces:
        if len(pages) == PAGES_MOST:
            raise ValueError(f"a text of more than {PAGES_MOST} pages")
        last = _page(pieces, footer(len(pages), False))
        if fits(last.text, limits.septets, limits.ucs2_units):
            return [*pages, last]
        foot = footer(len(pages), True)
        taken = _whole_lines(pieces, _how_many(pieces, foot, limits))
        if taken:
            pages.append(_page(pieces[:taken], foot))
            del pieces[:taken]
        else:
            pieces[:1] = _torn(pieces[0], foot, limits)
    return pages


def _how_many(pieces: Sequence[_Piece], foot: str, limits: Limits) -> int:
    """How many leading pieces fit above the footer."""
    text = ""
    for count, piece in enumerate(pieces):
        text += (piece.gap if text else "") + piece.text
        if not fits(_with_footer(text, foot), limits.septets, limits.ucs2_units):
            return count
    return len(pieces)


def _whole_lines(pieces: Sequence[_Piece], fitting: int) -> int:
    """So many of the pieces that fit that the page ends with a line, if it stays mostly full."""
    most = len(_joined(pieces[:fitting]))
    for count in range(fitting, 0, -1):
        if len(_joined(pieces[:count])) < MOSTLY_FULL * most:
            break
        if count == len(pieces) or pieces[count].gap.startswith("\n"):
            return count
    return fitting


def _joined(pieces: Sequence[_Piece]) -> str:
    return "".join((piece.gap if at else "") + piece.text for at, piece in enumerate(pieces))


def _page(pieces: Sequence[_Piece], foot: str) -> Page:
    rows = dict.fromkeys(piece.row for piece in pieces if piece.row is not None)
    return Page(_with_footer(_joined(pieces), foot), tuple(rows))


def _words(text: str) -> list[_Piece]:
    return [_Piece(found[1] or " ", found[2], None) for found in _WORD.finditer(text)]


def _torn(piece: _Piece, foot: str, limits: Limits) -> list[_Piece]:
    """A piece that is longer than a page: its words, or the characters that fit and the rest."""
    words = _words(piece.text)
    if len(words) > 1:
        return [_Piece(piece.gap, words[0].text, piece.row), *words[1:]]
    for size in range(len(piece.text) - 1, 0, -1):
        if fits(_with_footer(piece.text[:size], foot), limits.septets, limits.ucs2_units):
            left, right = piece.text[:size], piece.text[size:]
            return [_Piece(piece.gap, left, piece.row), _Piece("", right, None)]
    raise ValueError("the footer leaves no room for the text")


def _with_footer(text: str, foot: str) -> str:
    return f"{text}\n{foot}" if foot and text else text or foot
