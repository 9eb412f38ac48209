"""`payment show`: staff must decide with everything that is known on one screen, and no token."""

from __future__ import annotations

import json
import re

import pytest

from app.billers.payments import PaymentView
from tests.cli.office import Office, said


def shown(office: Office, payment: PaymentView) -> tuple[dict[str, str], list[str]]:
    """The facts above the timeline by their names, and the lines of the timeline."""
    head, _, happenings = said(office.run("payment", "show", payment.reference)).partition("\n\n")
    facts = dict(re.findall(r"^(.+?)  +(.+)$", "\n".join(head.splitlines()[2:]), re.MULTILINE))
    return facts, happenings.splitlines()[1:]


@pytest.fixture(scope="module")
def manual(office: Office) -> PaymentView:
    return office.manual()


def test_a_manual_payment_tells_all_that_is_known(office: Office, manual: PaymentView) -> None:
    office.admin(
        f"UPDATE payments SET bill_ref = 'INQ-77', biller_txn = '4711', receipt_no = 'R-9',"
        f" owed_minor = 50000, told_at = now() WHERE id = '{manual.id}'"
    )
    facts, happenings = shown(office, manual)
    assert re.fullmatch(r"Amina Wanjiru \+2547\d+", facts["paid by"])
    assert facts["biller"] == "stima Stima Power, digiflazz_prepaid; silence: ask"
    assert facts["biller reference"] == manual.biller_ref
    assert (facts["their inquiry"], facts["their transaction"]) == ("INQ-77", "4711")
    assert (facts["their receipt"], facts["owed"]) == ("R-9", "KES 500.00")
    assert re.fullmatch(r"1, the first 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", facts["requests"])
    assert re.fullmatch(r"20\d\d-.{14}", facts["told to wait"])
    assert "STAN, RRN" not in facts
    steps = [line for line in happenings if "  payment  " in line]
    assert [re.findall(r"\w+ → \w+", line)[:1] for line in steps[1:]] == [
        ["held → sent"], ["sent → unknown"], ["unknown → manual"],
    ]  # fmt: skip
    (asked,) = (line for line in steps if "sent → unknown" in line)
    told = json.loads(asked[asked.index("{") :])
    assert told == {"code": "03", "reason": "pending", "request": 1}
    assert any("payment_manual" in line and "  sms  " in line for line in happenings)


def test_what_staff_propose_stands_beside_it(office: Office, manual: PaymentView) -> None:
    propose = ("payment", "resolve", "propose", manual.reference, "--outcome", "refused")
    evidence = "Stima's desk, ticket 88, by telephone"
    said(office.run(*propose, "--evidence", evidence, by="asha"))
    waiting = shown(office, manual)[0]["proposed"]
    assert re.fullmatch(
        rf"refused by asha 20\d\d-\S+ \S+, waits for another person: {evidence}", waiting
    )
    said(office.run("payment", "resolve", "withdraw", manual.reference, by="asha"))
    assert f"withdrawn: {evidence}" in shown(office, manual)[0]["proposed"]
    said(office.run(*propose, "--evidence", "a letter", by="asha"))
    said(office.run("payment", "resolve", "approve", manual.reference, by="baraka"))
    assert shown(office, manual)[0]["proposed"].endswith("approved by baraka: a letter")


def test_a_payment_of_iso_8583_has_its_stan_and_rrn(office: Office) -> None:
    payment = office.stage.pay()
    office.admin(
        f"UPDATE payments SET biller = 'jiji', product = 'jiji_token' WHERE id = '{payment.id}'"
    )
    facts, _ = shown(office, payment)
    (serial,) = office.stage.run("SELECT serial FROM payments WHERE id = :id", id=payment.id)[0]
    assert facts["STAN, RRN"] == f"{serial % 449_999 + 1:06d}, {serial:012d}"
    assert facts["requests"] == "none: it never left"
    assert facts["next"].startswith("looked at 20")
    office.admin(f"UPDATE payments SET biller = 'gone' WHERE id = '{payment.id}'")
    assert shown(office, payment)[0]["biller"] == "gone, which the market has no more"
    office.admin(
        f"UPDATE payments SET biller = 'stima', product = 'stima_token' WHERE id = '{payment.id}'"
    )
    office.stage.biller.script = None
    office.stage.drain_until(payment, "captured")
    facts, happenings = shown(office, payment)
    (tokens,) = office.stage.run("SELECT tokens FROM payments WHERE id = :id", id=payment.id)[0]
    assert tokens[0] not in str((facts, happenings))


def test_of_very_many_steps_the_newest_are_told(office: Office, manual: PaymentView) -> None:
    office.admin(
        "INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)"
        f" SELECT '{manual.id}', now() - interval '2 days' + make_interval(secs => n), 'unknown',"
        " 'unknown', 'asked', '{}' FROM generate_series(1, 600) AS n"
    )
    happenings = shown(office, manual)[1]
    assert len(happenings) == 500
    assert "manual → released" in "\n".join(happenings[-10:])
