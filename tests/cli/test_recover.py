"""`quarantine`, `recover`, `messages`: nothing moves, then what is in doubt is asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app import markets
from app.billers import expiry, settlement
from app.billers.payments import PaymentView
from app.billers.protocols.answers import Answer, Outcome
from app.billers.states import State
from app.errors import DomainError
from app.sms import tries
from launcher.servers import Servers
from tests.billers.played import pending
from tests.billers.stage import AMOUNT, Stage, now
from tests.cli.office import Office, approved, own_office, proposed, refusal, said

WHY = ("--why", "restored to yesterday noon by asha")


@pytest.fixture
def office(servers: Servers, own_name: str) -> Iterator[Office]:
    """A database that is quarantined and nobody else's."""
    with own_office(servers, own_name) as made:
        yield made


def recovered(office: Office) -> str:
    return approved(office, proposed(office, "recover"))


def forget_sale(stage: Stage, payment: PaymentView) -> None:
    """What the biller sold is in no row of ours, as after a restore to before it."""
    body = {
        "ref_id": payment.biller_ref,
        "customer_no": payment.customer_no,
        "buyer_sku_code": stage.market.billers["stima"].products[0].sku,
        "amount": payment.amount_minor // 100,
    }
    stage.biller.sell(body)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(DomainError) as caught:
        work()
    assert caught.value.retryable, "a callback is told to come again"
    return caught.value.code


def test_in_quarantine_nothing_is_claimed_and_no_money_moves(office: Office) -> None:
    stage = office.stage
    stage.drain_until(stage.pay(), "captured")  # its receipt is due
    asked = len(stage.biller.requests)
    person, held = stage.person(), stage.pay()
    agreed = stage.quote()
    intent = stage.intent(person, agreed)
    said(office.run("quarantine", *WHY))
    assert refused(lambda: stage.confirm(person, agreed, intent)) == "quarantined"
    assert refused(stage.claim) == "quarantined"
    assert refused(lambda: stage.pay_in(person.wallet_id, 100)) == "quarantined"
    market, catalogues = stage.market, office.app.extensions["kibanda"].catalogues
    sms = lambda: stage.db.transact(lambda s: tries.claim(s, catalogues, market, 10))  # noqa: E731
    assert refused(sms) == "quarantined"
    office.admin("ALTER TABLE payments DISABLE TRIGGER quarantine")
    office.admin("UPDATE payments SET expires_at = now() - interval '1 minute'")
    office.admin("ALTER TABLE payments ENABLE TRIGGER quarantine")
    assert expiry.cancel_unsent(stage.db, market, now()) == 0
    assert stage.view(held).state == State.HELD
    assert len(stage.biller.requests) == asked
    assert office.stage.balance(person).available_minor == 1_000_000


def test_a_quarantine_that_stands_keeps_its_reason(office: Office) -> None:
    first = said(office.run("quarantine", *WHY))
    assert said(office.run("quarantine", "--why", "another reason")) == first
    assert "QUARANTINE since" in said(office.run("status"))
    refusal(office.run("quarantine", "--why", " a "), "reason_missing")


def test_settlement_orders_do_not_leave_in_quarantine(office: Office) -> None:
    said(office.run("quarantine", *WHY))
    refusal(office.run("settlement", "file", "ABCD2345", by="asha"), "quarantined", code=2)


def test_two_people_end_it(office: Office) -> None:
    refusal(office.run("recover", "--evidence", "ticket 4711", by="asha"), "not_quarantined")
    said(office.run("quarantine", *WHY))
    refusal(office.run("recover", "--evidence", "ticket 4711", by="mkuu"), "role_missing")
    reference = proposed(office, "recover")
    refusal(office.run("case", "approve", reference, by="asha"), "same_person")
    assert refused(office.stage.pay) == "quarantined", "a proposal does nothing"
    assert "the quarantine is lifted" in approved(office, reference)
    assert office.stage.drain_until(office.stage.pay(), "captured").state == State.CAPTURED
    assert "QUARANTINE" not in said(office.run("status"))


def test_what_was_held_is_asked_about_and_sold_once(office: Office) -> None:
    """One was sold after the restored instant, one was not: the biller's memory decides."""
    stage = office.stage
    was_sold, was_not = stage.pay(), stage.pay()
    forget_sale(stage, was_sold)
    said(office.run("quarantine", *WHY))
    assert recovered(office).startswith("2 payments are unknown")
    assert {stage.view(one).state for one in (was_sold, was_not)} == {State.UNKNOWN}
    for one in (was_sold, was_not):
        assert stage.drain_until(one, "captured").state == State.CAPTURED
    assert len(stage.biller.sold) == 2, "each reference was sold once"
    assert stage.steps(was_sold)[:3] == [
        "held>held confirmed",
        "held>sent restored",
        "sent>unknown restored",
    ]
    assert said(office.run("verify")).endswith("0 findings\n")


def test_what_expired_meanwhile_is_asked_about_and_not_given_back(office: Office) -> None:
    """A restore takes longer than a hold lasts: the clock must not undo what a biller has sold."""
    stage = office.stage
    payment = stage.pay()
    forget_sale(stage, payment)
    office.admin(
        "UPDATE payments SET created_at = now() - interval '2 days',"
        " expires_at = now() - interval '2 days' + interval '1 minute';"
        " UPDATE holds SET expires_at = now() - interval '2 days' WHERE state = 'held'"
    )
    said(office.run("quarantine", *WHY))
    recovered(office)
    expiry.cancel_unsent(stage.db, stage.market, now())
    expiry.end_asking(stage.db, stage.market, now())
    assert stage.view(payment).state == State.UNKNOWN, "its biller has all its time, from now"
    assert stage.drain_until(payment, "captured").state == State.CAPTURED


@pytest.mark.parametrize(("age", "buys"), [("1 minute", True), ("2 days", False)])
def test_what_its_biller_does_not_know_is_bought_while_asking_lasts_and_no_later(
    office: Office, age: str, buys: bool
) -> None:
    """Always under the same reference; what is forgotten by now may have been sold all the same."""
    stage = office.stage
    product = stage.market.billers["stima"].products[0].model_dump()
    fixed = {**product, "pay": "fixed", "price_minor": AMOUNT, "min_minor": None, "max_minor": None}
    stage.rules(
        family="iak_prepaid", when_absent="buy_again", refused_codes=("07",),
        refused_first_codes=(), products=(fixed,),
    )  # fmt: skip
    payment = stage.pay()
    office.admin(f"UPDATE payments SET created_at = now() - interval '{age}'")
    said(office.run("quarantine", *WHY))
    recovered(office)
    (asked,) = stage.claim()
    assert not asked.buys
    absent = Answer(Outcome.ABSENT, "absent", "06", in_format=True)
    stage.db.transact(lambda s: settlement.record(s, stage.market, asked.claim, absent, now()))
    stage.hurry()
    (again,) = stage.claim()
    assert (again.buys, again.order.biller_ref) == (buys, payment.biller_ref)


def test_nobody_asks_where_asking_would_buy_anew(office: Office) -> None:
    payment = office.stage.pay()
    office.admin("UPDATE payments SET created_at = now() - interval '95 days'")
    said(office.run("quarantine", *WHY))
    recovered(office)
    assert office.stage.view(payment).state == State.MANUAL


def test_a_purchase_that_was_to_be_sent_again_is_asked_about_first(office: Office) -> None:
    stage = office.stage
    payment = stage.pay()
    stage.biller.script = pending
    stage.drain()
    office.admin("UPDATE payments SET send_again = true")
    said(office.run("quarantine", *WHY))
    recovered(office)
    stage.hurry()
    (work,) = stage.claim()
    assert not work.buys
    assert work.order.biller_ref == payment.biller_ref
    assert work.order.request > 2, "it says that it repeats"


@pytest.mark.parametrize("policy", ["advise", "reverse", "wait"])
def test_what_cannot_be_asked_about_by_reference_two_people_decide(
    office: Office, policy: str
) -> None:
    """An advice under another second than the lost one would buy it twice."""
    market = markets.load("demo")
    code = next(c for c, rules in market.billers.items() if rules.silence_policy == policy)
    payment = office.stage.pay()
    family = market.billers[code].family
    office.admin(f"UPDATE payments SET biller = '{code}', family = '{family}'")
    said(office.run("quarantine", *WHY))
    recovered(office)
    assert office.stage.view(payment).state == State.MANUAL


def test_a_payment_by_file_whose_day_is_not_over_stays_held(office: Office) -> None:
    payment = office.stage.pay()
    office.admin("UPDATE payments SET family = 'file', due_at = now() + interval '1 hour'")
    said(office.run("quarantine", *WHY))
    assert recovered(office).startswith("0 payments")
    assert office.stage.view(payment).state == State.HELD


def test_numbers_of_wires_are_not_given_twice(office: Office) -> None:
    office.stage.pay()
    said(office.run("quarantine", *WHY))
    recovered(office)
    office.stage.pay()
    first, second = [
        row.serial for row in office.stage.run("SELECT serial FROM payments ORDER BY serial")
    ]
    assert second - first > 1_000_000


def test_messages_wait_for_staff(office: Office) -> None:
    stage = office.stage
    sold, other = (stage.drain_until(stage.pay(), "captured") for _ in range(2))
    said(office.run("quarantine", *WHY))
    assert "2 messages wait for review" in recovered(office)
    shown = said(office.run("messages", "review"))
    assert shown.count("payment_paid") == 2
    ids = {row.subject: str(row.id) for row in stage.run("SELECT id, subject FROM messages")}
    refusal(office.run("messages", "send", ids[sold.id]), "staff_session_missing")
    refusal(office.run("messages", "send", by="asha"), "messages_missing")
    assert said(office.run("messages", "send", ids[sold.id], by="asha")) == "1 messages go out\n"
    refusal(office.run("messages", "send", ids[sold.id], by="asha"), "message_not_waiting")
    done = said(office.run("messages", "drop", "--kind", "payment_paid", by="asha"))
    assert done == "1 messages are not sent\n"
    states = {row.subject: row.state for row in stage.run("SELECT subject, state FROM messages")}
    assert states == {sold.id: "due", other.id: "gave_up"}
