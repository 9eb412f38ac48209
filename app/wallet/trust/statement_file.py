"""The bank's statement as a file: CSV in UTF-8, read as a stream, each line checked as it comes.

    id,booked_on,amount,currency,reference,text,balance
    BK-0001,2026-11-26,1500.00,KES,7Q4M2XKD,CASH DEPOSIT,1500.00

1. `amount` is what came in, or with a minus what went out; `balance` is the bank's after the line,
   so each line must follow from the one before it.
2. A record is one line of the file. A byte order mark and quotes are read, quoted line ends are
   not.
3. Every refusal names the line of the file and the reason; nothing is repaired.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

from app.errors import DomainError
from app.money import Currency

HEADER = ["id", "booked_on", "amount", "currency", "reference", "text", "balance"]
LINES_MOST = 1_000_000
LINE_BYTES_MOST = 4096
REFERENCE_CHARS_MOST, TEXT_CHARS_MOST = 140, 500
MINOR_MOST = 10**15
_QUOTED_CHARS_MOST = 40  # of what is wrong, in the reason
_BOM = b"\xef\xbb\xbf"
_ID = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_AMOUNT = re.compile(r"([+-]?)(\d{1,16})(?:\.(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line of the statement; `position` is its line of the file, whose header is line 1."""

    position: int
    id: str
    booked_on: date
    amount_minor: int
    reference: str
    text: str
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file says as a whole."""

    sha256: bytes
    opening_minor: int
    closing_minor: int
    first_on: date
    lines: int


class StatementFile:
    """One reading of a file; when `lines` is used up, `sha256` is of all its bytes."""

    def __init__(
        self, file: BinaryIO, currency: Currency, today: date, *, lines_most: int = LINES_MOST
    ) -> None:
        self._file = file
        self._lines_most = lines_most
        self._currency = currency
        self._today = today
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    def lines(self) -> Iterator[FileLine]:
        """The lines in order. Raises DomainError `statement_refused` with `line` and `reason`."""
        before_minor: int | None = None
        for position, cells in self._records():
            if position == 1:
                _check_header(cells)
                continue
            if position > self._lines_most + 1:
                raise refused(position, f"a file has at most {self._lines_most} lines")
            line = self._line(position, cells)
            if before_minor is not None:
                self._check_balance(before_minor, line)
            before_minor = line.balance_minor
            yield line

    def summary(self) -> Summary:
        """Read the whole file. Raises as `lines`, and `statement_refused` for one without lines."""
        first = last = None
        count = 0
        for line in self.lines():
            first = first or line
            last = line
            count += 1
        if first is None or last is None:
            raise refused(count + 1, "there are no lines in it")
        opening_minor = first.balance_minor - first.amount_minor
        return Summary(self.sha256, opening_minor, last.balance_minor, first.booked_on, count)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        position = 0
        while raw := self._file.readline(LINE_BYTES_MOST + 1):
            position += 1
            if len(raw) > LINE_BYTES_MOST:
                raise refused(position, f"it is longer than {LINE_BYTES_MOST} bytes")
            self._hash.update(raw)
            yield position, _cells(position, raw.removeprefix(_BOM) if position == 1 else raw)

    def _line(self, position: int, cells: list[str]) -> FileLine:
        if len(cells) != len(HEADER):
            raise refused(position, f"it has {len(cells)} fields instead of {len(HEADER)}")
        line_id, booked_on, amount, currency, reference, text, balance = cells
        if not _ID.fullmatch(line_id):
            raise refused(position, f"id {_quoted(line_id)} is not 1 to 64 of A-Z a-z 0-9 _ . / -")
        if currency != self._currency.code:
            raise refused(position, f"currency {_quoted(currency)} is not {self._currency.code}")
        amount_minor = self._minor(position, "amount", amount)
        if amount_minor == 0:
            raise refused(position, "amount is zero")
        return FileLine(
            position=position,
            id=line_id,
            booked_on=self._date(position, booked_on),
            amount_minor=amount_minor,
            reference=_words(position, "reference", reference, REFERENCE_CHARS_MOST),
            text=_words(position, "text", text, TEXT_CHARS_MOST),
            balance_minor=self._minor(position, "balance", balance),
        )

    def _date(self, position: int, text: str) -> date:
        try:
            day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None:
            raise refused(position, f"booked_on {_quoted(text)} is not a day like 2026-11-26")
        if day > self._today:
            raise refused(position, f"booked_on {text} is in the future")
        return day

    def _minor(self, position: int, name: str, text: str) -> int:
        """Minor units of an amount in major ones, with its sign; `100.00` also where there is no
        minor unit."""
        match = _AMOUNT.fullmatch(text)
        decimals = (match[3] or "").rstrip("0") if match else ""
        exponent = self._currency.exponent
        if match is None or len(decimals) > exponent:
            raise refused(position, f"{name} {_quoted(text)} is no amount of {self._currency.code}")
        value = int(match[2] + decimals.ljust(exponent, "0"))
        if value > MINOR_MOST:
            raise refused(position, f"{name} {_quoted(text)} is too large")
        return -value if match[1] == "-" else value

    def _check_balance(self, before_minor: int, line: FileLine) -> None:
        after_minor, written = before_minor + line.amount_minor, self._currency.format
        if line.balance_minor != after_minor:
            raise refused(
                line.position,
                f"balance {written(line.balance_minor)} does not follow from"
                f" {written(before_minor)} and {written(line.amount_minor)}",
            )


def refused(position: int, reason: str) -> DomainError:
    """A file is refused whole, for what is wrong in one of its lines."""
    return DomainError("statement_refused", line=position, reason=reason)


def _check_header(cells: list[str]) -> None:
    if cells != HEADER:
        raise refused(1, f"the first line must be {','.join(HEADER)}")


def _cells(position: int, raw: bytes) -> list[str]:
    try:
        # One line at a time: an open quote ends with its line instead of taking in the rest.
        return next(csv.reader([raw.decode().removesuffix("\n").removesuffix("\r")], strict=True))
    except UnicodeDecodeError as error:
        raise refused(position, "it is not UTF-8") from error
    except csv.Error as error:
        raise refused(position, f"it is no CSV: {error}") from error


def _words(position: int, name: str, value: str, most: int) -> str:
    """What is shown to staff later, on a terminal: no control or direction characters."""
    shown = "".join(char if char.isprintable() else " " for char in value).strip()
    if len(shown) > most:
        raise refused(position, f"{name} has more than {most} characters")
    return shown


def _quoted(value: str) -> str:
    return ascii(value[:_QUOTED_CHARS_MOST])
