"""Cases: one proposes, another approves, and the effect is one transaction with the approval."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.staff import cases
from app.staff.accounts import Staff
from app.staff.cases import Case
from tests.staff.desk import Desk, now, refusal

EVIDENCE = "call of the owner, ticket 4711"


@dataclass
class Office:
    """Four of the staff and what they do with cases."""

    desk: Desk
    mkuu: Staff
    asha: Staff
    baraka: Staff
    rehema: Staff

    def propose(
        self,
        maker: Staff | None = None,
        kind: str = "person_suspend",
        subject: str = "",
        evidence: str = EVIDENCE,
        facts: Mapping[str, Any] | None = None,
    ) -> Case:
        return self.desk.db.transact(
            lambda s: cases.propose(
                s,
                kind=kind,
                subject=subject or str(uuid4()),
                facts=facts or {},
                evidence=evidence,
                maker=maker or self.asha,
                now=now(),
            )
        )

    def approve(self, reference: str, checker: Staff | None = None) -> str:
        """Approve; the effect is to say what is approved."""

        def effect(session: Session, case: Case) -> str:
            assert case.state == "approved"
            return f"{case.kind} of {case.subject}"

        return self.desk.db.transact(
            lambda s: cases.approve(s, reference, checker or self.baraka, now(), effect)
        )

    def refuse(self, reference: str, checker: Staff | None = None, why: str = "not so") -> Case:
        return self.desk.db.transact(
            lambda s: cases.refuse(s, reference, checker or self.baraka, why, now())
        )

    def withdraw(self, reference: str, maker: Staff | None = None) -> Case:
        return self.desk.db.transact(
            lambda s: cases.withdraw(s, reference, maker or self.asha, now())
        )

    def case(self, reference: str) -> Case:
        return self.desk.db.transact(lambda s: cases.of_reference(s, reference))


@pytest.fixture
def office(desk: Desk) -> Office:
    mkuu = desk.add("mkuu", "admin")
    return Office(
        desk,
        mkuu,
        asha=desk.add("asha", "support", by=mkuu),
        baraka=desk.add("baraka", "supervisor", by=mkuu),
        rehema=desk.add("rehema", "finance", by=mkuu),
    )


def test_proposed_and_approved(office: Office) -> None:
    case = office.propose(subject="somebody", facts={"amount_minor": 1})
    assert (case.state, case.maker, case.checker, case.facts) == (
        "proposed",
        "asha",
        None,
        {"amount_minor": 1},
    )
    assert office.approve(case.reference.lower()) == "person_suspend of somebody"
    done = office.case(case.reference)
    assert (done.state, done.maker_id, done.checker_id) == (
        "approved",
        office.asha.id,
        office.baraka.id,
    )
    assert done.decided_at


def test_an_effect_that_fails_leaves_the_case_open(office: Office) -> None:
    case = office.propose()

    def effect(_session: Session, _case: Case) -> None:
        raise DomainError("not_today")

    def approve() -> None:
        office.desk.db.transact(
            lambda s: cases.approve(s, case.reference, office.baraka, now(), effect)
        )

    assert refusal(approve)[0] == "not_today"
    left = office.case(case.reference)
    assert (left.state, left.checker, left.decided_at) == ("proposed", None, None)
    assert office.approve(case.reference)


def test_the_ladder_of_a_proposal(office: Office) -> None:
    assert refusal(lambda: office.propose(office.rehema)) == (
        "role_missing",
        {"needs": "support or supervisor"},
    )
    assert refusal(lambda: office.propose(office.asha, "float_buy"))[0] == "role_missing"
    for evidence in ("", "  a ", "x" * 1001):
        told = refusal(lambda e=evidence: office.propose(evidence=e))
        assert told == ("evidence_missing", {"least": 3, "most": 1000})
    first = office.propose(subject="same")
    assert refusal(lambda: office.propose(office.baraka, subject="same")) == (
        "case_open",
        {"reference": first.reference},
    )
    office.propose(subject="same", kind="person_resume")
    office.withdraw(first.reference)
    office.propose(subject="same")


def test_the_ladder_of_a_decision(office: Office) -> None:
    reference = office.propose(office.baraka).reference
    for decide in (office.approve, office.refuse):
        assert refusal(lambda d=decide: d("NOSUCHRF"))[0] == "case_unknown"
        assert refusal(lambda d=decide: d(reference, office.rehema)) == (
            "role_missing",
            {"needs": "support or supervisor"},
        )
        assert refusal(lambda d=decide: d(reference, office.mkuu))[0] == "role_missing"
        assert refusal(lambda d=decide: d(reference, office.baraka))[0] == "same_person"
    assert refusal(lambda: office.refuse(reference, office.asha, " "))[0] == "reason_missing"
    assert refusal(lambda: office.withdraw(reference, office.asha)) == (
        "not_your_case",
        {"maker": "baraka"},
    )
    refused = office.refuse(reference, office.asha, " it was another ")
    assert (refused.state, refused.checker, refused.reason) == (
        "refused",
        "asha",
        "it was another",
    )
    for again in (office.approve, office.refuse, office.withdraw):
        assert refusal(lambda a=again: a(reference, office.asha)) == (
            "case_decided",
            {"state": "refused"},
        )


def test_a_kind_of_a_later_release_waits_for_it(office: Office) -> None:
    reference = office.propose().reference
    office.desk.admin("UPDATE cases SET kind = 'moon_shot'")
    assert refusal(lambda: office.approve(reference)) == (
        "case_kind_unknown",
        {"kind": "moon_shot"},
    )
    assert office.withdraw(reference).state == "withdrawn"


def test_of_many_who_approve_one_does(office: Office) -> None:
    reference, together = office.propose().reference, Barrier(6)

    def approve(number: int) -> str:
        together.wait()
        try:
            return office.approve(reference)
        except DomainError as error:
            return error.code

    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(approve, range(6)))
    assert told.count("case_decided") == 5


def test_of_many_who_propose_one_does(office: Office) -> None:
    together = Barrier(6)

    def propose(number: int) -> str:
        together.wait()
        try:
            return office.propose(subject="same").state
        except DomainError as error:
            return error.code

    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(propose, range(6)))
    assert (told.count("proposed"), told.count("case_open")) == (1, 5)


def test_what_is_listed(office: Office) -> None:
    first, second = office.propose().reference, office.propose().reference
    third = office.propose(office.rehema, "float_buy").reference
    office.withdraw(second)

    def listed(*, open_only: bool) -> list[str]:
        found = office.desk.db.transact(lambda s: cases.listed(s, open_only=open_only))
        return [one.reference for one in found]

    assert listed(open_only=True) == [first, third]
    assert listed(open_only=False) == [third, second, first]


# --- what the database refuses, whatever the code does ---


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("checker_id = maker_id, checker = maker", "cases_four_eyes"),
        ("checker_id = {baraka}, checker = 'asha'", "cases_checker_id_checker_fkey"),
        ("checker_id = {baraka}, checker = NULL", "cases_checker_id_checker_fkey"),
        ("reason = NULL", "cases_check"),
    ],
)
def test_no_approval_without_another(office: Office, change: str, why: str) -> None:
    office.propose()
    change = change.format(baraka=f"'{office.baraka.id}'")
    with pytest.raises(DBAPIError, match=why):
        office.desk.as_application(
            f"UPDATE cases SET state = 'approved', decided_at = now(), {change}"
        )


@pytest.mark.parametrize(
    "change", ["maker_id = checker_id", "facts = '{}'", "subject = 'x'", "evidence = 'none'"]
)
def test_a_proposal_is_written_once(office: Office, change: str) -> None:
    office.propose()
    with pytest.raises(DBAPIError, match="permission denied"):
        office.desk.as_application(f"UPDATE cases SET {change}")
    with pytest.raises(DBAPIError, match="permission denied"):
        office.desk.as_application("DELETE FROM cases")


def test_what_was_decided_stays_so(office: Office) -> None:
    office.refuse(office.propose().reference)
    with pytest.raises(DBAPIError, match="is decided and stays so"):
        office.desk.as_application(
            "UPDATE cases SET state = 'proposed', checker_id = NULL, checker = NULL,"
            " decided_at = NULL, reason = NULL"
        )


def test_a_makers_name_is_the_accounts(office: Office) -> None:
    office.propose()
    with pytest.raises(DBAPIError, match="cases_maker_id_maker_fkey"):
        office.desk.as_application(
            "INSERT INTO cases (id, reference, kind, subject, facts, evidence, state, maker_id,"
            " maker, proposed_at) SELECT gen_random_uuid(), '00000000', kind, 'other', facts,"
            " evidence, state, maker_id, 'baraka', now() FROM cases"
        )
