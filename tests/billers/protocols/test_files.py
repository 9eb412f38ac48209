"""The wire of billers that are paid by file: our bytes, their bytes, their customers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app.billers.protocols import wires
from app.billers.protocols.answers import InquiryError, Order, WebhookError
from app.billers.protocols.file_lines import (
    LINE_BYTES_MOST,
    FileRefusedError,
    Head,
    Payable,
    read_answer,
    read_customers,
    written,
)
from app.billers.protocols.files import ANSWER_BYTES_MOST, DayFiles, OtherFileError
from app.markets.billers import Biller
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials, Settings
from sandbox.billers.batches import read_batch
from tests.billers.stage import market_with

KES, IDR = Currency("KES", 2), Currency("IDR", 0)
HEAD = Head("school", "school-20261127-01", date(2026, 11, 27))
PAYABLES = (
    Payable("0198c0ffee01", "100234", 123_450, "GRACE KAMAU", "FEES"),
    Payable("0198c0ffee02", "100235", 5, 'O"NEIL, PAT', "FEES"),
    Payable("0198c0ffee03", "100236", 50_000, "", "FEES"),
)
OURS = {one.reference: one.amount_minor for one in PAYABLES}
FILE = b"""\
H,KIBANDA,school,school-20261127-01,2026-11-27,KES
D,0198c0ffee01,100234,1234.50,GRACE KAMAU,FEES
D,0198c0ffee02,100235,0.05,"O""NEIL, PAT",FEES
D,0198c0ffee03,100236,500.00,,FEES
T,3,1734.55
"""
ANSWER = b"""\
H,SCHOOL,school-20261127-01
A,0198c0ffee01,1234.50,ACCEPTED,R-2026/77
A,0198c0ffee02,0.05,REJECTED,UNKNOWN
T,2,1234.50
"""


@pytest.fixture(scope="module")
def rules(demo: Market) -> Biller:
    (product,) = demo.billers["stima"].products
    fees = product.model_copy(update={"code": "fees", "sells": "service"})
    changes: dict[str, Any] = {
        "family": "file", "silence_policy": "wait", "cut_off": time(18), "products": (fees,),
        "refused_codes": ("UNKNOWN", "LEFT"), "refused_first_codes": (),
        "ask_after_seconds": (86_400,), "manual_after_seconds": 259_200,
    }  # fmt: skip
    return market_with(demo, "school", **changes).billers["school"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def files(rules: Biller, folder: Path) -> DayFiles:
    account = BillerCredentials.model_validate(
        {"url": folder.as_uri(), "username": "", "api_key": ""}
    )
    return DayFiles("school", rules, account, KES)


# ---- ours


def test_our_file_to_the_byte() -> None:
    assert written(HEAD, PAYABLES, KES) == FILE
    assert written(HEAD, PAYABLES[:1], IDR).splitlines()[1:] == [
        b"D,0198c0ffee01,100234,123450,GRACE KAMAU,FEES",
        b"T,1,123450",
    ]


def test_the_sandbox_reads_it_as_it_is_meant() -> None:
    name, payments = read_batch(FILE.decode())
    assert name == HEAD.name
    assert [(one.ref, one.customer_no, int(one.amount * 100), one.sku) for one in payments] == [
        (one.reference, one.customer_no, one.amount_minor, one.sku) for one in PAYABLES
    ]


def test_it_is_written_whole_and_once(files: DayFiles, folder: Path) -> None:
    assert files.can_write
    files.put(HEAD.name, FILE)
    (path,) = (folder / "out").iterdir()
    assert (path.name, path.read_bytes()) == ("school-20261127-01.csv", FILE)
    before = path.stat()
    files.put(HEAD.name, FILE)
    assert path.stat().st_ino == before.st_ino, "what is there is not written again"


def test_another_file_of_its_name_is_not_touched(files: DayFiles, folder: Path) -> None:
    path = folder / "out" / f"{HEAD.name}.csv"
    path.write_bytes(b"theirs")
    with pytest.raises(OtherFileError):
        files.put(HEAD.name, FILE)
    assert path.read_bytes() == b"theirs"


def test_what_a_killed_writer_left_is_cleared_away(files: DayFiles, folder: Path) -> None:
    (folder / "out" / f"{HEAD.name}.csv.0badcafe.part").write_bytes(FILE[:50])
    (folder / "out" / "school-20261127-02.csv.0badcafe.part").write_bytes(b"another's")
    files.put(HEAD.name, FILE)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        f"{HEAD.name}.csv",
        "school-20261127-02.csv.0badcafe.part",
    ]


def test_what_was_taken_away_and_answered_does_not_come_again(
    files: DayFiles, folder: Path
) -> None:
    files.answer_path(HEAD.name).write_bytes(ANSWER)
    files.put(HEAD.name, FILE)
    assert not list((folder / "out").iterdir())


def test_many_writers_leave_one_whole_file(files: DayFiles, folder: Path) -> None:
    content = FILE * 2000

    def put() -> None:
        try:
            files.put(HEAD.name, content)
        except FileNotFoundError:
            return  # another one was quicker and cleared up; the next round sees its file

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files.put(HEAD.name, content)
    assert [path.read_bytes() for path in (folder / "out").iterdir()] == [content]


# ---- theirs


def test_their_answer(rules: Biller) -> None:
    accepted, rejected = read_answer(ANSWER, HEAD, OURS, KES)
    paid = accepted.judge(rules, HEAD.name)
    assert (paid.outcome, paid.code, paid.receipt_no) == ("paid", "ACCEPTED", "R-2026/77")
    back = rejected.judge(rules, HEAD.name)
    assert (back.outcome, back.code) == ("refused", "UNKNOWN")
    assert {paid.biller_txn, back.biller_txn} == {HEAD.name}


def test_a_reason_that_the_file_does_not_list_is_no_refusal(rules: Biller) -> None:
    other = ANSWER.replace(b"UNKNOWN", b"TRY_AGAIN")
    answer = read_answer(other, HEAD, OURS, KES)[1].judge(rules, HEAD.name)
    assert (answer.outcome, answer.reason, answer.code) == (
        "unknown", "code_not_final", "TRY_AGAIN",
    )  # fmt: skip


def test_amounts_are_compared_and_not_their_digits() -> None:
    short = ANSWER.replace(b"1234.50", b"1234.5")
    assert len(read_answer(short, HEAD, OURS, KES)) == 2


def changed(old: bytes, new: bytes) -> bytes:
    assert old in ANSWER
    return ANSWER.replace(old, new)


FIRST = b"A,0198c0ffee01,1234.50,ACCEPTED,R-2026/77\n"
REFUSED: list[tuple[bytes, int, str]] = [
    (b"", 1, "cut_off"),
    (ANSWER[:-1], 4, "cut_off"),
    (ANSWER[:60], 2, "cut_off"),
    (changed(b"T,2,1234.50\n", b""), 4, "trailer_missing"),
    (changed(b"H,SCHOOL", b"H,CLINIC"), 1, "header_wrong"),
    (changed(b"H,SCHOOL,", b"H,SCHOOL,x,"), 1, "header_wrong"),
    (changed(b"-01\n", b"-02\n"), 1, "other_batch"),
    (changed(b"A,0198c0ffee02", b"A,0198c0ffee09"), 3, "not_ours"),
    (changed(b"A,0198c0ffee02,0.05", b"A,0198c0ffee01,1234.50"), 3, "twice"),
    (changed(b"1234.50,ACC", b"1234.51,ACC"), 2, "other_amount"),
    (changed(b"1234.50,ACC", b"-1234.50,ACC"), 2, "other_amount"),
    (changed(b"1234.50,ACC", b"1234.500,ACC"), 2, "other_amount"),
    (changed(b"0.05", "٠.٠٥".encode()), 3, "other_amount"),
    (changed(b"ACCEPTED", b"accepted"), 2, "word_wrong"),
    (changed(b"ACCEPTED", b"PENDING"), 2, "word_wrong"),
    (changed(b"R-2026/77", b""), 2, "word_wrong"),
    (changed(b"R-2026/77", b"R" * 41), 2, "word_wrong"),
    (changed(b"UNKNOWN", b""), 3, "word_wrong"),
    (changed(b"UNKNOWN", b"not known"), 3, "word_wrong"),
    (changed(b",R-2026/77", b""), 2, "form_wrong"),
    (changed(b"A,0198c0ffee02", b"D,0198c0ffee02"), 3, "form_wrong"),
    (changed(b"T,2", b"T,3"), 4, "count_wrong"),
    (changed(b"T,2", b"T,x"), 4, "count_wrong"),
    (changed(b"T,2,1234.50", b"T,2,1234.50,"), 4, "count_wrong"),
    (changed(b"T,2,1234.50", b"T,2,1234.55"), 4, "total_wrong"),
    (changed(b"T,2,1234.50", b"T,2,"), 4, "total_wrong"),
    (ANSWER + FIRST, 5, "after_the_trailer"),
    (ANSWER + b"\n", 5, "length_wrong"),
    (changed(b"\n", b"\r\n"), 1, "line_end_wrong"),
    (changed(b"R-2026/77", b"R\xff"), 2, "not_utf8"),
    (changed(b"R-2026/77", b'"R"77"'), 2, "not_csv"),
    (changed(b"R-2026/77", b'"R\n77"'), 2, "not_csv"),
    (changed(b"R-2026/77", b"R" * LINE_BYTES_MOST), 2, "length_wrong"),
    (b"\x00\n", 1, "header_wrong"),
    (b"<html>\n", 1, "header_wrong"),
]


@pytest.mark.parametrize(("raw", "line", "reason"), REFUSED)
def test_what_is_wrong_is_refused_with_its_line(raw: bytes, line: int, reason: str) -> None:
    with pytest.raises(FileRefusedError) as raised:
        read_answer(raw, HEAD, OURS, KES)
    assert (raised.value.line, raised.value.reason) == (line, reason)


def test_an_answer_is_bounded(files: DayFiles) -> None:
    assert files.answer_stamp(HEAD.name) is None
    with files.answer_path(HEAD.name).open("wb") as file:
        file.truncate(ANSWER_BYTES_MOST + 1)
    assert files.answer_stamp(HEAD.name)
    with pytest.raises(FileRefusedError, match="too_large"):
        files.answer(HEAD.name)


# ---- whose number it is


CUSTOMERS = b"""\
customer_no,name,owed
100234,GRACE  KAMAU,1500.50
ab123,"WANJIRU, <b>AMINA",
100236,,10
100237,JUMA OTIENO,much
100238,ZAWADI KIOSK,10.505
"""


def find(files: DayFiles, rules: Biller, number: str) -> tuple[str, int | None] | None:
    bill = files.inquire(rules.products[0], number, "")
    assert bill is None or bill.customer_no == number
    return (bill.name, bill.owed_minor) if bill else None


def refusal(call: Callable[[], object]) -> tuple[str, bool, bool]:
    with pytest.raises(InquiryError) as raised:
        call()
    return raised.value.reason, raised.value.slow, raised.value.in_format


def test_customers_by_their_list(files: DayFiles, rules: Biller, folder: Path) -> None:
    path = folder / "in" / "customers.csv"
    assert refusal(lambda: find(files, rules, "100234")) == ("customers_missing", False, False)
    path.write_bytes(CUSTOMERS)
    assert find(files, rules, "100234") == ("GRACE KAMAU", 150_050)
    assert find(files, rules, "AB123") == ("WANJIRU, b AMINA", None)
    assert find(files, rules, "100235") is None
    assert refusal(lambda: find(files, rules, "100236")) == ("nameless", False, True)
    for number in ("100237", "100238"):
        assert refusal(lambda n=number: find(files, rules, n)) == ("owed_unreadable", False, True)


def test_a_new_list_is_seen_and_a_wrong_one_refused(
    files: DayFiles, rules: Biller, folder: Path
) -> None:
    path = folder / "in" / "customers.csv"
    path.write_bytes(CUSTOMERS)
    assert find(files, rules, "100235") is None
    path.write_bytes(CUSTOMERS + b"100235,JUMA OTIENO,\n")
    assert find(files, rules, "100235") == ("JUMA OTIENO", None)
    path.write_bytes(CUSTOMERS + b"100235,JUMA OTI")
    assert refusal(lambda: find(files, rules, "100234")) == ("customers_refused", False, False)
    path.write_bytes(CUSTOMERS)
    assert find(files, rules, "100234") == ("GRACE KAMAU", 150_050)


def test_a_list_put_in_the_place_of_another_is_seen(
    files: DayFiles, rules: Biller, folder: Path
) -> None:
    path, renewed = folder / "in" / "customers.csv", folder / "in" / "customers.new"
    path.write_bytes(CUSTOMERS)
    assert find(files, rules, "100234") == ("GRACE KAMAU", 150_050)
    renewed.write_bytes(CUSTOMERS.replace(b"GRACE", b"ZAWAD"))
    os.utime(renewed, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    renewed.replace(path)
    assert find(files, rules, "100234") == ("ZAWAD KAMAU", 150_050)


def test_a_list_is_read_once(files: DayFiles, rules: Biller, folder: Path) -> None:
    path = folder / "in" / "customers.csv"
    path.write_bytes(CUSTOMERS)
    assert find(files, rules, "100234")
    stamp = path.stat()
    with path.open("r+b") as file:  # another name in the same place, at the same time
        file.write(CUSTOMERS.replace(b"GRACE", b"ZAWAD"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert find(files, rules, "100234") == ("GRACE KAMAU", 150_050)


def test_a_list_that_cannot_be_read(files: DayFiles, rules: Biller, folder: Path) -> None:
    (folder / "in" / "customers.csv").mkdir()
    unreadable = ("customers_unreadable", False, False)
    assert refusal(lambda: find(files, rules, "100234")) == unreadable


@pytest.mark.parametrize(
    ("raw", "line", "reason"),
    [
        (b"", 1, "header_wrong"),
        (b"number,name,owed\n", 1, "header_wrong"),
        (CUSTOMERS.replace(b",1500.50", b""), 2, "form_wrong"),
        (CUSTOMERS.replace(b"100234", b"100 234"), 2, "form_wrong"),
        (CUSTOMERS.replace(b"100234", b""), 2, "form_wrong"),
        (CUSTOMERS.replace(b"100236", b"AB123"), 4, "twice"),
        (CUSTOMERS.replace(b"GRACE", b"\xff"), 2, "not_utf8"),
        (CUSTOMERS[:-1], 6, "cut_off"),
        (b"customer_no,name\n1," + b"x" * LINE_BYTES_MOST + b"\n", 2, "cut_off"),
    ],
)
def test_a_list_that_is_not_as_agreed(raw: bytes, line: int, reason: str) -> None:
    with pytest.raises(FileRefusedError) as raised:
        read_customers(BytesIO(raw))
    assert (raised.value.line, raised.value.reason) == (line, reason)


def test_a_list_is_bounded() -> None:
    assert len(read_customers(BytesIO(CUSTOMERS), most=5)) == 5
    with pytest.raises(FileRefusedError) as raised:
        read_customers(BytesIO(CUSTOMERS), most=4)
    assert (raised.value.line, raised.value.reason) == (6, "too_many_lines")


# ---- as a family


def test_nobody_is_called(files: DayFiles) -> None:
    order = Order("0198c0ffee", "FEES", "100234", 50_000, sells_token=False)
    assert files.pay(order).outcome == files.follow_up(order).outcome == "unknown"
    with pytest.raises(WebhookError):
        files.hear({}, b"{}", datetime.now(UTC))


@pytest.mark.parametrize("url", ["file://host/x", "http://127.0.0.1/x", "file:x", "/x", "file://"])
def test_its_address_is_a_folder(rules: Biller, demo: Market, url: str) -> None:
    market = demo.model_copy(update={"billers": {"school": rules}})
    account = {"url": url, "username": "", "api_key": ""}
    settings = Settings.model_validate({"biller_credentials": {"school": account}})
    with pytest.raises(ValueError, match="file:///"):
        wires(market, settings)
