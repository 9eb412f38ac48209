"""The biller that is paid by file: our folder, its answers, its list of customers."""

from __future__ import annotations

import csv
from itertools import count
from pathlib import Path

import pytest

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import new_ref, sold

_batches = count(1)


def put(billers: Sandbox, *payments: tuple[str, str, str], stem: str = "") -> str:
    """A file of ours, whole at once; its stem."""
    stem = stem or f"shule-20261127-{next(_batches):02d}"
    total = sum(float(amount) for _, _, amount in payments)
    lines = [
        f"H,KIBANDA,shule,{stem},2026-11-27,KES",
        *(f'D,{ref},{number},{amount},"Otieno, Juma",fees' for ref, number, amount in payments),
        f"T,{len(payments)},{total:.2f}",
    ]
    part = folder(billers) / "out" / f"{stem}.part"
    part.write_text("".join(f"{line}\n" for line in lines))
    part.rename(part.with_suffix(".csv"))
    return stem


def folder(billers: Sandbox) -> Path:
    return billers.data / "files"


def answer(billers: Sandbox, stem: str) -> str:
    path = folder(billers) / "in" / f"{stem}.answer.csv"
    wait_until(path.exists)
    return path.read_text()


def owed(billers: Sandbox) -> dict[str, str]:
    with (folder(billers) / "in" / "customers.csv").open() as file:
        return {row["customer_no"]: row["owed"] for row in csv.DictReader(file)}


def test_a_batch_is_booked_line_by_line(billers: Sandbox) -> None:
    good, unknown, too_much = new_ref(), new_ref(), new_ref()
    before = owed(billers)
    stem = put(
        billers,
        (good, "100001", "100.50"),
        (unknown, "999999", "10.00"),
        (too_much, "100002", "99999.00"),
    )
    told = answer(billers, stem)
    (sale,) = sold(billers, "shule", good)
    assert told == (
        f"H,shule,{stem}\n"
        f"A,{good},100.50,ACCEPTED,{sale['receipt']}\n"
        f"A,{unknown},10.00,REJECTED,UNKNOWN\n"
        f"A,{too_much},99999.00,REJECTED,AMOUNT\n"
        "T,3,100.50\n"
    )
    assert (sale["customer_no"], sale["amount"], sale["sku"]) == ("100001", "100.50", "fees")
    wait_until(lambda: owed(billers) != before)
    assert float(owed(billers)["100001"]) == float(before["100001"]) - 100.5


def test_the_customer_list(billers: Sandbox) -> None:
    with (folder(billers) / "in" / "customers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 180
    assert {len(row["customer_no"]) for row in rows} == {6}
    assert not [row for row in rows if row["customer_no"].endswith("9")]
    assert [row["owed"] for row in rows if row["customer_no"].endswith("08")] == ["0.00"] * 2


def test_a_reference_is_booked_once_whatever_file_it_comes_in(billers: Sandbox) -> None:
    ref = new_ref()
    first = answer(billers, put(billers, (ref, "100003", "20.00")))
    second = answer(billers, put(billers, (ref, "100003", "20.00")))
    assert first.splitlines()[1:] == second.splitlines()[1:]
    assert len(sold(billers, "shule", ref)) == 1


def test_a_file_that_is_not_as_agreed_is_left(billers: Sandbox) -> None:
    ref = new_ref()
    wrong = folder(billers) / "out" / "shule-wrong.csv"
    wrong.write_text(f"H,KIBANDA,shule,b,2026-11-27,KES\nD,{ref},100001,5.00,x,fees\nT,1,6.00\n")
    answer(billers, put(billers, (new_ref(), "100003", "1.00"), stem="shule-z-later"))
    assert not (folder(billers) / "in" / "shule-wrong.answer.csv").exists()
    assert sold(billers, "shule", ref) == []
    wrong.unlink()


@pytest.mark.parametrize("kind", ["no_answer", "lost_reply"])
def test_no_answer_comes_until_the_faults_are_cleared(billers: Sandbox, kind: str) -> None:
    ref = new_ref()
    billers.fault("biller:shule", kind)
    stem = put(billers, (ref, "100004", "5.00"))
    wait_until(lambda: billers.get("/faults").json() == [])
    if kind == "lost_reply":
        wait_until(lambda: sold(billers, "shule", ref))
    answer(billers, put(billers, (new_ref(), "100004", "1.00")))
    assert not (folder(billers) / "in" / f"{stem}.answer.csv").exists()
    assert len(sold(billers, "shule", ref)) == (kind == "lost_reply")
    billers.clear_faults()
    assert f"A,{ref},5.00,ACCEPTED" in answer(billers, stem)
    assert len(sold(billers, "shule", ref)) == 1


@pytest.mark.parametrize(
    ("kind", "part", "sales"),
    [
        ("wrong_body", "our new fee structure", 0),
        ("wrong_amount", ",6.00,ACCEPTED", 1),
        ("malformed", "H,shule", 1),
    ],
)
def test_a_spoiled_answer_is_written_anew_once_cleared(
    billers: Sandbox, kind: str, part: str, sales: int
) -> None:
    ref = new_ref()
    billers.fault("biller:shule", kind)
    stem = put(billers, (ref, "100005", "5.00"))
    spoiled = answer(billers, stem)
    assert part in spoiled
    assert spoiled.endswith("\n") == (kind != "malformed")
    assert len(sold(billers, "shule", ref)) == sales
    billers.clear_faults()
    wait_until(lambda: f"A,{ref},5.00,ACCEPTED" in answer(billers, stem))
    assert len(sold(billers, "shule", ref)) == 1


def test_refused_wholly_and_a_line_left_out(billers: Sandbox) -> None:
    first, second = new_ref(), new_ref()
    billers.fault("biller:shule", "refuse")
    refused = answer(billers, put(billers, (first, "100006", "5.00")))
    assert refused.splitlines()[1:] == [f"A,{first},5.00,REJECTED,CLOSED", "T,1,0.00"]
    left_out, kept = new_ref(), second
    billers.fault("biller:shule", "missing_line")
    told = answer(billers, put(billers, (left_out, "100006", "5.00"), (kept, "100006", "6.00")))
    assert left_out not in told
    assert told.endswith("T,1,6.00\n")
    assert (sold(billers, "shule", first), sold(billers, "shule", left_out)) == ([], [])
