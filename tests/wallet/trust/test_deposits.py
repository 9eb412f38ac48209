"""Deposits on their way: in the books, nobody's to spend, until the bank has them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.wallet import people
from app.wallet.keys import new_key
from app.wallet.trust.deposits import Notice
from app.wallet.trust.matching import Proposal
from tests.wallet.test_ledger_races import together
from tests.wallet.trust.stage import MAKER, OTHER, Stage


def test_a_deposit_on_its_way_is_nobodys_to_spend(stage: Stage) -> None:
    agent = stage.agent()
    notice = stage.expect(agent, 150_000, slip="kcb-0042/7")
    assert (notice.state, notice.slip, notice.amount_minor) == ("on_way", "KCB00427", 150_000)
    assert stage.balance(agent) == 0
    parts = stage.identity()
    assert (parts.deposits_in_transit_minor, parts.suspense_minor) == (150_000, 150_000)
    assert stage.sms(agent)[0] == (
        "deposit_noted",
        {
            "amount_minor": 150_000,
            "balance_minor": 0,
            "reference": notice.reference,
            "at": stage.sms(agent)[0][1]["at"],
        },
    )
    stage.check()


def test_a_line_that_names_it_clears_it(stage: Stage) -> None:
    person = stage.person()
    notice = stage.expect(person, 50_000)
    line_id = stage.line(50_000, text=f"CASH DEP {notice.reference.lower()} BRANCH 7")
    stage.confirm(line_id)
    assert stage.balance(person) == 50_000
    parts = stage.identity()
    assert (parts.deposits_in_transit_minor, parts.suspense_minor) == (0, 0)
    assert parts.trust_bank_minor == 50_000
    kinds = [kind for kind, _ in stage.sms(person)]
    assert kinds == ["deposit_noted", "deposit_received"]
    assert stage.sms(person)[1][1]["balance_minor"] == 50_000
    stage.check()


def test_one_that_will_not_come_is_taken_back(stage: Stage) -> None:
    agent = stage.agent()
    notice = stage.expect(agent, 700)
    assert stage.cancel(notice.reference).state == "cancelled"
    assert stage.identity().deposits_in_transit_minor == 0
    assert [kind for kind, _ in stage.sms(agent)] == ["deposit_noted", "deposit_cancelled"]
    with pytest.raises(DomainError, match="deposit_ended"):
        stage.cancel(notice.reference)
    line_id = stage.line(700, notice.reference)
    assert stage.proposal(line_id).reason == "ended"
    stage.check()


def test_the_same_request_is_one_notice(stage: Stage) -> None:
    agent, notice_id = stage.agent(), new_key()
    first = stage.expect(agent, 700, notice_id=notice_id)
    assert stage.expect(agent, 700, notice_id=notice_id) == first
    assert stage.identity().deposits_in_transit_minor == 700
    assert len(stage.sms(agent)) == 1


@pytest.mark.parametrize(
    ("amount", "changes", "code"),
    [
        (700, {"checker": MAKER}, "same_person"),
        (0, {}, "amount_too_small"),
        (-5, {}, "amount_too_small"),
        (10**15 + 1, {}, "amount_too_large"),
        (700, {"slip": "4" * 41}, "slip_invalid"),
    ],
)
def test_what_is_refused(stage: Stage, amount: int, changes: dict[str, Any], code: str) -> None:
    agent = stage.agent()
    with pytest.raises(DomainError) as raised:
        stage.expect(agent, amount, **changes)
    assert raised.value.code == code
    assert stage.identity().deposits_in_transit_minor == 0


def test_who_may_not_receive_is_refused(stage: Stage) -> None:
    person = stage.person()

    def suspend(session: Session) -> None:
        people.get(session, person.id).state = "suspended"

    stage.run(suspend)
    with pytest.raises(DomainError, match="payee_suspended"):
        stage.expect(person, 700)


def test_clearing_and_cancelling_at_once(stage: Stage) -> None:
    """One of them comes first, and the other hears that it is over."""
    for _ in range(5):
        agent = stage.agent()
        notice = stage.expect(agent, 700)
        shown = stage.proposal(stage.line(700, notice.reference))

        def work(number: int, notice: Notice = notice, shown: Proposal = shown) -> str:
            try:
                if number:
                    stage.confirm(shown)
                else:
                    stage.cancel(notice.reference)
            except DomainError as error:
                return error.code
            return "done"

        assert together(2, work).count("done") == 1
        assert stage.balance(agent) in (0, 700)
    stage.check()


def test_the_database_refuses_one_person(stage: Stage) -> None:
    stage.expect(stage.agent(), 700)
    for statement in (
        "UPDATE deposit_notices SET checker = maker",
        "UPDATE deposit_notices SET amount_minor = 1",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            stage.rows(statement)
    with pytest.raises(DBAPIError, match="deposit_notices_four_eyes"):
        stage.rows(
            "UPDATE deposit_notices SET state = 'cancelled', ended_by = 1, ended_at = now(),"
            " cancel_maker = :one, cancel_checker = :one",
            one=OTHER,
        )
