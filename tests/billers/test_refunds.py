"""The payer's money after a biller took a sale back: given back once, by two of the staff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.billers import models, payments, refunds, settlement
from app.billers.payments import PaymentView
from app.db import Database
from app.errors import DomainError
from app.staff import overview, timeline
from app.staff.accounts import Staff
from app.wallet import agents, commission, ledger, people, verify
from app.wallet import refunds as wallet_refunds
from app.wallet.agents import Agent
from app.wallet.keys import derived_key, new_key
from app.wallet.ledger import Move, Posting
from app.wallet.people import Person
from app.wallet.trust import identity
from tests.billers.clerks import Clerks
from tests.billers.played import refuse
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now
from tests.billers.test_counter import ABOVE, EARNED, TAX, Counter, words
from tests.people import fresh_msisdn
from tests.wallet.test_ledger_races import together

OWN_RULES = ("refunds",)
# What breaks it, and the other rules that see the same.
BREAKS: list[tuple[str, set[str]]] = [
    ("UPDATE payments SET refunded_at = NULL WHERE id = :payment", set()),
    (
        "UPDATE refunds SET posting_id = NULL WHERE posting_id = :posting",
        {"authorities", "reversals"},
    ),
    (
        "DELETE FROM refunds WHERE posting_id = :posting",
        {"authorities", "reversals"},
    ),
    (
        "UPDATE moves SET amount_minor = amount_minor + 1 WHERE posting_id = :posting AND line = 1",
        {"balance_replay", "sequence"},
    ),
    (
        "UPDATE posting_keys SET reversed_by = NULL WHERE reversed_by = :posting",
        {"reversals"},
    ),
]
HOUSE = ("fees", "tax", "commission", "suspense:returned")
TOTAL = AMOUNT + FEE


@dataclass
class Office:
    """Two of the staff, and a stage whose biller takes sales back."""

    stage: Stage
    clerks: Clerks

    def flipped(self, payment: PaymentView) -> PaymentView:
        """It was sold, and the biller took it back."""
        self.stage.drain()
        assert self.stage.view(payment).state == "captured"
        market = self.stage.market

        def work(session: Session) -> None:
            locked = models.lock(session, payment.id)
            settlement.returned(session, market, locked, now=now(), facts={"by": "test"})

        self.stage.db.transact(work)
        return self.stage.view(payment)

    def propose(self, payment: PaymentView) -> str:
        return self.clerks.propose(payment.reference)

    def approve(self, case: str, by: Staff | None = None) -> str:
        return self.clerks.approve(case, by)

    def refund(self, payment: PaymentView) -> str:
        return self.clerks.refund(payment.reference)

    def house(self) -> dict[str, int]:
        return {name: self.stage.house(name) for name in HOUSE}

    def kinds(self, payment: PaymentView) -> list[str]:
        return [kind for kind, _ in self.stage.messages(payment)]

    def check(self) -> None:
        """The books of the whole database."""
        db = self.stage.db
        assert db.transact(ledger.verify) == []
        assert db.transact(lambda s: identity.identity(s, "KES").off_minor) == 0
        assert sum(line.balance_minor for line in db.transact(ledger.trial_balance)) == 0


@pytest.fixture
def office(stage: Stage) -> Office:
    return Office(stage, Clerks.hired(stage.db, stage.market))


@pytest.fixture
def person(stage: Stage) -> Person:
    return stage.person()


@pytest.fixture
def counter(stage: Stage) -> Counter:
    """An agent below a super-agent, whose customer has no wallet."""

    def agent_of(person: Person, parent: Agent | None) -> Agent:
        return stage.db.transact(
            lambda s: agents.appoint(
                s, people.get(s, person.id), name="Neema Kiosk", currency="KES",
                is_super=parent is None, parent=parent, now=now(),
            )
        )  # fmt: skip

    above = agent_of(stage.person(1), None)
    person = stage.person(1)
    agent = agent_of(person, above)
    stage.pay_in(agent.float_id, BALANCE)
    return Counter(stage, above, agent, person, fresh_msisdn())


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(DomainError) as raised:
        call()
    return raised.value.code


def test_the_payer_has_amount_and_fee_again(office: Office, person: Person) -> None:
    stage, before = office.stage, office.house()
    payment = office.flipped(stage.pay(person))
    assert stage.balance(person).balance_minor == BALANCE - TOTAL
    assert office.kinds(payment) == ["payment_paid", "payment_returned"]
    case = office.propose(payment)
    assert office.house()["suspense:returned"] == before["suspense:returned"] + AMOUNT
    assert office.approve(case) == "KES 510.00 is back in the wallet"
    assert stage.balance(person).balance_minor == BALANCE
    assert office.house() == before
    assert stage.house(f"settlement:{stage.code}") == 0
    view = stage.view(payment)
    assert (view.state, view.state_for_payer) == ("returned", "released")
    assert view.refunded_at is not None
    assert stage.steps(payment)[-1] == "returned>returned refunded"
    assert office.kinds(payment)[-1] == "payment_refunded"
    facts = dict(stage.messages(payment))
    for language in ("en", "sw"):
        said = words(stage, "payment_refunded", facts["payment_refunded"], language)
        assert "KES 510.00" in said
        assert "KES 10,000.00" in said, "the new balance"
    assert "Your money is safe" not in words(stage, "payment_refunded", facts["payment_refunded"])
    assert "your money is safe" in words(stage, "payment_returned", facts["payment_returned"])
    office.check()


def test_an_agents_float_and_what_both_agents_earned(office: Office, counter: Counter) -> None:
    stage, before = office.stage, office.house()
    payment = office.flipped(counter.pay())
    assert office.house() == before | {
        "tax": before["tax"] + TAX,
        "commission": before["commission"] + EARNED,
        "fees": before["fees"] + FEE - TAX - EARNED,
        "suspense:returned": before["suspense:returned"] + AMOUNT,
    }
    assert counter.earned(counter.agent) == EARNED - ABOVE
    assert office.refund(payment) == "KES 510.00 is back in the agent's float"
    assert counter.float.balance_minor == BALANCE
    assert (counter.earned(counter.agent), counter.earned(counter.above)) == (0, 0)
    assert office.house() == before
    told, to = counter.told(payment), counter.recipients(payment)
    for kind in ("returned", "refunded"):
        assert to[f"bill_{kind}_by_you"][0] == counter.agent.msisdn
        assert to[f"bill_{kind}_for_you"][0] == counter.customer
    assert "give KES 510.00 back in cash" in words(
        stage, "bill_refunded_by_you", told["bill_refunded_by_you"]
    )
    assert "Get your KES 510.00 back from Neema Kiosk" in words(
        stage, "bill_refunded_for_you", told["bill_refunded_for_you"]
    )
    assert "balance_minor" not in told["bill_refunded_for_you"]
    office.check()


def test_commission_that_was_paid_already_is_owed_back(office: Office, counter: Counter) -> None:
    stage = office.stage
    payment = office.flipped(counter.pay())
    paid = stage.db.transact(
        lambda s: commission.pay(s, counter.agent, new_key(), "KES", until=now(), now=now())
    )
    assert paid is not None
    in_float = counter.float.balance_minor
    office.refund(payment)
    assert counter.float.balance_minor == in_float + TOTAL
    assert counter.earned(counter.agent) == -(EARNED - ABOVE)
    office.check()


def test_it_is_given_back_once(office: Office, person: Person) -> None:
    payment = office.flipped(office.stage.pay(person))
    case = office.propose(payment)
    assert refusal(lambda: office.propose(payment)) == "case_open"
    assert refusal(lambda: office.approve(case, by=office.clerks.maker)) == "same_person"
    assert office.stage.balance(person).balance_minor == BALANCE - TOTAL
    office.approve(case)
    assert refusal(lambda: office.approve(case)) == "case_decided"
    assert refusal(lambda: office.propose(payment)) == "sale_refunded"
    assert office.stage.balance(person).balance_minor == BALANCE


def test_of_eight_approvals_one_gives_back(office: Office, person: Person) -> None:
    payment = office.flipped(office.stage.pay(person))
    case = office.propose(payment)

    def approve(_: int) -> str:
        try:
            office.approve(case)
        except DomainError as error:
            return error.code
        return "approved"

    assert sorted(together(8, approve)) == ["approved", *["case_decided"] * 7]
    assert office.stage.balance(person).balance_minor == BALANCE
    assert office.kinds(payment).count("payment_refunded") == 1
    office.check()


def test_two_cases_at_one_moment_give_back_once(office: Office, person: Person) -> None:
    """The second of them stands for a release that would have let it through to the ledger."""
    stage = office.stage
    payment = office.flipped(stage.pay(person))
    approved = [_approved(office, payment) for _ in range(4)]

    def give_back(at: int) -> str:
        try:
            stage.db.transact(lambda s: _straight(s, payment, approved[at]))
        except DBAPIError as error:
            return str(error.orig).split(":")[0]
        return "given back"

    assert sorted(together(4, give_back)) == ["given back", *["refund_v1"] * 3]
    assert stage.balance(person).balance_minor == BALANCE


def _approved(office: Office, payment: PaymentView, **changes: int) -> UUID:
    facts = {"total_minor": payment.total_minor} | changes
    return office.clerks.agreed(payment.reference, **facts)


def _straight(session: Session, payment: PaymentView, case_id: UUID, **changes: Any) -> int:
    """The wallet's own call, without what the use case looks at."""
    arguments = {
        "key": new_key(),
        "hold_id": models.lock(session, payment.id).hold_id,
        "returned": f"payment:{payment.id}:returned",
    }
    posting = wallet_refunds.refund(session, case_id=case_id, now=now(), **(arguments | changes))
    models.lock(session, payment.id).refunded_at = now()
    return posting


def test_the_same_case_again_is_the_same_posting(office: Office, counter: Counter) -> None:
    stage = office.stage
    payment = office.flipped(counter.pay())
    case_id = _approved(office, payment)
    first, second = (stage.db.transact(lambda s: _straight(s, payment, case_id)) for _ in range(2))
    assert first == second
    assert counter.float.balance_minor == BALANCE
    assert counter.earned(counter.agent) == 0


@pytest.mark.parametrize("state", ["held", "captured", "released"])
def test_only_what_was_taken_back_is_given_back(office: Office, person: Person, state: str) -> None:
    stage = office.stage
    if state == "released":
        stage.biller.script = refuse("02")
    payment = stage.pay(person)
    if state != "held":
        stage.drain()
    assert stage.view(payment).state == state
    assert refusal(lambda: office.propose(payment)) == "not_returned"


def test_a_reference_that_nobody_has(office: Office) -> None:
    nobody = office.stage.db.transact
    assert refusal(lambda: nobody(lambda s: refunds.refundable(s, "NOSUCH00"))) == "payment_unknown"


def test_a_full_wallet_takes_it_and_the_day_stays_counted(office: Office, person: Person) -> None:
    stage = office.stage
    payment = office.flipped(stage.pay(person))
    most = stage.market.tiers[person.tier].balance_minor
    stage.pay_in(person.wallet_id, most - stage.balance(person).balance_minor)
    counted = _used(stage, person)
    office.refund(payment)
    assert stage.balance(person).balance_minor == most + TOTAL
    assert _used(stage, person) == counted
    assert counted


def _used(stage: Stage, person: Person) -> list[tuple[str, int]]:
    rows = stage.run(
        "SELECT name, used FROM limit_counters WHERE account_id = :id ORDER BY name",
        id=person.wallet_id,
    )
    return [(row.name, row.used) for row in rows]


def test_a_closed_wallet_gets_what_comes_back(office: Office, person: Person) -> None:
    payment = office.flipped(office.stage.pay(person))
    office.stage.run("UPDATE people SET state = 'suspended' WHERE id = :id", id=person.id)
    office.refund(payment)
    assert office.stage.balance(person).balance_minor == BALANCE


def test_the_database_lets_nothing_else_out(office: Office, person: Person) -> None:
    """An approved case alone moves no money of the house to a person."""
    stage = office.stage
    payment, other = (office.flipped(stage.pay(person)) for _ in range(2))
    captured = stage.pay(person)
    stage.drain()
    case_id = _approved(office, payment)

    def posts(*moves: tuple[str, int]) -> str | None:
        def work(session: Session) -> str | None:
            parts = tuple(
                Move(ledger.house_account(session, name, "KES"), person.wallet_id, minor)
                for name, minor in moves
            )
            posting = Posting(new_key(), "bill_payment_refund", parts, "x", f"case:{case_id}")
            (answer,) = ledger.post(session, [posting], now=now())
            return answer.refusal

        return stage.db.transact(work)

    net = FEE - TAX
    assert posts(("suspense:returned", TOTAL)) == "authority_invalid"
    exact = (("fees", net), ("tax", TAX), ("suspense:returned", AMOUNT))
    assert posts(*exact) == "authority_invalid", "refund_v1 has not written it down"

    def refused(case: UUID, **changes: Any) -> None:
        with pytest.raises(DBAPIError, match="refund_v1"):
            stage.db.transact(lambda s: _straight(s, payment, case, **changes))

    refused(case_id, returned=f"payment:{other.id}:returned")
    refused(case_id, returned=f"payment:{captured.id}:returned")
    refused(case_id, hold_id=new_key())
    refused(_approved(office, other, total_minor=TOTAL + 1))
    assert stage.balance(person).balance_minor == BALANCE - 3 * TOTAL


def test_a_proposal_alone_lets_nothing_out(office: Office, person: Person) -> None:
    stage = office.stage
    payment = office.flipped(stage.pay(person))
    case = office.propose(payment)
    (row,) = stage.run("SELECT id FROM cases WHERE reference = :reference", reference=case)
    with pytest.raises(DBAPIError, match="authority_invalid"):
        stage.db.transact(lambda s: _straight(s, payment, row.id))


def test_what_was_given_back_is_not_reversed_and_its_key_stays_taken(
    office: Office, person: Person
) -> None:
    stage = office.stage
    payment = office.flipped(stage.pay(person))
    office.refund(payment)
    key = derived_key(payment.id, "capture")
    (row,) = stage.run("SELECT * FROM posting_keys WHERE key = :key", key=key)
    assert row.reversed_by is not None
    taken_back = stage.db.transact(
        lambda s: ledger.reverse(
            s, key=new_key(), original_posting_id=row.posting_id, reference="x", now=now()
        )
    )
    assert taken_back.refusal == "authority_used"
    assert stage.balance(person).balance_minor == BALANCE


def test_a_sale_that_is_said_again_after_the_refund_rings(office: Office, person: Person) -> None:
    stage = office.stage
    payment = office.flipped(stage.pay(person))
    office.refund(payment)
    sold = stage.view(payment).tokens

    def say(session: Session) -> None:
        locked = models.lock(session, payment.id)
        settlement.paid(session, stage.market, locked, sold, now=now(), facts={})

    before = settlement.ALARMS.labels("sold_after_refund")._value.get()
    stage.db.transact(say)
    assert stage.steps(payment)[-1] == "returned>returned sold_after_refund"
    assert settlement.ALARMS.labels("sold_after_refund")._value.get() == before + 1
    assert stage.balance(person).balance_minor == BALANCE


def test_the_timeline_tells_both_people(office: Office, person: Person) -> None:
    payment = office.flipped(office.stage.pay(person))
    case = office.propose(payment)
    office.approve(case)
    told = [
        line.what for line in office.stage.db.transact(lambda s: timeline.of_payment(s, payment.id))
    ]
    assert f"{case} sale_refund proposed by {office.clerks.maker.name}" in told
    assert f"{case} sale_refund approved by {office.clerks.checker.name}" in told


def test_what_waits_for_staff_is_open_and_what_came_back_is_not(
    office: Office, person: Person
) -> None:
    db = office.stage.db
    payment = office.flipped(office.stage.pay(person))

    def waits() -> list[tuple[str, int | None]]:
        found = db.transact(lambda s: overview.of_person(s, people.get(s, person.id)))
        return [(one.reference, one.amount_minor) for one in found.open]

    assert waits() == [(payment.reference, TOTAL)]
    office.refund(payment)
    assert waits() == []
    (view,) = db.transact(lambda s: payments.recent(s, person.id, 5))
    assert view.refunded_at is not None


def test_the_database_keeps_refunded_for_what_was_taken_back(
    office: Office, person: Person
) -> None:
    stage = office.stage
    payment = stage.pay(person)
    stage.drain()
    with pytest.raises(DBAPIError, match="payments_refunded"):
        stage.run(text("UPDATE payments SET refunded_at = now() WHERE id = :id"), id=payment.id)


@pytest.mark.parametrize(("statement", "others"), BREAKS)
def test_verify_finds_it(
    office: Office,
    person: Person,
    migration_database_url: str,
    statement: str,
    others: set[str],
) -> None:
    payment = office.flipped(office.stage.pay(person))
    office.refund(payment)
    (row,) = office.stage.run(
        "SELECT id FROM postings WHERE key = :key", key=derived_key(payment.id, "refund")
    )
    owner = Database(migration_database_url, pool_size=1)
    with owner.engine.connect() as connection, Session(connection) as session:
        facts = {"payment": payment.id, "posting": row.id}
        named = {name: value for name, value in facts.items() if f":{name}" in statement}
        session.execute(text(statement), named)
        found = {finding.rule for finding in verify.findings(session)}
        session.rollback()
    owner.dispose()
    expected = others if "posting_keys" in statement else {*OWN_RULES} | others
    assert found == expected
