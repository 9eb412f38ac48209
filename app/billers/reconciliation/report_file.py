"""A biller's daily file, read as a stream: each line checked as it comes, memory holds one of them.

1. A record is one line of the file, in UTF-8. A byte order mark and quotes are read, quoted line
   ends are not.
2. Every line is of one day: the one that was asked for, else the first line's.
3. Every refusal names the line of the file and the reason; nothing is repaired, no word guessed.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from app.errors import DomainError
from app.markets.reports import Report, Span
from app.money import Currency

LINES_MOST = 5_000_000
LINE_BYTES_MOST = 4096
MINOR_MOST = 10**15
_QUOTED_CHARS_MOST = 40  # of what is wrong, in the reason
_DAYS_REMEMBERED = 4096  # a file of times says the same minute again and again
_BOM = b"\xef\xbb\xbf"
_REFERENCE = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,64}")  # COPY's own text needs no escape for it
_DIGITS = re.compile(r"\d{1,16}", re.ASCII)
_MAJOR = re.compile(r"(\d{1,16})(?:[.](\d{1,6}))?", re.ASCII)


class ReportLine(NamedTuple):
    """A sale, or with `sold` False the taking back of one; `position` is its line of the file."""

    position: int
    reference: str
    amount_minor: int
    sold: bool


class _Cells(NamedTuple):
    reference: str
    amount: str
    day: str
    status: str | None


class ReportFile:
    """One reading of a file. When `lines` is used up, the other properties are of all of it."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        rules: Report,
        currency: Currency,
        day: date | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._file, self._name, self._progress = file, name, progress
        self._rules, self._exponent, self._currency = rules, currency.exponent, currency
        self._hash = hashlib.sha256()
        self._sold = dict.fromkeys(rules.sold, True) | dict.fromkeys(rules.reversed, False)
        self._days = lru_cache(_DAYS_REMEMBERED)(self._day_of)
        self._trailer = rules.trailer or rules.trailer_positions
        self._ended_at = 0
        self.day = day
        self.count, self.total_minor, self.ignored = 0, 0, 0

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    def lines(self) -> Iterator[ReportLine]:
        """The lines that say something, in order.

        Raises DomainError `report_refused` with `file`, `line`, `reason`; `report_wrong_day` with
        `file`, `line`, `found`, `day`.
        """
        records = self._records()
        read = self._csv(records) if self._rules.columns else self._fixed(records)
        for position, cells in read:
            line = self._line(position, cells)
            if line is not None:
                yield line
        if self._trailer and not self._ended_at:
            raise self.refused(self.count + 1, "the trailer is missing: the file is cut off")

    def refused(self, position: int, reason: str) -> DomainError:
        return DomainError("report_refused", file=self._name, line=position, reason=reason)

    # ---- lines as text

    def _records(self) -> Iterator[tuple[int, str]]:
        position, sum_up, progress = 0, self._hash.update, self._progress
        while raw := self._file.readline(LINE_BYTES_MOST + 1):
            position += 1
            if len(raw) > LINE_BYTES_MOST:
                raise self.refused(position, f"it is longer than {LINE_BYTES_MOST} bytes")
            sum_up(raw)
            progress(len(raw))
            if self._ended_at and raw.strip():
                raise self.refused(position, "a line after the trailer")
            if position > LINES_MOST:
                raise self.refused(position, f"a file has at most {LINES_MOST} lines")
            if position == 1:
                raw = raw.removeprefix(_BOM)
            try:
                yield position, raw.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise self.refused(position, "it is not UTF-8") from error

    def _csv(self, records: Iterator[tuple[int, str]]) -> Iterator[tuple[int, _Cells]]:
        columns, mark = self._rules.columns, self._rules.trailer and self._rules.trailer.mark
        assert columns
        heads = self._split(*next(records, (1, "")))
        wanted = [columns.reference, columns.amount, columns.day]
        wanted += [columns.status] if columns.status else []
        places = [self._column(heads, name) for name in wanted]
        for position, text in records:
            cells = self._split(position, text)
            if mark is not None and cells and cells[0] == mark:
                self._check_trailer(position, cells)
                continue
            if len(cells) != len(heads):
                raise self.refused(position, f"it has {len(cells)} cells instead of {len(heads)}")
            found = [cells[place].strip() for place in places]
            yield position, _Cells(found[0], found[1], found[2], found[3] if found[3:] else None)

    def _split(self, position: int, text: str) -> list[str]:
        if '"' not in text:
            return text.split(self._rules.delimiter)
        try:
            return next(csv.reader([text], delimiter=self._rules.delimiter, strict=True))
        except csv.Error as error:
            raise self.refused(position, f"it is no CSV: {error}") from error

    def _column(self, heads: Sequence[str], name: str) -> int:
        if heads.count(name) != 1:
            raise self.refused(1, f"the header has {heads.count(name)} columns {_quoted(name)}")
        return heads.index(name)

    def _fixed(self, records: Iterator[tuple[int, str]]) -> Iterator[tuple[int, _Cells]]:
        positions, trailer = self._rules.positions, self._rules.trailer_positions
        assert positions
        spans = [positions.reference, positions.amount, positions.day]
        spans += [positions.status] if positions.status else []
        cuts = [_cut(span) for span in spans]
        least = max(cut.stop for cut in cuts)
        for position, text in records:
            if position <= self._rules.header_lines:
                continue
            if trailer and text.startswith(trailer.mark):
                self._check_trailer(position, text)
                continue
            if len(text) < least:
                raise self.refused(position, f"it has {len(text)} characters, not {least}")
            found = [text[cut].strip() for cut in cuts]
            yield position, _Cells(found[0], found[1], found[2], found[3] if found[3:] else None)

    # ---- what they say

    def _line(self, position: int, cells: _Cells) -> ReportLine | None:
        if not _REFERENCE.fullmatch(cells.reference):
            raise self.refused(position, f"reference {_quoted(cells.reference)} is none")
        amount_minor = self._minor(position, "amount", cells.amount)
        if amount_minor == 0:
            raise self.refused(position, "amount is zero")
        self._check_day(position, cells.day)
        self.count += 1
        self.total_minor += amount_minor
        sold = True if cells.status is None else self._sold.get(cells.status)
        if sold is None:
            if cells.status not in self._rules.ignored:
                raise self.refused(position, f"status {_quoted(cells.status or '')} is not known")
            self.ignored += 1
            return None
        return ReportLine(position, cells.reference, amount_minor, sold)

    def _check_day(self, position: int, text: str) -> None:
        day = self._days(text)
        if day is None:
            form = self._rules.day_format
            raise self.refused(position, f"day {_quoted(text)} is not written as {form}")
        if self.day is None:
            self.day = day
        if day != self.day:
            raise DomainError(
                "report_wrong_day", file=self._name, line=position, found=day, day=self.day
            )

    def _day_of(self, text: str) -> date | None:
        try:
            return datetime.strptime(text, self._rules.day_format).date()  # noqa: DTZ007 - a day
        except ValueError:
            return None

    def _minor(self, position: int, name: str, text: str) -> int:
        minor = self._in_major(text) if self._rules.amount == "major" else _whole(text)
        if minor is None or minor > MINOR_MOST:
            code = self._currency.code
            raise self.refused(position, f"{name} {_quoted(text)} is no amount of {code}")
        return minor

    def _in_major(self, text: str) -> int | None:
        if self._rules.decimal_mark == ",":
            text = "" if "." in text else text.replace(",", ".")
        match = _MAJOR.fullmatch(text)
        decimals = (match[2] or "").rstrip("0") if match else ""
        if match is None or len(decimals) > self._exponent:
            return None
        return int(match[1] + decimals.ljust(self._exponent, "0"))

    # ---- what the file says of itself

    def _check_trailer(self, position: int, cells: Sequence[str]) -> None:
        self._ended_at = position
        trailer = self._trailer
        assert trailer
        count, total = (self._told(cells, at) for at in (trailer.count, trailer.total))
        if count is not None and _whole(count) != self.count:
            reason = f"the trailer counts {_quoted(count)} lines; there are {self.count}"
            raise self.refused(position, reason)
        if total is not None and self._minor(position, "total", total) != self.total_minor:
            there = self._currency.format(self.total_minor)
            reason = f"the trailer's total is {_quoted(total)}; the lines sum to {there}"
            raise self.refused(position, reason)

    def _told(self, cells: Sequence[str], at: int | Span | None) -> str | None:
        if at is None:
            return None
        if isinstance(at, Span):
            return str(cells[_cut(at)]).strip()
        return cells[at - 1].strip() if at <= len(cells) else ""


def _cut(span: Span) -> slice:
    return slice(span.start - 1, span.start - 1 + span.width)


def _whole(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _quoted(value: str) -> str:
    return ascii(value[:_QUOTED_CHARS_MOST])
