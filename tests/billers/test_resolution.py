"""What two members of staff may decide, and what the database says to one alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from app.billers import expiry, resolution
from app.billers.payments import PaymentView
from app.billers.resolution import Decision
from app.errors import DomainError
from app.wallet.people import Person
from tests.billers.played import pending
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now

TOKEN = "1234-5678-9012-3456-7890"
EVIDENCE = "biller's letter of today"


@pytest.fixture
def person(stage: Stage) -> Person:
    return stage.person()


@pytest.fixture
def manual(stage: Stage, person: Person) -> PaymentView:
    stage.biller.script = pending
    payment = stage.pay(person)
    stage.drain()
    stage.run(
        "UPDATE payments SET first_sent_at = now() - interval '1 day' WHERE id = :id", id=payment.id
    )
    expiry.end_asking(stage.db, stage.market, now())
    assert stage.view(payment).state == "manual"
    return payment


def propose(stage: Stage, payment: PaymentView, decision: Decision, **changes: Any) -> None:
    facts = {"token": None, "evidence": EVIDENCE, "maker": "rose"} | changes
    stage.db.transact(
        lambda s: resolution.propose(s, payment.reference, decision, now=now(), **facts)
    )


def approve(stage: Stage, payment: PaymentView, checker: str = "paul") -> str:
    return stage.db.transact(
        lambda s: resolution.approve(s, stage.market, payment.reference, checker=checker, now=now())
    )


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(DomainError) as raised:
        call()
    return raised.value.code


def test_sold_after_all(stage: Stage, person: Person, manual: PaymentView) -> None:
    propose(stage, manual, "paid", token=TOKEN)
    assert stage.balance(person).held_minor == AMOUNT + FEE
    assert approve(stage, manual) == "captured"
    assert stage.view(manual).token == TOKEN.replace("-", "")
    assert stage.balance(person).balance_minor == BALANCE - AMOUNT - FEE
    kinds = [kind for kind, _ in stage.messages(manual)]
    assert kinds == ["payment_manual", "payment_paid"]


def test_never_sold(stage: Stage, person: Person, manual: PaymentView) -> None:
    propose(stage, manual, "refused")
    assert approve(stage, manual) == "released"
    assert stage.balance(person).available_minor == BALANCE
    propose(stage, manual, "paid_late", token=TOKEN)
    assert approve(stage, manual) == "paid_late"
    assert stage.balance(person).available_minor == BALANCE


def test_the_biller_took_it_back(stage: Stage) -> None:
    payment = stage.pay()
    stage.drain()
    propose(stage, payment, "returned")
    assert approve(stage, payment) == "returned"
    assert stage.house(f"settlement:{stage.code}") == 0


def test_a_ladder_of_refusals(stage: Stage, manual: PaymentView) -> None:
    def proposed(decision: Decision, **changes: Any) -> str:
        return refusal(lambda: propose(stage, manual, decision, **changes))

    nobody = refusal(
        lambda: stage.db.transact(
            lambda s: resolution.propose(
                s, "NOSUCH00", "refused", evidence=EVIDENCE, maker="rose", now=now()
            )
        )
    )
    assert nobody == "payment_unknown"
    assert proposed("returned") == "resolution_does_not_fit"
    assert proposed("paid_late") == "resolution_does_not_fit"
    assert proposed("refused", evidence="  ") == "evidence_missing"
    assert proposed("paid", token="99999999999999999999") == "token_invalid"
    assert proposed("refused", token=TOKEN) == "token_invalid"
    assert refusal(lambda: approve(stage, manual)) == "proposal_missing"
    propose(stage, manual, "refused")
    assert proposed("refused") == "proposal_open"
    assert refusal(lambda: approve(stage, manual, "rose")) == "same_person"
    stage.db.transact(lambda s: resolution.withdraw(s, manual.reference, by="rose", now=now()))
    assert refusal(lambda: approve(stage, manual)) == "proposal_missing"
    assert stage.view(manual).state == "manual"


@pytest.mark.parametrize("checker", ["rose", "Rose", " ROSE\t"])
def test_one_person_in_two_spellings_is_one(
    stage: Stage, manual: PaymentView, checker: str
) -> None:
    propose(stage, manual, "refused", maker="Rose ")
    assert refusal(lambda: approve(stage, manual, checker)) == "same_person"


def test_nobody_decides_without_a_name(stage: Stage, manual: PaymentView) -> None:
    assert refusal(lambda: propose(stage, manual, "refused", maker=" ")) == "staff_name_missing"
    propose(stage, manual, "refused")
    assert refusal(lambda: approve(stage, manual, "\t")) == "staff_name_missing"


def test_the_database_wants_two_people_too(stage: Stage, manual: PaymentView) -> None:
    propose(stage, manual, "refused")
    for checker in ("rose", "Rose ", " ROSE"):
        with pytest.raises(DBAPIError, match="payment_resolutions_four_eyes"):
            stage.run(
                "UPDATE payment_resolutions SET checker = :checker, approved_at = now()"
                " WHERE payment_id = :id",
                id=manual.id,
                checker=checker,
            )
    (waiting,) = [
        proposal
        for reference, proposal in stage.db.transact(resolution.open_proposals)
        if reference == manual.reference
    ]
    assert (waiting.maker, waiting.outcome) == ("rose", "refused")


def test_a_sale_of_tokens_needs_one_and_any_other_sale_none(
    stage: Stage, manual: PaymentView
) -> None:
    propose(stage, manual, "paid")
    assert refusal(lambda: approve(stage, manual)) == "token_invalid"
    biller = stage.market.billers[stage.code]
    service = biller.products[0].model_copy(update={"sells": "service"})
    billers = {stage.code: biller.model_copy(update={"products": (service,)})}
    stage.market = stage.market.model_copy(update={"billers": billers})
    assert approve(stage, manual) == "captured"
    assert stage.view(manual).tokens == ()
