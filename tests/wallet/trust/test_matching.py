"""What a line is for: found by its words, or assigned; confirmed once, by somebody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.wallet import agents, ledger, people
from app.wallet.trust.lines import UNMATCHED_AT_MOST, BankLine
from app.wallet.trust.matching import Proposal
from app.wallet.trust.targets import words_of
from tests.wallet.test_ledger_races import together
from tests.wallet.trust.stage import CHECKER, MAKER, OTHER, Stage, now


def refused(stage: Stage, code: str, line_id: str, checker: str = CHECKER) -> DomainError:
    """The refusal of a confirmation, which moved nothing."""
    before = stage.house("trust_bank")
    with pytest.raises(DomainError) as raised:
        stage.confirm(line_id, checker)
    assert raised.value.code == code
    assert stage.house("trust_bank") == before
    return raised.value


# --- by the words in it ---


WRITTEN = (
    ("{}", ""),
    ("", "CASH DEP {} BRANCH"),
    ("", "ref:{}/kcb"),
    ("{lower}", ""),
    ("{misread}", ""),
    ("KCB-0042 / {number}", ""),
    ("", "SLIP KCB0042{number}"),
)


def test_how_a_deposit_is_found(stage: Stage) -> None:
    """By our reference or the slip's number, as people and banks write them."""
    agent, wanted = stage.agent(), {}
    for number, (reference, words) in enumerate(WRITTEN):
        notice = stage.expect(agent, 900, slip=f"KCB 0042/{number}")
        ways = {
            "lower": notice.reference.lower(),
            "misread": notice.reference.replace("0", "O").replace("1", "l"),
            "number": number,
        }
        says = [part.format(notice.reference, **ways) for part in (reference, words)]
        wanted[stage.paper.line(900, *says)] = notice.reference
    stage.put_paper()
    found = {line_id: proposal.target for line_id, proposal in stage.proposals().items()}
    assert {line_id: target and target.reference for line_id, target in found.items()} == wanted
    assert {(target.kind, target.proposer) for target in found.values() if target} == {
        ("deposit", MAKER)
    }, "the importer is the maker"


def test_a_short_slip_number_finds_nothing(stage: Stage) -> None:
    stage.expect(stage.agent(), 900, slip="42")
    assert stage.proposal(stage.line(900, "42")).reason == "no_reference"


def test_why_nothing_is_proposed(stage: Stage) -> None:
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    notice, twin = stage.expect(agent, 900), stage.expect(agent, 900)
    payout = stage.pay_out(agent, 300)
    lines = {
        "no_reference": stage.paper.line(900, "NOBODY", "KNOWS"),
        "amount_differs": stage.paper.line(901, notice.reference),
        "several_fit": stage.paper.line(900, notice.reference, twin.reference),
        "other_direction": stage.paper.line(-900, notice.reference),
        "not_out_yet": stage.paper.line(300, payout.reference),
    }
    stage.put_paper()
    found = stage.proposals()
    assert {found[line_id].reason: line_id for line_id in lines.values()} == lines
    for reason, line_id in lines.items():
        assert refused(stage, "line_unmatched", line_id).facts == {"reason": reason}


def test_many_long_lines_at_once(stage: Stage) -> None:
    """More words than a statement can have parameters."""
    notice = stage.expect(stage.agent(), 900)
    for number in range(UNMATCHED_AT_MOST - 1):
        stage.paper.line(1, "", " ".join(f"OIL{number:03d}{word:02d}" for word in range(55)))
    line_id = stage.paper.line(900, notice.reference, booked_on="2026-01-01")
    stage.put_paper()
    found = stage.proposals()
    assert len(found) == UNMATCHED_AT_MOST
    assert [one for one, proposal in found.items() if proposal.target] == [line_id]


def test_words() -> None:
    line = BankLine("x", now().date(), 1, "KES", MAKER, "ab-12 cd", "7q4m2xkd.", False, None)
    assert words_of(line) >= {"AB", "12", "CD", "AB12CD", "7Q4M2XKD"}


# --- assigned ---


def test_float_is_bought_against_a_line(stage: Stage) -> None:
    """Maker and checker, and a line of the bank: without all three there is no float."""
    agent = stage.agent()
    line_id = stage.line(250_000, "", "NEEMA KIOSK")
    refused(stage, "line_unmatched", line_id)
    stage.assign(line_id, agent)
    assert stage.balance(agent) == 0
    confirmed = stage.confirm(line_id)
    assert (confirmed.kind, confirmed.payee.agent_id) == ("account", agent.id)
    assert stage.balance(agent) == 250_000
    kind, facts = stage.sms(agent)[0]
    assert (kind, facts["balance_minor"], facts["reference"]) == (
        "float_received",
        250_000,
        confirmed.reference,
    )
    stage.check()


def test_a_person_is_paid_in(stage: Stage) -> None:
    person = stage.person()
    line_id = stage.line(5_000)
    stage.assign(line_id, person)
    stage.confirm(line_id)
    assert stage.balance(person) == 5_000
    assert [kind for kind, _ in stage.sms(person)] == ["deposit_received"]
    stage.check()


def test_interest_and_charges_are_the_operators(stage: Stage) -> None:
    interest, charge = stage.paper.line(800, "", "INTEREST"), stage.paper.line(-300, "", "CHARGES")
    stage.put_paper()
    stage.assign(charge, None)
    assert refused(stage, "insufficient_funds", charge).facts == {
        "total": "KES 3.00",
        "available": "KES 0.00",
    }
    stage.assign(interest, None)
    stage.confirm(interest)
    stage.confirm(charge)
    assert stage.balance(None) == 500
    assert stage.identity().tills_minor == 500
    stage.check()


def test_money_that_went_out_is_nobodys_but_the_operators(stage: Stage) -> None:
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    line_id = stage.line(-300)
    for who in (agent, stage.person()):
        with pytest.raises(DomainError, match="line_does_not_fit"):
            stage.assign(line_id, who)


def test_a_slip_without_our_reference_is_given_its_deposit(stage: Stage) -> None:
    agent = stage.agent()
    notice = stage.expect(agent, 900)
    line_id = stage.line(900, "", "NEEMA")
    with pytest.raises(DomainError, match="reference_unknown"):
        stage.assign_reference(line_id, "ZZZZZZZZ")
    stage.assign_reference(line_id, notice.reference.lower(), proposer=OTHER)
    stage.confirm(line_id)
    assert stage.balance(agent) == 900
    assert stage.identity().suspense_minor == 0
    stage.check()


def test_a_deposit_of_another_amount_is_not_given(stage: Stage) -> None:
    notice = stage.expect(stage.agent(), 900)
    with pytest.raises(DomainError) as raised:
        stage.assign_reference(stage.line(899), notice.reference)
    assert raised.value.facts == {"reason": "amount_differs"}


def test_an_assignment_can_be_taken_back_and_made_anew(stage: Stage) -> None:
    agent, other = stage.agent(), stage.agent()
    line_id = stage.line(700)
    with pytest.raises(DomainError, match="line_unassigned"):
        stage.withdraw(line_id)
    stage.assign(line_id, agent)
    with pytest.raises(DomainError, match="line_assigned"):
        stage.assign(line_id, other)
    stage.withdraw(line_id)
    stage.assign(line_id, other)
    stage.confirm(line_id)
    assert (stage.balance(agent), stage.balance(other)) == (0, 700)
    with pytest.raises(DomainError, match="line_unassigned"):
        stage.withdraw(line_id)
    with pytest.raises(DomainError, match="line_matched"):
        stage.proposal(line_id)


def test_what_another_line_is_assigned_to_is_taken(stage: Stage) -> None:
    notice = stage.expect(stage.agent(), 900)
    first, second = stage.paper.line(900), stage.paper.line(900, notice.reference)
    stage.put_paper()
    stage.assign_reference(first, notice.reference)
    assert stage.proposal(second).reason == "taken"
    with pytest.raises(DomainError) as raised:
        stage.assign_reference(second, notice.reference)
    assert raised.value.facts == {"reason": "taken"}
    stage.withdraw(first)
    stage.confirm(second)
    stage.check()


# --- by whom ---


def test_maker_and_checker_are_two(stage: Stage) -> None:
    agent = stage.agent()
    line_id = stage.line(700)
    stage.assign(line_id, agent, proposer=OTHER)
    refused(stage, "same_person", line_id, checker=OTHER)
    refused(stage, "same_person", line_id, checker=MAKER)
    stage.confirm(line_id, CHECKER)


def test_the_database_knows_it_too(stage: Stage, owner: Database) -> None:
    line_id = stage.line(700)
    stage.assign(line_id, stage.agent(), proposer=OTHER)
    with pytest.raises(DBAPIError, match="bank_matches_four_eyes"):
        stage.rows(
            "UPDATE bank_matches SET checker = proposer, posting_id = 1, confirmed_at = now()"
        )
    with pytest.raises(DBAPIError, match="bank_lines_four_eyes"):
        stage.run(lambda session: ledger.approve_bank_line(session, line_id=line_id, checker=MAKER))
    with pytest.raises(DBAPIError, match="bank_matches_line"), owner.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO bank_matches (id, line_id, kind, account_id, reference, proposer,"
                " proposed_at) SELECT gen_random_uuid(), line_id, kind, account_id, reference,"
                " proposer, now() FROM bank_matches"
            )
        )


def test_what_was_shown_is_what_is_confirmed(stage: Stage) -> None:
    """Between looking and confirming somebody assigns the line to another: that is refused."""
    agent, other = stage.agent(), stage.agent()
    line_id = stage.line(700)
    stage.assign(line_id, agent)
    shown = stage.proposal(line_id)
    stage.withdraw(line_id)
    with pytest.raises(DomainError, match="proposal_changed"):
        stage.confirm(shown)
    anew = stage.assign(line_id, other)
    with pytest.raises(DomainError, match="proposal_changed"):
        stage.confirm(shown)
    assert anew.target
    forged = replace(anew, target=replace(anew.target, payee=stage.payee(agent)))
    with pytest.raises(DomainError, match="proposal_changed"):
        stage.confirm(forged)
    assert stage.balance(agent) == stage.balance(other) == 0


# --- once ---


def test_the_same_confirmation_again_answers_the_same(stage: Stage) -> None:
    agent = stage.agent()
    shown = stage.assign(stage.line(700), agent)
    first = stage.confirm(shown)
    assert stage.confirm(shown) == first
    with pytest.raises(DomainError, match="line_matched"):
        stage.confirm(shown, OTHER)
    assert stage.balance(agent) == 700
    assert len(stage.sms(agent)) == 1


@pytest.mark.parametrize("checkers", [(CHECKER, OTHER), (CHECKER, CHECKER)])
def test_two_checkers_at_once_confirm_a_line_once(stage: Stage, checkers: tuple[str, str]) -> None:
    for _ in range(6):
        agent = stage.agent()
        notice = stage.expect(agent, 700)
        shown = stage.proposal(stage.line(700, notice.reference))

        def work(number: int, shown: Proposal = shown) -> str:
            try:
                stage.confirm(shown, checkers[number])
            except DomainError as error:
                return error.code
            return "done"

        answers = together(2, work)
        if len(set(checkers)) == 1:
            assert answers == ["done", "done"]
        else:
            assert sorted(answers) == ["done", "line_matched"]
        assert stage.balance(agent) == 700
        assert [kind for kind, _ in stage.sms(agent)] == ["deposit_noted", "float_received"]
    stage.check()


def test_two_lines_for_one_deposit_at_once(stage: Stage) -> None:
    for _ in range(6):
        agent = stage.agent()
        notice = stage.expect(agent, 700)
        lines = [stage.paper.line(700, notice.reference) for _ in range(2)]
        stage.put_paper()
        shown = [stage.proposal(line_id) for line_id in lines]

        def work(number: int, shown: list[Proposal] = shown) -> str:
            try:
                stage.confirm(shown[number])
            except DomainError as error:
                return error.code
            return "done"

        assert together(2, work).count("done") == 1
        assert stage.balance(agent) == 700
    stage.check()


def test_a_line_by_hand_is_matched_as_any_other(stage: Stage) -> None:
    agent = stage.agent()
    line_id = stage.by_hand(agent.float_id, 700)
    with pytest.raises(DomainError, match="line_matched"):
        stage.proposal(line_id)
    with pytest.raises(DomainError, match="line_unknown"):
        stage.proposal("nobody")


# --- who may receive ---


def test_who_is_suspended_waits(stage: Stage) -> None:
    agent, person = stage.agent(), stage.person()
    lines = stage.paper.line(700), stage.paper.line(700)
    stage.put_paper()
    stage.assign(lines[0], agent)
    stage.assign(lines[1], person)

    def set_state(state: str) -> None:
        def work(session: Session) -> None:
            agents.set_state(session, agent.id, state)
            people.get(session, person.id).state = state

        stage.run(work)

    set_state("suspended")
    refused(stage, "agent_suspended", lines[0])
    refused(stage, "payee_suspended", lines[1])
    set_state("active")
    for line_id in lines:
        stage.confirm(line_id)
    stage.check()


def test_a_wallet_is_not_filled_above_its_tier(stage: Stage) -> None:
    person = stage.person()
    most = stage.market.tiers[person.tier].balance_minor
    over, just = stage.paper.line(most + 1), stage.paper.line(most)
    stage.put_paper()
    stage.assign(over, person)
    refused(stage, "limit_balance", over)
    stage.withdraw(over)
    stage.assign(just, person)
    stage.confirm(just)
    assert stage.balance(person) == most
    stage.assign(over, None)
    stage.confirm(over)
    stage.check()
