"""`payment refund`: what a biller took back is given back, by two people at the command line."""

from __future__ import annotations

import re

import pytest

from app.billers import models, settlement
from app.billers.payments import PaymentView
from tests.billers.played import PlayedBiller
from tests.billers.stage import BALANCE, now
from tests.cli.office import EVIDENCE, Office, approved, proposed, refusal, said


@pytest.fixture
def payment(office: Office) -> PaymentView:
    """Sold, and taken back."""
    office.stage.biller.script = PlayedBiller.sell
    paid = office.stage.pay()
    office.stage.drain()

    def flip(session: object) -> None:
        locked = models.lock(session, paid.id)
        settlement.returned(session, office.stage.market, locked, now=now(), facts={})

    office.stage.db.transact(flip)
    return paid


def test_one_proposes_and_another_gives_back(office: Office, payment: PaymentView) -> None:
    refund = ("payment", "refund")
    refusal(office.run(*refund, "approve", payment.reference, by="baraka"), "proposal_missing")
    case = proposed(office, *refund, "propose", payment.reference.lower())
    refusal(office.run(*refund, "approve", payment.reference, by="asha"), "same_person")
    told = said(office.run(*refund, "withdraw", payment.reference, by="asha"))
    assert told == f"{payment.reference}: proposal withdrawn\n"
    case = proposed(office, *refund, "propose", payment.reference)
    assert "total=KES 510.00" in said(office.run("case", "show", case))
    told = said(office.run(*refund, "approve", payment.reference.lower(), by="baraka"))
    assert told == f"{payment.reference}: KES 510.00 is back in the wallet\n"
    again = office.run(*refund, "propose", payment.reference, *EVIDENCE, by="asha")
    refusal(again, "sale_refunded")
    shown = said(office.run("payment", "show", payment.reference))
    for line in (
        r"given back +20\d\d-", "captured → returned", "returned → returned refunded",
        rf"{case} sale_refund proposed by asha", rf"{case} sale_refund approved by baraka",
        "payment_returned", "payment_refunded",
    ):  # fmt: skip
        assert re.search(line, shown), (line, shown)


def test_it_is_a_case_like_any_other(office: Office, payment: PaymentView) -> None:
    case = proposed(office, "payment", "refund", "propose", payment.reference)
    assert approved(office, case) == "KES 510.00 is back in the wallet"
    view = office.stage.view(payment)
    (row,) = office.stage.run("SELECT wallet_id FROM payments WHERE id = :id", id=view.id)
    (left,) = office.stage.run("SELECT balance FROM accounts WHERE id = :id", id=row.wallet_id)
    assert left.balance == BALANCE


def test_who_may(office: Office, payment: PaymentView) -> None:
    command = ("payment", "refund", "propose", payment.reference, *EVIDENCE)
    refusal(office.run(*command), "staff_session_missing")
    refusal(office.run(*command, by="mkuu"), "role_missing")
    nobody = office.run("payment", "refund", "propose", "NOSUCHRE", *EVIDENCE, by="asha")
    refusal(nobody, "payment_unknown")


def test_a_payment_that_stands_is_not_given_back(office: Office) -> None:
    office.stage.biller.script = PlayedBiller.sell
    paid = office.stage.pay()
    office.stage.drain()
    refused = office.run("payment", "refund", "propose", paid.reference, *EVIDENCE, by="asha")
    refusal(refused, "not_returned")
    assert "captured" in refused.output
