"""Money on its way from the bank: it leaves once, and comes back only by the bank's word."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from app.errors import DomainError
from app.wallet.keys import new_key
from app.wallet.transfers import records
from app.wallet.trust.matching import Proposal
from tests.wallet.test_ledger_races import together
from tests.wallet.trust.stage import MAKER, Stage


def test_a_payout_leaves_the_float_at_once_and_the_bank_when_it_says_so(stage: Stage) -> None:
    agent = stage.agent(float_minor=10_000)
    payout = stage.pay_out(agent, 4_000)
    assert (payout.kind, payout.amount_minor, payout.fee_minor) == ("float_payout", 4_000, 0)
    assert stage.balance(agent) == 6_000
    parts = stage.identity()
    assert (parts.payouts_in_transit_minor, parts.trust_bank_minor) == (4_000, 10_000)
    stage.paper.balance_minor = 10_000
    line_id = stage.line(-4_000, payout.reference, "TRANSFER OUT")
    stage.check()
    stage.confirm(line_id)
    parts = stage.identity()
    assert (parts.payouts_in_transit_minor, parts.trust_bank_minor) == (0, 6_000)
    assert [kind for kind, _ in stage.sms(agent)] == ["payout_sent"]
    assert stage.sms(agent)[0][1] | {"at": ""} == {
        "amount_minor": 4_000,
        "balance_minor": 6_000,
        "reference": payout.reference,
        "at": "",
    }
    stage.check()


def test_one_that_the_bank_sends_back_is_reversed(stage: Stage) -> None:
    agent = stage.agent(float_minor=10_000)
    payout = stage.pay_out(agent, 4_000)
    stage.paper.balance_minor = 10_000
    out = stage.paper.line(-4_000, payout.reference)
    back = stage.paper.line(4_000, text=f"RETURNED {payout.reference} ACCOUNT CLOSED")
    stage.put_paper()
    assert stage.proposal(back).reason == "not_out_yet"
    stage.confirm(out)
    confirmed = stage.confirm(back)
    assert (confirmed.kind, confirmed.payee.agent_id) == ("returned", agent.id)
    assert stage.balance(agent) == 10_000
    view = stage.run(lambda session: records.of_reference(session, payout.reference))
    assert view
    assert (view.state, view.reversed_minor) == ("reversed", 4_000)
    kind, facts = stage.sms(agent)[1]
    assert (kind, facts["balance_minor"]) == ("payout_returned", 10_000)
    stage.check()


def test_one_that_never_left_is_taken_back(stage: Stage) -> None:
    agent = stage.agent(float_minor=10_000)
    payout = stage.pay_out(agent, 4_000)
    assert stage.take_back(payout.reference.lower()).returned
    assert stage.balance(agent) == 10_000
    assert [kind for kind, _ in stage.sms(agent)] == ["payout_sent", "payout_returned"]
    with pytest.raises(DomainError, match="payout_ended"):
        stage.take_back(payout.reference)
    stage.paper.balance_minor = 10_000
    assert stage.proposal(stage.line(-4_000, payout.reference)).reason == "ended"
    stage.check()


def test_what_has_left_is_not_taken_back_by_word(stage: Stage) -> None:
    agent = stage.agent(float_minor=10_000)
    payout = stage.pay_out(agent, 4_000)
    stage.paper.balance_minor = 10_000
    stage.confirm(stage.line(-4_000, payout.reference))
    with pytest.raises(DomainError, match="payout_left"):
        stage.take_back(payout.reference)
    with pytest.raises(DomainError, match="payout_unknown"):
        stage.take_back("ZZZZZZZZ")


@pytest.mark.parametrize(
    ("amount", "changes", "code"),
    [
        (100, {"checker": MAKER}, "same_person"),
        (0, {}, "amount_too_small"),
        (501, {}, "insufficient_funds"),
    ],
)
def test_what_is_refused(stage: Stage, amount: int, changes: dict[str, str], code: str) -> None:
    agent = stage.agent(float_minor=500)
    with pytest.raises(DomainError) as raised:
        stage.pay_out(agent, amount, **changes)
    assert raised.value.code == code
    assert stage.balance(agent) == 500


def test_the_same_request_is_one_payout(stage: Stage) -> None:
    agent, payout_id = stage.agent(float_minor=500), new_key()
    first = stage.pay_out(agent, 300, payout_id=payout_id)
    assert stage.pay_out(agent, 300, payout_id=payout_id) == first
    assert stage.balance(agent) == 200


def test_leaving_and_taking_back_at_once(stage: Stage) -> None:
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    for _ in range(5):
        payout = stage.pay_out(agent, 300)
        shown = stage.proposal(stage.line(-300, payout.reference))

        def work(number: int, shown: Proposal = shown, reference: str = payout.reference) -> str:
            try:
                if number:
                    stage.confirm(shown)
                else:
                    stage.take_back(reference)
            except DomainError as error:
                return error.code
            return "done"

        assert together(2, work).count("done") == 1
        assert stage.house("payouts_in_transit") == 0
    stage.check()


def test_a_line_assigned_to_a_payout_that_ended_meanwhile(stage: Stage) -> None:
    """What was written down is looked at again: or the money would leave the bank twice."""
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    payout = stage.pay_out(agent, 300)
    line_id = stage.line(-300, "", "TRANSFER")
    stage.assign_reference(line_id, payout.reference)
    stage.take_back(payout.reference)
    with pytest.raises(DomainError, match="payout_ended"):
        stage.confirm(line_id)
    assert (stage.house("payouts_in_transit"), stage.balance(agent)) == (0, 5_000)
    stage.withdraw(line_id)
    stage.check()


def test_a_float_that_runs_low_is_told_once_until_it_has_risen(stage: Stage) -> None:
    bound = stage.market.agents.low_float_minor
    agent = stage.agent(float_minor=bound)

    def told() -> int:
        query = "SELECT count(*) FROM messages WHERE msisdn = :to AND kind = 'float_low'"
        return int(stage.rows(query, to=agent.msisdn)[0].count)

    first = stage.pay_out(agent, 1)
    stage.pay_out(agent, 1)
    assert told() == 1
    stage.confirm(stage.assign(stage.line(10), agent))
    stage.take_back(first.reference)
    stage.pay_out(agent, 10)
    assert told() == 2


def test_the_database_refuses_one_person(stage: Stage) -> None:
    agent = stage.agent(float_minor=500)
    stage.pay_out(agent, 300)
    for table, more in (("float_payouts", "gen_random_uuid(), "), ("payout_returns", "")):
        with pytest.raises(DBAPIError, match=f"{table}_four_eyes"):
            stage.rows(
                f"INSERT INTO {table} SELECT {more}id, 'a', 'a'"
                f"{'' if more else ', now()'} FROM transfers"
            )
