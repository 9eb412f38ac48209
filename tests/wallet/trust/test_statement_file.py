"""The bank's CSV: what is read, and what is refused with line and reason."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from itertools import count

import pytest

from app.errors import DomainError
from app.money import Currency
from app.wallet.trust.statement_file import LINE_BYTES_MOST, FileLine, StatementFile

KES, IDR = Currency("KES", 2), Currency("IDR", 0)
TODAY = date(2026, 11, 26)
HEAD = "id,booked_on,amount,currency,reference,text,balance\n"
ONE = "BK-1,2026-11-26,1500.00,KES,7Q4M2XKD,CASH DEPOSIT,1500.00\n"


def read(content: str | bytes, currency: Currency = KES) -> list[FileLine]:
    raw = content.encode() if isinstance(content, str) else content
    return list(StatementFile(io.BytesIO(raw), currency, TODAY).lines())


def refusal(content: str | bytes, currency: Currency = KES) -> tuple[int, str]:
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(DomainError) as raised:
        StatementFile(io.BytesIO(raw), currency, TODAY).summary()
    assert raised.value.code == "statement_refused"
    return int(str(raised.value.facts["line"])), str(raised.value.facts["reason"])


def row(**changes: str) -> str:
    """A file of one line that is right but for the changes."""
    cells = {
        "id": "BK-1",
        "booked_on": "2026-11-26",
        "amount": "1500.00",
        "currency": "KES",
        "reference": "7Q4M2XKD",
        "text": "CASH",
        "balance": "1500.00",
    }
    return HEAD + ",".join((cells | changes).values()) + "\n"


def test_a_line_as_the_bank_writes_it() -> None:
    assert read(HEAD + ONE) == [
        FileLine(2, "BK-1", TODAY, 150_000, "7Q4M2XKD", "CASH DEPOSIT", 150_000)
    ]


def test_the_whole_is_summed_up() -> None:
    two = "BK-2,2026-11-26,-0.01,KES,,,1499.99\n"
    summary = StatementFile(io.BytesIO((HEAD + ONE + two).encode()), KES, TODAY).summary()
    assert (summary.opening_minor, summary.closing_minor) == (0, 149_999)
    assert (summary.first_on, summary.lines, len(summary.sha256)) == (TODAY, 2, 32)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("﻿" + row(), "CASH"),
        (row().replace("\n", "\r\n"), "CASH"),
        (row().removesuffix("\n"), "CASH"),
        (row(text='"CASH, ""BRANCH"" 7"'), 'CASH, "BRANCH" 7'),
        (row(text='"CASH"').replace("BK-1", '"BK-1"'), "CASH"),
        (row(text="  Dépôt ፒን  "), "Dépôt ፒን"),
        (row(text="A\x1b[31m\u202eB\tC\0"), "A [31m B C"),
    ],
    ids=["bom", "crlf", "no end", "quotes", "quoted id", "other letters", "control characters"],
)
def test_what_is_read_as_it_is_meant(content: str, text: str) -> None:
    (line,) = read(content)
    assert (line.id, line.text) == ("BK-1", text)


@pytest.mark.parametrize(
    ("currency", "written", "minor"),
    [
        (KES, "1500", 150_000),
        (KES, "+1500.5", 150_050),
        (KES, "-0.01", -1),
        (KES, "0.10", 10),
        (KES, "1.100", 110),
        (KES, "10000000000000.00", 10**15),
        (IDR, "1500", 1500),
        (IDR, "-1500.00", -1500),
    ],
)
def test_amounts(currency: Currency, written: str, minor: int) -> None:
    (line,) = read(row(amount=written, currency=currency.code, balance="0"), currency)
    assert line.amount_minor == minor


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "there are no lines in it"),
        (HEAD, 1, "there are no lines in it"),
        ("id;booked_on\n", 1, "the first line must be id,booked_on,"),
        (ONE, 1, "the first line must be id,booked_on,"),
        (HEAD + "\n", 2, "it has 0 fields instead of 7"),
        (HEAD + ONE + "\n", 3, "it has 0 fields instead of 7"),
        (HEAD + "a,b\n", 2, "it has 2 fields instead of 7"),
        (row(text="CASH, BRANCH"), 2, "it has 8 fields instead of 7"),
        (row(text='"CASH'), 2, "it is no CSV: "),
        (row(text='"CASH" X'), 2, "it is no CSV: "),
        (row(text="A\rB"), 2, "it is no CSV: "),
        (row(id=""), 2, "id '' is not"),
        (row(id="BK 1"), 2, "id 'BK 1' is not"),
        (row(id="B" * 65), 2, "id 'BBB"),
        (row(id="ВК-1"), 2, r"id '\u0412\u041a-1' is not"),
        (row(booked_on="26/11/2026"), 2, "booked_on '26/11/2026' is not a day"),
        (row(booked_on="20261126"), 2, "booked_on '20261126' is not a day"),
        (row(booked_on="2026-02-30"), 2, "booked_on '2026-02-30' is not a day"),
        (row(booked_on="٢٠٢٦-١١-٢٦"), 2, "booked_on '"),
        (row(booked_on="2026-11-27"), 2, "booked_on 2026-11-27 is in the future"),
        (row(currency="USD"), 2, "currency 'USD' is not KES"),
        (row(currency="kes"), 2, "currency 'kes' is not KES"),
        (row(amount=""), 2, "amount '' is no amount of KES"),
        (row(amount="1,500.00"), 2, "it has 8 fields"),
        (row(amount='"1,500.00"'), 2, "amount '1,500.00' is no amount of KES"),
        (row(amount="1500.001"), 2, "amount '1500.001' is no amount of KES"),
        (row(amount="1e3"), 2, "amount '1e3' is no amount of KES"),
        (row(amount="--5"), 2, "amount '--5' is no amount of KES"),
        (row(amount="١٥"), 2, r"amount '\u0661\u0665' is no amount of KES"),
        (row(amount="NaN"), 2, "amount 'NaN' is no amount of KES"),
        (row(amount="10000000000000.01"), 2, "amount '10000000000000.01' is too large"),
        (row(amount="0.00"), 2, "amount is zero"),
        (row(balance="much"), 2, "balance 'much' is no amount of KES"),
        (row(reference="R" * 141), 2, "reference has more than 140 characters"),
        (row(text="T" * 501), 2, "text has more than 500 characters"),
        (row(text="T" * LINE_BYTES_MOST), 2, "it is longer than 4096 bytes"),
        (HEAD + ONE + ONE.replace("1500.00\n", "2999.99\n"), 3, "balance KES 2,999.99 does not"),
    ],
)
def test_what_is_refused(content: str, line: int, reason: str) -> None:
    found_line, found_reason = refusal(content)
    assert found_line == line
    assert found_reason.startswith(reason), found_reason


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (HEAD.encode() + ONE.encode().replace(b"CASH", b"D\xe9p\xf4t"), 2),
        (HEAD.encode("utf-16"), 1),
        (b"\xff" + HEAD.encode(), 1),
    ],
)
def test_what_is_not_utf_8(content: bytes, line: int) -> None:
    assert refusal(content) == (line, "it is not UTF-8")


def test_decimals_where_there_is_no_minor_unit() -> None:
    found = refusal(row(amount="1500.50", currency="IDR"), IDR)
    assert found == (2, "amount '1500.50' is no amount of IDR")


def test_a_field_of_ten_megabytes_is_refused_without_being_read() -> None:
    file = io.BytesIO((row(text="T" * 10_000_000)).encode())
    with pytest.raises(DomainError):
        StatementFile(file, KES, TODAY).summary()
    assert file.tell() < 10_000


class Endless(io.RawIOBase):
    """A file that goes on and on, of which nothing is kept."""

    def __init__(self) -> None:
        self._lines = self._written()

    def readline(self, _size: int | None = -1, /) -> bytes:
        return next(self._lines)

    def _written(self) -> Iterator[bytes]:
        yield HEAD.encode()
        for number in count(1):
            yield b"B%d,2026-11-26,1,KES,,,%d\n" % (number, number)


def test_a_file_has_an_end() -> None:
    with pytest.raises(DomainError) as raised:
        StatementFile(Endless(), KES, TODAY, lines_most=5_000).summary()  # type: ignore[arg-type]
    assert raised.value.facts == {"line": 5_002, "reason": "a file has at most 5000 lines"}
