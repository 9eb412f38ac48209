"""`case`, and the commands that propose: one of the staff asks, another decides, then it is so."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from app.staff.cases import ROLES
from app.staff.decisions import DECISIONS
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.people import Person
from tests.cli.office import EVIDENCE, Office, approved, proposed, refusal, said
from tests.people import fresh_msisdn


def person(office: Office, who: Person) -> Person:
    found = office.stage.db.transact(lambda s: people.find(s, who.msisdn))
    assert found
    return found


def agent(office: Office, *, is_super: bool = False) -> Agent:
    who = office.stage.person(100)
    return office.stage.db.transact(
        lambda s: agents.appoint(
            s,
            people.get(s, who.id),
            name="Neema Kiosk",
            currency="KES",
            is_super=is_super,
            now=datetime.now(UTC),
        )
    )


def test_every_kind_that_is_carried_out_has_roles() -> None:
    assert set(DECISIONS) <= set(ROLES)


# --- people ---


def test_a_person_is_suspended_and_resumed_by_two(office: Office) -> None:
    who = office.stage.person()
    reference = proposed(office, "person", "suspend", who.msisdn)
    assert person(office, who).state == "active", "a proposal does nothing"
    refusal(office.run("case", "approve", reference, by="asha"), "same_person")
    assert approved(office, reference) == f"{who.msisdn} Amina Wanjiru is suspended"
    assert person(office, who).state == "suspended"
    refusal(office.run("case", "approve", reference, by="baraka"), "case_decided")
    refusal(office.run("person", "suspend", who.msisdn, *EVIDENCE, by="asha"), "person_state")
    back = proposed(office, "person", "resume", who.msisdn.replace("+254", "0"), by="baraka")
    assert approved(office, back, by="asha").endswith("is active")
    assert person(office, who).state == "active"


def test_what_changed_since_the_proposal_is_looked_at_again(office: Office) -> None:
    who = office.stage.person()
    reference = proposed(office, "person", "suspend", who.msisdn)
    office.admin(f"UPDATE people SET state = 'suspended' WHERE id = '{who.id}'")
    refusal(office.run("case", "approve", reference, by="baraka"), "person_state")
    office.admin(f"UPDATE people SET state = 'active' WHERE id = '{who.id}'")
    assert approved(office, reference).endswith("is suspended"), "and the case was open still"


def test_the_ladder_of_a_proposal(office: Office) -> None:
    number, known = fresh_msisdn(), office.stage.person().msisdn
    for by, number_typed, evidence, reason in (
        ("", known, EVIDENCE, "staff_session_missing"),
        ("mkuu", known, EVIDENCE, "role_missing"),
        ("asha", "nobody", EVIDENCE, "msisdn_invalid"),
        ("asha", number, EVIDENCE, "person_unknown"),
        ("asha", known, ("--evidence", " a"), "evidence_missing"),
    ):
        refusal(office.run("person", "suspend", number_typed, *evidence, by=by), reason)
    proposed(office, "person", "suspend", known)
    refusal(office.run("person", "suspend", known, *EVIDENCE, by="baraka"), "case_open")
    assert said(office.run("person", "suspend", known, by="asha"), code=2).startswith("Usage: app ")


# --- agents ---


def test_an_agent_is_appointed_suspended_and_resumed(office: Office) -> None:
    above, who = agent(office, is_super=True), office.stage.person(100)
    appoint = ("agent", "appoint", who.msisdn, "--name", "Duka la  Asha")
    reference = proposed(office, *appoint, "--parent", f"{above.code[:3]} {above.code[3:]}")
    told = approved(office, reference)
    found = re.fullmatch(rf"\{who.msisdn} is agent (\d{{6}}) Duka la Asha", told)
    assert found, told
    code = found[1]
    assert office.kiosk.said(who.msisdn, "agent_appointed").startswith(
        f"You are an agent: Duka la Asha, code {code}. Dial *384*123# for your agent menu."
    )
    shown = said(office.run("agent", "show", code))
    assert f"{code}  Duka la Asha  {who.msisdn}  agent  active" in shown
    assert "float KES 0.00  held KES 0.00" in shown
    assert f"super-agent {above.code}  Neema Kiosk" in shown
    all_below = said(office.run("agent", "show", above.code))
    assert re.search(rf"^{code} +Duka la Asha +active$", all_below, re.MULTILINE)
    refusal(office.run(*appoint, *EVIDENCE, by="asha"), "already_agent")
    refusal(office.run("agent", "resume", code, *EVIDENCE, by="asha"), "agent_state")
    suspend = proposed(office, "agent", "suspend", code)
    assert approved(office, suspend) == f"agent {code} Duka la Asha is suspended"
    assert "suspended" in said(office.run("agent", "show", code))
    resume = proposed(office, "agent", "resume", code)
    assert approved(office, resume).endswith("is active")
    assert office.kiosk.kinds(who.msisdn) == ["agent_appointed", "agent_resumed", "agent_suspended"]


def test_a_super_agent_is_appointed(office: Office) -> None:
    who = office.stage.person(100)
    reference = proposed(office, "agent", "appoint", who.msisdn, "--name", "Jumla", "--super")
    assert re.fullmatch(rf"\{who.msisdn} is super-agent \d{{6}} Jumla", approved(office, reference))


def test_the_ladder_of_an_appointment(office: Office) -> None:
    below, above = agent(office), agent(office, is_super=True)
    number = office.stage.person(100).msisdn
    wrong = f"{below.code[:-1]}{(int(below.code[-1]) + 1) % 10}"
    for msisdn, options, reason in (
        (fresh_msisdn(), (), "person_unknown"),
        (number, ("--name", " A "), "agent_name_invalid"),
        (number, ("--name", "A" * 41), "agent_name_invalid"),
        (below.msisdn, (), "already_agent"),
        (number, ("--parent", wrong), "agent_code_wrong"),
        (number, ("--parent", below.code), "not_super_agent"),
        (number, ("--parent", above.code, "--super"), "not_super_agent"),
    ):
        name = () if "--name" in options else ("--name", "Duka")
        command = ("agent", "appoint", msisdn, *name, *options, *EVIDENCE)
        refusal(office.run(*command, by="asha"), reason)
    refusal(office.run("agent", "show", wrong), "agent_code_wrong")
    refusal(office.run("agent", "show", "123455"), "agent_unknown")


def test_an_agent_appointed_meanwhile_is_not_appointed_twice(office: Office) -> None:
    who = office.stage.person(100)
    reference = proposed(office, "agent", "appoint", who.msisdn, "--name", "Duka")
    office.stage.db.transact(
        lambda s: agents.appoint(
            s, people.get(s, who.id), name="Duka", currency="KES", now=datetime.now(UTC)
        )
    )
    refusal(office.run("case", "approve", reference, by="baraka"), "already_agent")
    assert "withdrawn" in said(office.run("case", "withdraw", reference, by="asha"))


# --- looking, refusing, withdrawing ---


def test_a_case_is_shown_listed_and_refused(office: Office) -> None:
    who = office.stage.person()
    reference = proposed(office, "person", "suspend", who.msisdn)
    shown = said(office.run("case", "show", reference.lower()))
    assert shown.startswith(f"{reference}  person_suspend  proposed\n")
    assert f"msisdn={who.msisdn}  name=Amina Wanjiru" in shown
    assert "evidence: letter of the police, file 4711" in shown
    assert reference in said(office.run("case", "list"))
    for command in (["approve"], ["refuse", "--why", "another person"]):
        step, *options = command
        refusal(office.run("case", step, reference, *options), "staff_session_missing")
        refusal(office.run("case", step, reference, *options, by="mkuu"), "role_missing")
        refusal(office.run("case", step, "NOSUCHRF", *options, by="baraka"), "case_unknown")
    refusal(office.run("case", "withdraw", reference, by="baraka"), "not_your_case")
    refusal(office.run("case", "refuse", reference, "--why", " ", by="baraka"), "reason_missing")
    why = ("--why", "it was another person")
    refusal(office.run("case", "refuse", reference, *why, by="asha"), "same_person")
    told = said(office.run("case", "refuse", reference, *why, by="baraka"))
    assert told == f"{reference}: refused\n"
    refusal(office.run("case", "approve", reference, by="baraka"), "case_decided")
    shown = said(office.run("case", "show", reference))
    assert "refused by baraka" in shown
    assert "because: it was another person" in shown
    assert reference not in said(office.run("case", "list"))
    assert reference in said(office.run("case", "list", "--all"))
    assert person(office, who).state == "active"


@pytest.mark.parametrize("by", ["asha", "baraka"])
def test_a_case_is_withdrawn_by_who_made_it(office: Office, by: str) -> None:
    reference = proposed(office, "person", "suspend", office.stage.person().msisdn, by=by)
    assert said(office.run("case", "withdraw", reference, by=by)) == f"{reference}: withdrawn\n"
    assert f"withdrawn by {by}" in said(office.run("case", "show", reference))
