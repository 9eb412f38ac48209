"""The comparison: what each line of a biller's file is to what we captured."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.billers.reconciliation.desk import DAY, NOW, Desk, PaymentRow, at, line

NEXT = DAY + timedelta(days=1)
LATER = NOW + timedelta(days=1)


def test_what_both_have_is_matched_and_counted(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000), PaymentRow("B", 120_050))
    run = desk.compare(line("A"), line("B", "1200.50"), line("C", status="PENDING"))
    assert (run.lines, run.ignored, run.matched, run.matched_minor) == (3, 1, 2, 170_050)
    assert run.total_minor == 170_050
    assert desk.found(run) == []


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("sent", "undecided"),
        ("unknown", "undecided"),
        ("manual", "undecided"),
        ("released", "released"),
        ("cancelled", "cancelled"),
        ("held", "held"),
        ("returned", "returned"),
    ],
)
def test_what_we_have_not_captured_is_only_theirs(desk: Desk, state: str, why: str) -> None:
    desk.have(PaymentRow("A", 50_000, state))
    assert desk.found(desk.compare(line("A"))) == [("only_theirs", why, "A")]


def test_a_late_sale_is_owed_hence_matched(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000, "paid_late"))
    assert desk.compare(line("A")).matched == 1


def test_all_four_kinds_in_one_file(desk: Desk) -> None:
    desk.have(*(PaymentRow(name, 50_000) for name in ("A", "B", "M")))
    desk.have(PaymentRow("X", 50_000, biller="maji"))
    run = desk.compare(line("A"), line("B", "499.00"), line("A"), line("X"), line("Z"))
    assert desk.found(run) == [
        ("different", "amount", "B"),
        ("duplicate", "twice", "A"),
        ("only_theirs", "not_ours", "X"),
        ("only_theirs", "not_ours", "Z"),
        ("only_ours", "missing", "M"),
    ]
    assert run.matched == 1


def test_a_sale_that_is_taken_back_is_missing_with_its_reason(desk: Desk) -> None:
    desk.have(*(PaymentRow(name, 50_000) for name in "ABCD"))
    desk.have(PaymentRow("E", 50_000, "returned"), PaymentRow("F", 50_000, "released"))
    run = desk.compare(
        line("A"), line("A", status="REV"),  # sold and taken back
        line("A", status="REV"),             # and once more
        line("B", "1.00"), line("B", "1.00", status="REV"), line("B"),  # corrected
        line("C", "400.00", status="REV"),   # another amount
        line("C"),
        line("D", status="REV"),             # of an earlier day
        line("E", status="REV"), line("F", status="REV"),  # that is what we have
    )  # fmt: skip
    assert desk.found(run) == [
        ("only_ours", "taken_back", "A"),
        ("different", "taken_back", "C"),
        ("only_ours", "taken_back", "D"),
    ]
    assert run.matched == 2


@pytest.mark.parametrize(
    ("sent", "settled", "own_day", "next_day"),
    [
        # Whole in its day: missing today, and stranger in tomorrow's file.
        (at("09:00"), at("09:01"), "missing", "day"),
        # It may stand in either file, so the first is silent, and the second decides.
        (at("23:59"), at("00:01", NEXT), "", "matched"),
        (at("23:45"), at("23:46"), "", "matched"),
        (at("00:10", NEXT), at("00:11", NEXT), "", "matched"),
    ],
)
def test_a_sale_near_midnight_is_looked_for_in_both_files(
    desk: Desk, sent: datetime, settled: datetime, own_day: str, next_day: str
) -> None:
    desk.have(PaymentRow("A", 50_000, sent_at=sent, settled_at=settled))
    first = desk.compare()
    assert [why for _, why, _ in desk.found(first)] == ([own_day] if own_day else [])
    second = desk.compare(line("A", day=NEXT), day=NEXT, now=LATER)
    assert second.matched == (next_day == "matched")
    assert [why for _, why, _ in desk.found(second)] == (
        [] if next_day == "matched" else [next_day]
    )


def test_near_midnight_the_earlier_file_may_have_it_and_the_later_one_does_not_miss_it(
    desk: Desk,
) -> None:
    desk.have(
        PaymentRow("A", 50_000, sent_at=at("23:59"), settled_at=at("00:01", NEXT)),
        PaymentRow("B", 50_000, sent_at=at("23:59"), settled_at=at("00:01", NEXT)),
    )
    assert desk.compare(line("A")).matched == 1
    run = desk.compare(day=NEXT, now=LATER)
    assert desk.found(run) == [("only_ours", "missing", "B")]


def test_a_payment_is_in_one_file_only(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000, sent_at=at("23:59"), settled_at=at("00:01", NEXT)))
    desk.compare(line("A"))
    run = desk.compare(line("A", day=NEXT), day=NEXT, now=LATER)
    assert desk.found(run) == [("duplicate", "other_file", "A")]


def test_files_out_of_order_find_what_was_missed(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000, sent_at=at("23:59"), settled_at=at("00:01", NEXT)))
    late = desk.compare(day=NEXT, now=LATER)
    assert desk.found(late) == [("only_ours", "missing", "A")]
    assert desk.compare(line("A"), now=LATER).matched == 1
    assert desk.settle() == 1
    assert desk.outcomes() == {"A": "found"}


def test_what_is_decided_later_ends_its_exception_and_is_not_missed(desk: Desk) -> None:
    sold = PaymentRow("A", 50_000, "manual", settled_at=at("10:00", NEXT))
    back = PaymentRow("B", 50_000)
    desk.have(sold, back)
    desk.compare(line("A"))
    assert desk.outcomes() == {"A": None, "B": None}
    desk.set_state(sold, "captured")
    desk.set_state(back, "returned")
    assert desk.settle() == 2
    assert desk.settle() == 0
    assert desk.outcomes() == {"A": "captured", "B": "returned"}
    assert desk.found(desk.compare(day=NEXT, now=LATER)) == []


def test_one_that_was_different_is_not_missing_the_next_day(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000, sent_at=at("23:59"), settled_at=at("00:01", NEXT)))
    desk.compare(line("A", "400.00"))
    assert desk.found(desk.compare(day=NEXT, now=LATER)) == []
