"""What can be done about an exception, by whom, and what it posts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.billers import refunds, resolution
from app.billers.reconciliation import acting, exceptions
from app.billers.reconciliation.runs import Run
from app.errors import DomainError
from app.staff import biller_cases
from app.wallet import ledger
from app.wallet.keys import new_key
from tests.billers.reconciliation.desk import BILLER, DAY, NOW, Desk, PaymentRow, line
from tests.billers.reconciliation.test_files import refusal
from tests.wallet.test_ledger_races import together

OWED = f"settlement:{BILLER}"


def only(desk: Desk, *lines: str) -> str:
    """The name of the only exception of a file."""
    return _named(desk, desk.compare(*lines))


def _named(desk: Desk, run: Run) -> str:
    ((at, one),) = desk.run(lambda session: exceptions.of_run(session, run))
    return exceptions.named(at, one)


def about(name: str) -> Callable[[Session], Any]:
    return lambda session: biller_cases.about_write_off(session, name)


def moved(desk: Desk, act: Callable[[], object]) -> dict[str, int]:
    """What an action moved, by account."""

    def now() -> dict[str, int]:
        names = (OWED, "suspense:late", "suspense:returned")
        return {name: desk.house(name) for name in names} | {"operator": desk.own()}

    before = now()
    act()
    return {name: minor - before[name] for name, minor in now().items() if minor != before[name]}


@pytest.mark.parametrize(
    ("ours", "theirs", "moves"),
    [
        (PaymentRow("A", 50_000), [], {OWED: -50_000, "operator": 50_000}),
        (PaymentRow("A", 50_000), [line("A", "400.00")], {OWED: -10_000, "operator": 10_000}),
        (PaymentRow("A", 50_000), [line("A", "600.00")], {OWED: 10_000, "operator": -10_000}),
        (PaymentRow("A", 50_000, "cancelled"), [line("A")], {OWED: 50_000, "operator": -50_000}),
        (None, [line("A")], {OWED: 50_000, "operator": -50_000}),
        (PaymentRow("A", 50_000), [line("A"), line("A")], {OWED: 50_000, "operator": -50_000}),
        (
            PaymentRow("A", 50_000, "returned"),
            [line("A")],
            {"suspense:returned": -50_000, OWED: 50_000},
        ),
    ],
    ids=["only ours", "less", "more", "cancelled", "not ours", "twice", "returned"],
)
def test_a_write_off_posts_between_the_house_and_the_operator(
    desk: Desk, ours: PaymentRow | None, theirs: list[str], moves: dict[str, int]
) -> None:
    desk.owe(200_000, NOW)
    desk.owe(-50_000, NOW)
    desk.pay_in(60_000)
    if ours:
        desk.have(ours)
    name = only(desk, *theirs)
    case = desk.propose("report_write_off", about(name))
    assert moved(desk, lambda: desk.approve(case)) == moves
    assert desk.outcomes() == {"A": "written_off"}
    assert desk.told() == (["payment_stands"] if "suspense:returned" in moves else [])
    assert refusal(lambda: desk.run(about(name))) == ("exception_done", {"outcome": "written_off"})
    assert desk.run(ledger.verify) == []


def test_the_operator_must_have_it(desk: Desk) -> None:
    desk.pay_in(1)
    name = only(desk, line("A", "9000000.00"))
    case = desk.propose("report_write_off", about(name))
    assert refusal(lambda: desk.approve(case))[0] == "operator_funds_short"
    assert desk.outcomes() == {"A": None}


def test_what_was_decided_since_is_not_written_off(desk: Desk) -> None:
    """Else the biller's money would go to suspense and to the operator."""
    one = PaymentRow("A", 50_000)
    desk.have(one)
    case = desk.propose("report_write_off", about(only(desk)))
    desk.set_state(one, "returned")
    assert refusal(lambda: desk.approve(case))[0] == "exception_changed"
    assert desk.outcomes() == {"A": None}


def test_maker_and_checker_are_two(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000))
    case = desk.propose("report_write_off", about(only(desk)))
    assert refusal(lambda: desk.approve(case, by=0))[0] == "same_person"
    itself = text(
        "UPDATE cases SET state = 'approved', checker_id = maker_id, checker = maker,"
        " decided_at = now() WHERE reference = :reference"
    )
    with pytest.raises(DBAPIError, match="cases_four_eyes"):
        desk.run(lambda session: session.execute(itself, {"reference": case}))


def test_the_database_lets_nothing_out_but_what_a_case_says(desk: Desk) -> None:
    """Not without an approved case, not more than it names, not to a person."""
    desk.owe(200_000, NOW)
    desk.have(PaymentRow("A", 50_000), PaymentRow("B", 50_000))
    run = desk.compare(line("B"))
    assert desk.found(run) == [("only_ours", "missing", "A")]
    case = desk.propose("report_write_off", about(f"{run.reference}-1"))
    (case_id,) = desk.rows("SELECT id FROM cases WHERE reference = :one", one=case)[0]

    def post(session: Session, amount_minor: int) -> str | None:
        owed = ledger.house_account(session, OWED, "KES")
        own = ledger.operator_account(session, "KES")
        posting = ledger.Posting(
            new_key(),
            "write_off_gain",
            (ledger.Move(owed, own, amount_minor),),
            authority=f"case:{case_id}",
        )
        return ledger.post(session, [posting], now=NOW)[0].refusal

    assert desk.run(partial(post, amount_minor=50_000)) == "authority_invalid"
    approve = text(
        "UPDATE cases SET state = 'approved', checker_id = :id, checker = :name,"
        " decided_at = now() WHERE id = :case"
    )
    two = desk.staff()[1]
    facts = {"id": two.id, "name": two.name, "case": case_id}
    desk.run(lambda session: session.execute(approve, facts))
    assert desk.run(partial(post, amount_minor=50_001)) == "authority_invalid"
    assert desk.run(partial(post, amount_minor=50_000)) is None
    assert desk.run(partial(post, amount_minor=50_000)) == "authority_used"


def test_a_claim_stays_open_and_may_still_be_written_off(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000))
    name = only(desk)

    def claim(session: Session, note: str = "letter 12 to Stima") -> None:
        acting.claim(session, name, note=note, by="asha", now=NOW)

    assert refusal(lambda: desk.run(partial(claim, note="x")))[0] == "evidence_missing"
    desk.run(claim)
    ((_, one),) = desk.run(lambda session: exceptions.open_ones(session, BILLER))
    assert (one.state, one.note, one.claimed_by) == ("open", "letter 12 to Stima", "asha")
    assert desk.run(about(name)).facts["amount_minor"] == 50_000


def test_closing_takes_two_and_moves_nothing(desk: Desk) -> None:
    name = only(desk, line("A"))
    case = desk.propose("report_close", lambda session: biller_cases.about_closing(session, name))
    assert moved(desk, lambda: desk.approve(case)) == {}
    assert desk.outcomes() == {"A": "closed"}


def test_only_what_fits_can_be_done(desk: Desk) -> None:
    name = only(desk, line("A"))
    code, facts = refusal(lambda: desk.run(lambda s: acting.ask(s, name, NOW)))
    assert (code, facts["fitting"]) == ("exception_action", "claim, write_off, close")
    for typed in ("", "ZZZZZZZZ-1", f"{name}0", name.split("-")[0]):
        code, _ = refusal(lambda: desk.run(about(typed)))  # noqa: B023
        assert code == "exception_unknown"


def test_asking_again_makes_it_due(desk: Desk) -> None:
    one = PaymentRow("A", 50_000, "unknown")
    desk.have(one)
    name = only(desk, line("A"))
    before = desk.rows("SELECT due_at FROM payments WHERE id = :id", id=one.id)[0].due_at
    desk.run(lambda session: acting.ask(session, name, NOW))
    assert desk.rows("SELECT due_at FROM payments WHERE id = :id", id=one.id)[0].due_at != before
    desk.set_state(one, "manual")
    code, _ = refusal(lambda: desk.run(lambda session: acting.ask(session, name, NOW)))
    assert code == "payment_manual"


def test_a_file_is_evidence_that_two_people_act_on(desk: Desk) -> None:
    one = PaymentRow("A", 50_000, "released")
    desk.have(one)
    desk.pay_in(60_000)
    name = only(desk, line("A"))
    token = "12345678901234567890"

    def propose(session: Session) -> str:
        return acting.propose_captured(
            session, name, token=token, evidence="in their file", maker="asha", now=NOW
        )

    reference = desk.run(propose)
    (told,) = desk.rows("SELECT evidence, outcome FROM payment_resolutions")
    assert told.outcome == "paid_late"
    assert told.evidence.endswith(".csv, line 2)")

    def approve(session: Session, checker: str) -> object:
        return resolution.approve(session, desk.market, reference, checker=checker, now=NOW)

    assert refusal(lambda: desk.run(partial(approve, checker="asha")))[0] == "same_person"
    late = moved(desk, lambda: desk.run(partial(approve, checker="baraka")))
    assert late == {"suspense:late": -50_000, OWED: 50_000}
    assert desk.settle() == 1
    assert desk.outcomes() == {"A": "captured"}

    borne = desk.propose("late_sale", lambda s: biller_cases.about_late_sale(s, reference))
    again = moved(desk, lambda: desk.approve(borne))
    assert again == {"operator": -50_000, "suspense:late": 50_000}
    twice = desk.propose("late_sale", lambda s: biller_cases.about_late_sale(s, reference))
    assert refusal(lambda: desk.approve(twice))[0] == "made_good_before"
    assert desk.run(ledger.verify) == []


def test_another_amount_is_no_evidence(desk: Desk) -> None:
    desk.have(PaymentRow("A", 50_000, "manual"))
    name = only(desk, line("A", "499.00"))
    captured = partial(
        acting.propose_captured, name=name, token=None, evidence="file", maker="asha", now=NOW
    )
    assert refusal(lambda: desk.run(captured))[0] == "exception_amounts"


def test_a_sale_that_never_was_is_returned_by_two(desk: Desk) -> None:
    desk.owe(50_000, NOW)
    one = PaymentRow("A", 50_000)
    desk.have(one)
    name = only(desk)

    def propose(session: Session) -> str:
        return acting.propose_returned(
            session, name, evidence="they never sold it", maker="asha", now=NOW
        )

    reference = desk.run(propose)
    back = moved(
        desk,
        lambda: desk.run(
            lambda s: resolution.approve(s, desk.market, reference, checker="baraka", now=NOW)
        ),
    )
    assert back == {OWED: -50_000, "suspense:returned": 50_000}
    assert desk.told() == ["payment_returned"]
    desk.settle()
    assert desk.outcomes() == {"A": "returned"}


def test_what_waits_in_suspense_goes_to_the_biller_or_to_the_payer(desk: Desk) -> None:
    """A payer who has the money again keeps it; the operator bears what was sold after all."""
    desk.owe(50_000, NOW)
    desk.owe(-50_000, NOW)
    desk.pay_in(50_000)
    one = PaymentRow("A", 50_000, "returned")
    desk.have(one)
    name = only(desk, line("A"))
    early = desk.propose("report_write_off", about(name))
    desk.rows("UPDATE payments SET refunded_at = now() WHERE id = :id RETURNING 1", id=one.id)
    assert refusal(lambda: desk.approve(early))[0] == "sale_refunded"
    desk.withdraw(early)
    case = desk.propose("report_write_off", about(name))
    assert moved(desk, lambda: desk.approve(case)) == {OWED: 50_000, "operator": -50_000}
    assert desk.told() == []


def test_what_waits_in_suspense_goes_to_the_biller_once(desk: Desk) -> None:
    """Two days' files have it, and both lines were proposed before one was approved."""
    desk.owe(100_000, NOW)
    desk.owe(-100_000, NOW)
    one = PaymentRow("A", 50_000, "returned")
    desk.have(one)
    both = [
        desk.propose(
            "report_write_off", about(_named(desk, desk.compare(line("A", day=day), day=day)))
        )
        for day in (DAY, DAY - timedelta(days=1))
    ]
    desk.approve(both[0])
    assert refusal(lambda: desk.approve(both[1]))[0] == "sale_written_off"
    found = refusal(lambda: desk.run(lambda s: refunds.refundable(s, desk.reference(one))))
    assert found[0] == "sale_written_off"


def test_one_approval_of_eight_posts(desk: Desk) -> None:
    desk.owe(50_000, NOW)
    desk.have(PaymentRow("A", 50_000))
    case = desk.propose("report_write_off", about(only(desk)))

    def approve(_: int) -> str:
        try:
            desk.approve(case)
        except DomainError as error:
            return error.code
        return "approved"

    before = desk.house(OWED)
    assert sorted(together(8, approve)) == ["approved", *["case_decided"] * 7]
    assert desk.house(OWED) == before - 50_000
