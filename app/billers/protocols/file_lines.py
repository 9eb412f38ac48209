"""The lines of the files that go between us and a biller that is paid by file. Pure.

    ours                                                 theirs
    H,KIBANDA,school,school-20261127-01,2026-11-27,KES   H,SCHOOL,school-20261127-01
    D,<reference>,<customer>,1234.50,<name>,<sku>        A,<reference>,1234.50,ACCEPTED,<receipt>
    T,1,1234.50                                          A,<reference>,99.00,REJECTED,<code>
                                                         T,2,1234.50     (sum of what is accepted)

1. The same payments make the same bytes of ours.
2. Theirs is read whole or refused whole, with the line and the reason. It may leave payments out,
   and says nothing of those; it has no word on what is not in the batch, and no two on anything.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, Literal

from app.billers.protocols.answers import Answer, Outcome
from app.billers.protocols.fields import receipt_no
from app.markets.billers import Biller
from app.money import Currency

CUSTOMERS_MOST = 200_000
LINE_BYTES_MOST = 512
ACCEPTED, REJECTED = "ACCEPTED", "REJECTED"
_HEADS = (["customer_no", "name", "owed"], ["customer_no", "name"])
_AMOUNT = re.compile(r"(\d{1,13})(?:\.(\d{1,3}))?\Z", re.ASCII)
_COUNT = re.compile(r"\d{1,9}\Z", re.ASCII)
_CODE = re.compile(r"[A-Z0-9_]{1,40}\Z")
_RECEIPT = re.compile(r"[!-~](?:[ -~]{0,38}[!-~])?\Z")
_NUMBER = re.compile(r"[A-Za-z0-9]{1,20}\Z")
Customer = tuple[str, str]  # name, and what is owed, if it says so


class FileRefusedError(Exception):
    """A file of theirs that is not as agreed: which line of it, and a constant name for why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """What a batch is called, and of which day it is."""

    biller: str
    name: str
    day: date


@dataclass(frozen=True, slots=True)
class Payable:
    """One payment, as a line of our file."""

    reference: str
    customer_no: str
    amount_minor: int
    name: str
    sku: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What their file says of one payment; `word` is a receipt number, or why it was rejected."""

    reference: str
    amount_minor: int
    says: Literal["ACCEPTED", "REJECTED"]
    word: str

    def judge(self, rules: Biller, batch: str) -> Answer:
        """As any answer of a biller: a rejection for a reason that its file does not list is no
        refusal."""
        if self.says == ACCEPTED:
            receipt = receipt_no(self.word)
            return Answer(
                Outcome.PAID, "paid", ACCEPTED, True, receipt_no=receipt, biller_txn=batch
            )
        if self.word in rules.refused_codes:
            return Answer(Outcome.REFUSED, "refused", self.word, True, biller_txn=batch)
        return Answer(Outcome.UNKNOWN, "code_not_final", self.word, True, biller_txn=batch)


def written(head: Head, payables: Sequence[Payable], currency: Currency) -> bytes:
    """Our file. The same lines make the same bytes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["H", "KIBANDA", head.biller, head.name, head.day.isoformat(), currency.code])
    for one in payables:
        amount = in_major(one.amount_minor, currency)
        rows.writerow(["D", one.reference, one.customer_no, amount, one.name, one.sku])
    total_minor = sum(one.amount_minor for one in payables)
    rows.writerow(["T", len(payables), in_major(total_minor, currency)])
    return text.getvalue().encode()


def in_major(amount_minor: int, currency: Currency) -> str:
    """`1234.50`"""
    major, minor = divmod(amount_minor, currency.minor_per_major)
    return f"{major}.{minor:0{currency.exponent}d}" if currency.exponent else str(major)


def in_minor(text: str, currency: Currency) -> int | None:
    """Minor units of `1234.50`; None for anything else."""
    match = _AMOUNT.match(text)
    decimals = match[2] or "" if match else ""
    if match is None or len(decimals) > currency.exponent:
        return None
    return int(match[1] + decimals.ljust(currency.exponent, "0"))


def read_answer(
    raw: bytes, head: Head, ours: Mapping[str, int], currency: Currency
) -> list[Verdict]:
    """Their answer to a batch whose payments, by reference, have these amounts.

    Raises FileRefusedError for anything that is not as agreed.
    """
    rows = _answer_rows(raw)
    first = next(rows, (1, []))[1]
    if len(first) != 3 or first[0] != "H" or first[1].lower() != head.biller:
        raise FileRefusedError(1, "header_wrong")
    if first[2] != head.name:
        raise FileRefusedError(1, "other_batch")
    verdicts: dict[str, Verdict] = {}
    for line, cells in rows:
        if cells[0] == "T":
            _check_trailer(line, cells, verdicts.values(), currency)
            if next(rows, None) is not None:
                raise FileRefusedError(line + 1, "after_the_trailer")
            return list(verdicts.values())
        verdict = _verdict(line, cells, ours, currency)
        if verdict.reference in verdicts:
            raise FileRefusedError(line, "twice")
        verdicts[verdict.reference] = verdict
    raise FileRefusedError(len(verdicts) + 2, "trailer_missing")


def _answer_rows(raw: bytes) -> Iterator[tuple[int, list[str]]]:
    """Lines by number, as cells; every one is there and ends as agreed."""
    if not raw.endswith(b"\n"):
        raise FileRefusedError(raw.count(b"\n") + 1, "cut_off")
    for line, record in enumerate(raw.split(b"\n")[:-1], 1):
        yield line, _cells(line, record)


def _cells(line: int, record: bytes) -> list[str]:
    if not record or len(record) > LINE_BYTES_MOST:
        raise FileRefusedError(line, "length_wrong")
    try:
        text = record.decode()
        # A list has many lines, and few of them have quotes.
        cells = next(csv.reader([text], strict=True), []) if '"' in text else text.split(",")
    except UnicodeDecodeError as error:
        raise FileRefusedError(line, "not_utf8") from error
    except csv.Error as error:
        raise FileRefusedError(line, "not_csv") from error
    if "\r" in text or not cells:
        raise FileRefusedError(line, "line_end_wrong")
    return cells


def _verdict(
    line: int, cells: Sequence[str], ours: Mapping[str, int], currency: Currency
) -> Verdict:
    if len(cells) != 5 or cells[0] != "A":
        raise FileRefusedError(line, "form_wrong")
    _, reference, amount, says, word = cells
    if reference not in ours:
        raise FileRefusedError(line, "not_ours")
    if in_minor(amount, currency) != ours[reference]:
        raise FileRefusedError(line, "other_amount")
    if says == ACCEPTED and _RECEIPT.match(word):
        return Verdict(reference, ours[reference], "ACCEPTED", word)
    if says == REJECTED and _CODE.match(word):
        return Verdict(reference, ours[reference], "REJECTED", word)
    raise FileRefusedError(line, "word_wrong")


def _check_trailer(
    line: int, cells: Sequence[str], said: Collection[Verdict], currency: Currency
) -> None:
    accepted_minor = sum(one.amount_minor for one in said if one.says == ACCEPTED)
    if len(cells) != 3 or not _COUNT.match(cells[1]) or int(cells[1]) != len(said):
        raise FileRefusedError(line, "count_wrong")
    if in_minor(cells[2], currency) != accepted_minor:
        raise FileRefusedError(line, "total_wrong")


def read_customers(file: BinaryIO, most: int = CUSTOMERS_MOST) -> dict[str, Customer]:
    """Name and what is owed by customer number, both as they stand there: a person waits while a
    list is read, and needs one line of it. Raises FileRefusedError.
    """
    heads = _customer_cells(1, file.readline(LINE_BYTES_MOST + 1))
    found: dict[str, Customer] = {}
    if heads not in _HEADS:
        raise FileRefusedError(1, "header_wrong")
    line = 1
    while record := file.readline(LINE_BYTES_MOST + 1):
        line += 1
        if line > most + 1:
            raise FileRefusedError(line, "too_many_lines")
        cells = _customer_cells(line, record)
        if len(cells) != len(heads) or not _NUMBER.match(cells[0]):
            raise FileRefusedError(line, "form_wrong")
        number = cells[0].upper()
        if number in found:
            raise FileRefusedError(line, "twice")
        found[number] = (cells[1], cells[2] if cells[2:] else "")
    return found


def _customer_cells(line: int, record: bytes) -> list[str]:
    if not record.endswith(b"\n"):
        raise FileRefusedError(line, "cut_off" if record else "header_wrong")
    return _cells(line, record[:-1])
