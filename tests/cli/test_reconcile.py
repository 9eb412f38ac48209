"""`reconcile` and `settlement` as somebody types them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from app import markets
from app.wallet import ledger
from app.wallet.keys import new_key
from tests.billers.played import honest
from tests.billers.stage import now
from tests.cli.office import Office, approved, proposed, refusal, said

ZONE = markets.load("demo").zone
EVIDENCE = ("--evidence", "their letter of today")


@pytest.fixture(scope="module")
def day() -> date:
    """Yesterday, which is over; only in the first minutes of a day it is the one before."""
    return (now() - timedelta(minutes=15)).astimezone(ZONE).date() - timedelta(days=1)


@pytest.fixture(scope="module")
def refs(office: Office, day: date) -> list[str]:
    """Three bills of that day: the references that the biller knows."""
    stage = office.stage
    stage.biller.script = honest
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZONE)
    made = [stage.pay() for _ in range(3)]
    stage.drain()
    stage.run(
        "UPDATE payments SET first_sent_at = :noon, settled_at = :noon WHERE id = ANY (:ids)",
        noon=noon,
        ids=[one.id for one in made],
    )
    known = "SELECT biller_ref FROM payments WHERE id = :id"
    return [stage.run(known, id=one.id)[0].biller_ref for one in made]


def write(path: Path, day: date, *lines: str) -> str:
    text = "".join(f"{line.format(day=day)}\n" for line in ("ref_id,price,date,status", *lines))
    path.write_text(text)
    return str(path)


def test_a_day_from_the_file_to_what_is_paid(
    office: Office, day: date, refs: list[str], tmp_path: Path
) -> None:
    first, second, third = refs
    wrong = write(tmp_path / "wrong.csv", day, f"{first},500.00,{{day}},sold")
    told = said(office.run("reconcile", wrong, "--biller", "stima", by="asha"), code=1)
    assert "report_refused: Refused at wrong.csv:2: status 'sold' is not known." in told
    path = write(
        tmp_path / "stima.csv", day,
        f"{first},500.00,{{day}},Sukses", f"{second},480.00,{{day}},Sukses",
        "NOBODY,70.00,{day},Sukses", "LATER,70.00,{day},Pending",
    )  # fmt: skip
    earlier = (day - timedelta(days=1)).isoformat()
    told = said(
        office.run("reconcile", path, "--biller", "stima", "--day", earlier, by="asha"), code=1
    )
    assert "report_wrong_day: Wrong day at stima.csv:2" in told
    refusal(office.run("reconcile", path, "--biller", "nobody", by="asha"), "biller_unknown")
    refusal(office.run("reconcile", path, "--biller", "stima"), "staff_session_missing")

    told = said(office.run("reconcile", "--biller", "stima", path, by="asha"))
    run = told.splitlines()[-1]
    assert re.fullmatch(
        rf"\w{{8}}: stima {day}: 4 lines, 1 matched \(KES 500\.00\);"
        r" different 1, only ours 1, only theirs 1",
        run,
    )
    reference = run[:8]
    told = said(office.run("reconcile", path, "--biller", "stima", by="asha"), code=1)
    assert f"report_known: This very file came in before, as {reference}." in told

    listed = said(office.run("reconcile", "list", "--biller", "stima"))
    assert re.search(
        rf"{reference}-1 .* 1 d .*different: amount .*500\.00 .*480\.00 .*open", listed
    )
    assert re.search(rf"{reference}-3 .*only ours: missing .*{third} .*open", listed)
    refusal(office.run("reconcile", "ask", f"{reference}-3", by="asha"), "exception_action")
    claimed = office.run("reconcile", "claim", f"{reference}-3", "--note", "mail 12", by="asha")
    assert "it stays open" in said(claimed)

    case = proposed(office, "reconcile", "write-off", f"{reference}-1")
    assert approved(office, case) == "KES 20.00 went from settlement:stima to operator"
    case = proposed(office, "reconcile", "close", f"{reference}-2")
    assert approved(office, case).endswith("is closed; nothing moved")
    shown = said(office.run("reconcile", "show", reference.lower()))
    assert "written_off" in shown
    assert "claimed by asha: mail 12" in shown
    assert "0 findings" in said(office.run("verify"))


def test_a_day_is_ordered_written_and_confirmed(office: Office, day: date, tmp_path: Path) -> None:
    parts = office.app.extensions["kibanda"]
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZONE)

    def owe(session: object) -> None:
        wallet = office.stage.person().wallet_id
        owed = ledger.house_account(session, "settlement:stima", "KES")  # type: ignore[arg-type]
        posting = ledger.Posting(
            new_key(), "bill_payment", (ledger.Move(wallet, owed, 123_456),), "test"
        )
        assert ledger.post(session, [posting], now=noon)[0].refusal is None  # type: ignore[arg-type]

    parts.db.transact(owe)
    due = said(office.run("settlement", "due", "--biller", "stima"))
    assert re.search(rf"stima +{day} +KES 1,234\.56 +KES 0\.00 +KES 1,234\.56\n", due)
    today = now().astimezone(ZONE).date().isoformat()
    order = ("settlement", "order", "--biller", "stima", "--day")
    refusal(office.run(*order, today, by="asha"), "day_not_over")
    refusal(office.run(*order[:3], "nobody", "--day", today, by="asha"), "biller_unknown")
    told = said(office.run(*order, day.isoformat(), by="asha"))
    reference = approved(office, told[:8]).split()[1].rstrip(";")
    refusal(office.run(*order, day.isoformat(), by="asha"), "day_ordered")

    written = office.run("settlement", "file", reference, "--to", str(tmp_path), by="asha")
    assert said(written).endswith("1 orders, KES 1,234.56\n")
    content = (tmp_path / f"pain001-{reference}.xml").read_text()
    assert f"<EndToEndId>{reference}</EndToEndId>" in content
    assert '<InstdAmt Ccy="KES">1234.56</InstdAmt>' in content
    assert reference in said(office.run("settlement", "list"))

    line = f"BK-{new_key()}"
    parts.db.transact(
        lambda session: ledger.record_bank_line(
            session, line_id=line, amount_minor=-123_456, currency="KES", booked_on=day,
            maker="bank",
        )
    )  # fmt: skip
    confirm = ("settlement", "confirm", reference, "--bank-line", line)
    refusal(office.run(*confirm, by="baraka"), "line_unmatched")
    said(office.run("trust", "assign", line, "--reference", reference, by="asha"))
    refusal(office.run(*confirm, by="asha"), "same_person")
    done = said(office.run(*confirm, by="baraka"))
    assert done == f"{line}: settlement {reference}, biller stima\n"
    assert said(office.run("settlement", "list")) == "no orders on their way\n"
    refusal(office.run("settlement", "cancel", reference, *EVIDENCE, by="asha"), "order_state")
    assert "nothing is due" not in said(office.run("settlement", "due", "--all"))
    assert "0 findings" in said(office.run("verify"))
