"""Files that are refused, whole: file, line and reason; and the forms in which they may come."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.billers.reconciliation import runs
from app.billers.reconciliation.report_file import ReportFile
from app.errors import DomainError
from app.markets.reports import Report
from app.money import Currency
from tests.billers.reconciliation.desk import BILLER, CSV, DAY, HEAD, NOW, Desk, PaymentRow, line
from tests.wallet.test_ledger_races import together

KES = Currency("KES", 2)
FIXED: dict[str, Any] = {
    "format": "fixed",
    "amount": "minor",
    "day_format": "%Y%m%d",
    "header_lines": 1,
    "sold": ["S"],
    "reversed": ["R"],
    "positions": {
        "reference": {"start": 2, "width": 12},
        "amount": {"start": 14, "width": 12},
        "day": {"start": 26, "width": 8},
        "status": {"start": 34, "width": 1},
    },
    "trailer_positions": {
        "mark": "T",
        "count": {"start": 2, "width": 6},
        "total": {"start": 8, "width": 12},
    },
}


def rules(**changes: Any) -> Report:
    changed = {name: value for name, value in (CSV | changes).items() if value is not None}
    return Report.model_validate(changed)


def read(text: str | bytes, told: Report, day: date | None = None) -> ReportFile:
    """A file that was read to its end; its lines are `file.read`."""
    raw = text.encode() if isinstance(text, str) else text
    file = ReportFile(io.BytesIO(raw), "f.csv", told, KES, day)
    file.read = [tuple(one) for one in file.lines()]  # type: ignore[attr-defined]
    assert file.sha256 == hashlib.sha256(raw).digest()
    return file


def test_csv_with_everything() -> None:
    told = rules(
        delimiter=";", decimal_mark=",", day_format="%d/%m/%Y %H:%M",
        trailer={"mark": "SUM", "count": 2, "total": 3},
        columns={"reference": "Our ref", "amount": "Value", "day": "When", "status": "State"},
    )  # fmt: skip
    text = (
        "\ufeffState;When;Our ref;Note;Value\r\n"
        'OK;25/11/2026 00:00;A-1;"a; b";1200,50\r\n'
        "REV;25/11/2026 23:59;A-2;;7\r\n"
        "PENDING;25/11/2026 23:59;A-3;;3,1\r\n"
        "SUM;3;1210,60\r\n"
    )
    file = read(text, told)
    assert file.read == [(2, "A-1", 120_050, True), (3, "A-2", 700, False)]  # type: ignore[attr-defined]
    assert (file.day, file.count, file.ignored, file.total_minor) == (DAY, 3, 1, 121_060)


def test_fixed_widths_with_header_and_trailer() -> None:
    text = (
        "HSTIMA\n"
        "DREF000000001000000120050" + "20261125S\n"
        "DREF2        000000000700" + "20261125R\n"
        "T000002000000120750\n"
    )
    file = read(text, Report.model_validate(FIXED))
    assert file.read == [(2, "REF000000001", 120_050, True), (3, "REF2", 700, False)]  # type: ignore[attr-defined]


WORDS = f"{HEAD}\nA,500.00,2026-11-25,OK\n"
TRAILER = {"trailer": {"mark": "T", "count": 2, "total": 3}}
SHORT = FIXED | {"columns": None, "ignored": None}


def cells(
    reference: str = "B", amount: str = "1.00", day: str = "2026-11-25", is_: str = "OK"
) -> str:
    """A line after a right one."""
    return f"{WORDS}{reference},{amount},{day},{is_}\n"


# What is in the file, how its report differs, the line that is named, and the reason.
REFUSED: dict[str, tuple[str | bytes, dict[str, Any], int, str]] = {
    "no header": ("", {}, 1, "the header has 0 columns 'ref'"),
    "a column twice": ("ref,ref,value,day,state\n", {}, 1, "the header has 2 columns 'ref'"),
    "too few cells": (WORDS + "B,1.00\n", {}, 3, "it has 2 cells instead of 4"),
    "an empty line": (WORDS + "\n", {}, 3, "it has 1 cells instead of 4"),
    "an open quote": (WORDS + '"B,1.00\n', {}, 3, "it is no CSV: unexpected end of data"),
    "no reference": (cells(""), {}, 3, "reference '' is none"),
    "a space in it": (cells("B C"), {}, 3, "reference 'B C' is none"),
    "a backslash": (cells("B\\N"), {}, 3, "reference 'B\\\\N' is none"),
    "no amount": (cells(amount="1.0.0"), {}, 3, "amount '1.0.0' is no amount of KES"),
    "a minus": (cells(amount="-1.00"), {}, 3, "amount '-1.00' is no amount of KES"),
    "three decimals": (cells(amount="1.005"), {}, 3, "amount '1.005' is no amount of KES"),
    "zero": (cells(amount="0.00"), {}, 3, "amount is zero"),
    "too large": (cells(amount="9" * 14), {}, 3, f"amount '{'9' * 14}' is no amount of KES"),
    "no day": (cells(day="25.11.2026"), {}, 3, "day '25.11.2026' is not written as %Y-%m-%d"),
    "another word": (cells(is_="ok"), {}, 3, "status 'ok' is not known"),
    "no text": (WORDS.encode() + b"\xff,1.00\n", {}, 3, "it is not UTF-8"),
    "a long line": (WORDS + "B" * 5000 + "\n", {}, 3, "it is longer than 4096 bytes"),
    "cut off": (WORDS, TRAILER, 2, "the trailer is missing: the file is cut off"),
    "wrong count": (
        WORDS + "T,2,500.00\n", TRAILER, 3, "the trailer counts '2' lines; there are 1",
    ),
    "wrong total": (
        WORDS + "T,1,500.01\n", TRAILER, 3,
        "the trailer's total is '500.01'; the lines sum to KES 500.00",
    ),
    "after the end": (WORDS + "T,1,500.00\nB\n", TRAILER, 4, "a line after the trailer"),
    "a short line": ("H\nDREF\n", SHORT, 2, "it has 4 characters, not 34"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "changes", "at", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_line_is_refused_with_its_reason(
    text: str | bytes, changes: dict[str, Any], at: int, reason: str
) -> None:
    with pytest.raises(DomainError) as refused:
        read(text, rules(**changes))
    assert refused.value.code == "report_refused"
    assert refused.value.facts == {"file": "f.csv", "line": at, "reason": reason}


def refusal(call: Callable[[], Any]) -> tuple[str, dict[str, object]]:
    with pytest.raises(DomainError) as refused:
        call()
    return refused.value.code, refused.value.facts


def untouched(desk: Desk) -> bool:
    tables = ("reconciliation_runs", "reconciled_payments", "reconciliation_exceptions")
    return not any(desk.rows(f"SELECT 1 FROM {table}") for table in tables)


def test_the_whole_file_is_refused_for_one_line(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000), PaymentRow("B", 50_000))
    path = desk.file([*(line(f"N{n}") for n in range(3000)), line("A"), line("B", status="?")])
    code, facts = refusal(lambda: desk.take(path))
    assert (code, facts["line"]) == ("report_refused", 3003)
    assert untouched(desk)
    desk.compare(line("A"), line("B"))  # and the day can still come in


def test_the_same_file_twice(desk: Desk) -> None:
    path = desk.file([line("A")])
    run = desk.take(path)
    renamed = path.rename(path.with_name("again.csv"))
    assert refusal(lambda: desk.take(renamed)) == ("report_known", {"run": run.reference})


def test_another_file_of_the_same_day(desk: Desk) -> None:
    run = desk.compare(line("A"))
    facts = {"day": DAY, "biller": BILLER, "run": run.reference}
    for day in (DAY, None):
        path = desk.file([line("B")])
        assert refusal(lambda: desk.take(path, day=day)) == ("report_day_known", facts)  # noqa: B023


def test_the_wrong_day(desk: Desk) -> None:
    before = DAY - timedelta(days=1)
    path = desk.file([line("A", day=before)])
    code, facts = refusal(lambda: desk.take(path, day=DAY))
    assert (code, facts["line"], facts["found"], facts["day"]) == (
        "report_wrong_day", 2, before, DAY,
    )  # fmt: skip
    mixed = desk.file([line("A"), line("B", day=before)])
    code, facts = refusal(lambda: desk.take(mixed))
    assert (code, facts["line"], facts["found"]) == ("report_wrong_day", 3, before)
    assert untouched(desk)


def test_a_day_that_is_not_over(desk: Desk) -> None:
    today = NOW.date()
    path = desk.file([line("A", day=today)])
    assert refusal(lambda: desk.take(path)) == ("report_day_open", {"day": today})
    midnight = NOW.replace(hour=0, minute=5) + timedelta(days=1)
    assert refusal(lambda: desk.take(path, midnight))[0] == "report_day_open"
    assert desk.take(path, midnight + timedelta(minutes=6)).day == today


def test_an_empty_day_needs_to_be_named(desk: Desk) -> None:
    assert refusal(lambda: desk.take(desk.file([])))[0] == "report_empty"
    desk.have(PaymentRow("A", 50_000))
    assert desk.found(desk.compare()) == [("only_ours", "missing", "A")]


def test_no_such_biller_no_report_no_file(desk: Desk) -> None:
    path = desk.file([line("A")])
    assert refusal(lambda: desk.take(path, biller="nobody"))[0] == "biller_unknown"
    stima = desk.market.billers[BILLER].model_copy(update={"report": None})
    bare = desk.market.model_copy(update={"billers": {BILLER: stima}})

    def take(session: Session) -> object:
        return runs.take(session, bare, BILLER, path, maker="asha", now=NOW)

    assert refusal(lambda: desk.run(take)) == ("report_not_described", {"biller": BILLER})
    assert refusal(lambda: desk.take(Path("/nowhere/file.csv")))[0] == "report_unreadable"


def test_eight_at_once_take_it_once(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000))
    path = desk.file([line("A")])

    def take(_: int) -> str:
        try:
            return f"matched {desk.take(path).matched}"
        except DomainError as error:
            return error.code

    heard = sorted(together(8, take))
    assert heard == ["matched 1", *["report_known"] * 7]
    assert len(desk.rows("SELECT 1 FROM reconciled_payments")) == 1


def test_progress_hears_every_byte(desk: Desk) -> None:
    path = desk.file([line(f"N{n}") for n in range(100)])
    heard: list[int] = []
    desk.take(path, progress=heard.append)
    assert sum(heard) == path.stat().st_size
