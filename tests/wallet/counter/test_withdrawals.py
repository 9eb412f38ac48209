"""Withdrawals by code: held with their price, paid out by one agent for one code, or given back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from app.errors import DomainError
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.counter import withdrawals
from app.wallet.counter.withdrawals import WithdrawalView
from app.wallet.keys import new_key
from app.wallet.people import Person, masked
from tests.people import fresh_msisdn
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, changed, now

AMOUNT, FEE = 100_000, 2_900
LIFE = timedelta(minutes=10)


@pytest.fixture
def agent(kiosk: Kiosk) -> Agent:
    return kiosk.agent()


@pytest.fixture
def customer(kiosk: Kiosk) -> Person:
    return kiosk.person(name="Juma Otieno")


@pytest.fixture
def made(kiosk: Kiosk, agent: Agent, customer: Person) -> WithdrawalView:
    return kiosk.make_code(customer, agent, AMOUNT)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def test_a_code_holds_amount_and_fee_and_comes_by_sms_only(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    assert kiosk.held(customer) == AMOUNT + FEE == made.total_minor
    assert (made.state, made.agent_name, made.agent_code) == ("open", agent.name, agent.code)
    assert made.expires_at - made.created_at == LIFE
    assert kiosk.kinds(customer.msisdn) == ["withdrawal_code"]
    (message,) = kiosk.messages(customer.msisdn)
    code = kiosk.digits(made)
    assert len(code) == 6
    assert code not in str(message.facts)
    assert message.facts["code_id"] == str(made.code_id)
    assert (message.facts["balance_minor"], message.facts["minutes"]) == (
        BALANCE - AMOUNT - FEE,
        10,
    )
    assert kiosk.messages(agent.msisdn) == []
    found = kiosk.run(lambda s: withdrawals.open_of(s, customer.id, now()))
    assert found == made


def test_the_right_code_moves_exactly_what_was_held(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due = kiosk.due(agent, customer)
    assert (due.offer.amount_minor, due.offer.name) == (AMOUNT, masked("Juma Otieno"))
    kiosk.type_code(due, kiosk.digits(made))
    # A price list that changes meanwhile changes nothing: the price stands in the row.
    kiosk.tariff("cash_out", bands=[{"up_to_minor": 25_000_000, "fee_minor": 1}])
    intent = kiosk.intent(due.offer, agent.person_id)
    view = kiosk.pay_out(due, agent, intent)
    assert (view.kind, view.amount_minor, view.fee_minor) == ("cash_out", AMOUNT, FEE)
    assert kiosk.balance(agent.float_id) == BALANCE + AMOUNT
    assert kiosk.balance(customer.wallet_id) == BALANCE - AMOUNT - FEE
    assert kiosk.held(customer) == 0
    after = kiosk.withdrawal(made)
    assert (after.state, after.transfer_id) == ("used", view.id)
    assert kiosk.kinds(customer.msisdn) == ["cash_out_done", "withdrawal_code"]
    assert kiosk.kinds(agent.msisdn) == ["cash_out_pay"]
    assert kiosk.pay_out(due, agent, intent).id == view.id
    assert len(kiosk.messages(agent.msisdn)) == 1
    assert kiosk.verify() == []


def test_without_the_code_nothing_is_paid_out(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due = kiosk.due(agent, customer)
    assert kiosk.refused(lambda: kiosk.pay_out(due, agent)).code == "withdrawal_unknown"
    assert kiosk.refused(lambda: kiosk.type_code(due, wrong(kiosk.digits(made)))).code == (
        "code_wrong"
    )
    assert kiosk.refused(lambda: kiosk.pay_out(due, agent)).code == "withdrawal_unknown"
    assert kiosk.balance(agent.float_id) == BALANCE


def test_three_wrong_codes_and_the_right_one_is_worth_nothing(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due, right = kiosk.due(agent, customer), kiosk.digits(made)
    said = [kiosk.refused(lambda: kiosk.type_code(due, wrong(right))) for _ in range(3)]
    assert [error.code for error in said] == ["code_wrong", "code_wrong", "code_locked"]
    assert said[0].facts == {"left": 2}
    assert kiosk.refused(lambda: kiosk.type_code(due, right)).code == "code_locked"
    assert kiosk.held(customer) == AMOUNT + FEE, "only its time, or the customer, frees it"
    kiosk.cancel_code(made, customer.id)
    assert kiosk.held(customer) == 0


def test_a_try_counts_whatever_happens_after_it(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due = kiosk.due(agent, customer)
    for _ in range(3):
        kiosk.begin(due)  # and the process dies
    assert kiosk.refused(lambda: kiosk.begin(due)).code == "code_locked"


def test_a_code_is_for_its_agent_its_customer_and_its_amount(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    other, stranger = kiosk.agent(), kiosk.person()
    unknown = "withdrawal_unknown"
    assert kiosk.refused(lambda: kiosk.due(other, customer)).code == unknown
    assert kiosk.refused(lambda: kiosk.due(agent, stranger)).code == unknown
    stranger.msisdn = fresh_msisdn()
    assert kiosk.refused(lambda: kiosk.due(agent, stranger)).code == unknown
    due = kiosk.due(agent, customer)
    kiosk.type_code(due, kiosk.digits(made))
    elsewhere = changed(due.offer, payee_account=other.float_id, agent_id=other.id)
    stolen = type(due)(due.withdrawal_id, due.code_id, elsewhere)
    assert kiosk.refused(lambda: kiosk.pay_out(stolen, other)).code == unknown
    more = type(due)(due.withdrawal_id, due.code_id, changed(due.offer, amount_minor=AMOUNT + 100))
    with pytest.raises(RuntimeError, match="hold_too_small"):
        kiosk.pay_out(more, agent)
    # A try of one code proves nothing about another.
    second = kiosk.make_code(stranger, agent, AMOUNT)
    attempt = kiosk.begin(due)
    other_due = type(due)(second.id, second.code_id, due.offer)
    refused = kiosk.refused(
        lambda: kiosk.run(lambda s: _prove(s, kiosk, other_due, attempt, kiosk.digits(made)))
    )
    assert refused.code == unknown


def _prove(session: object, kiosk: Kiosk, due: object, attempt: object, typed: str) -> None:
    from app.wallet.counter import redeeming

    redeeming.prove(session, kiosk.codes, due, attempt, typed, now())  # type: ignore[arg-type]


def test_what_making_a_code_is_refused_for_in_order(kiosk: Kiosk, agent: Agent) -> None:
    customer = kiosk.person(AMOUNT + FEE - 1)
    offer = kiosk.offer_out(customer, agent.code, AMOUNT)
    intent = kiosk.intent(offer, customer.id)

    def refusal(who: Person = customer, intent_id: UUID = intent) -> DomainError:
        return kiosk.refused(lambda: kiosk.confirm_code(offer, who, intent_id))

    assert refusal(intent_id=new_key()).code == "intent_closed"
    assert refusal(kiosk.person()).code == "intent_closed"
    kiosk.set(Person, customer.id, state="suspended")
    assert refusal().code == "person_suspended"
    kiosk.set(Person, customer.id, state="active")
    kiosk.suspend(agent)
    assert refusal().code == "agent_suspended"
    kiosk.resume(agent)
    kiosk.tier(per_transaction_minor=50_000)
    assert refusal().code == "limit_transaction"
    kiosk.tier(per_transaction_minor=50_000_00, per_day_minor=50_000_00)
    short = refusal()
    assert short.code == "insufficient_funds"
    assert short.facts == {"total": "KES 1,029.00", "available": "KES 1,028.99"}
    assert kiosk.messages(customer.msisdn) == []
    assert kiosk.held(customer) == 0


def test_one_open_code_a_customer(kiosk: Kiosk, agent: Agent, customer: Person) -> None:
    first = kiosk.make_code(customer, agent, AMOUNT)
    second = kiosk.refused(lambda: kiosk.make_code(customer, kiosk.agent(), 50_000))
    assert (second.code, second.facts) == ("withdrawal_open", {"amount": "KES 1,000.00"})
    assert kiosk.cancel_code(first, customer.id).state == "cancelled"
    assert kiosk.cancel_code(first, customer.id).state == "cancelled"
    assert kiosk.held(customer) == 0
    assert kiosk.kinds(customer.msisdn) == ["withdrawal_cancelled", "withdrawal_code"]
    kiosk.make_code(customer, agent, AMOUNT)


def test_an_overdue_code_makes_room_for_the_next(
    kiosk: Kiosk, agent: Agent, customer: Person
) -> None:
    first = kiosk.make_code(customer, agent, AMOUNT)
    later = now() + LIFE + timedelta(seconds=1)
    kiosk.make_code(customer, agent, 50_000, at=later)
    assert kiosk.withdrawal(first).state == "expired"
    assert kiosk.held(customer) == 50_000 + FEE
    assert "withdrawal_expired" in kiosk.kinds(customer.msisdn)


def test_codes_made_at_once_are_one(kiosk: Kiosk, agent: Agent, customer: Person) -> None:
    offer = kiosk.offer_out(customer, agent.code, AMOUNT)
    intents = [kiosk.intent(offer, customer.id) for _ in range(6)]

    def make(number: int) -> str:
        try:
            return kiosk.confirm_code(offer, customer, intents[number]).state
        except DomainError as error:
            return error.code

    assert sorted(together(6, make)) == ["open", *["withdrawal_open"] * 5]
    assert kiosk.held(customer) == AMOUNT + FEE


def test_the_same_intent_at_once_makes_one_code(
    kiosk: Kiosk, agent: Agent, customer: Person
) -> None:
    offer = kiosk.offer_out(customer, agent.code, AMOUNT)
    intent = kiosk.intent(offer, customer.id)
    made = together(8, lambda _: kiosk.confirm_code(offer, customer, intent).id)
    assert len(set(made)) == 1
    assert kiosk.held(customer) == AMOUNT + FEE
    assert len(kiosk.messages(customer.msisdn)) == 1


def test_nobody_else_cancels_and_a_used_code_is_not_cancelled(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    unknown = "withdrawal_unknown"
    assert kiosk.refused(lambda: kiosk.cancel_code(made, agent.person_id)).code == unknown
    due = kiosk.due(agent, customer)
    kiosk.type_code(due, kiosk.digits(made))
    kiosk.pay_out(due, agent)
    assert kiosk.refused(lambda: kiosk.cancel_code(made, customer.id)).code == unknown
    assert kiosk.withdrawal(made).state == "used"


@pytest.mark.parametrize("ledger_first", [False, True])
def test_time_gives_the_money_and_the_limits_back(
    kiosk: Kiosk, agent: Agent, customer: Person, ledger_first: bool
) -> None:
    kiosk.tier(per_day_minor=AMOUNT, per_transaction_minor=AMOUNT)
    made = kiosk.make_code(customer, agent, AMOUNT)
    assert not kiosk.expire_code(made, made.expires_at - timedelta(seconds=1))
    if ledger_first:
        kiosk.run(lambda s: ledger.expire_holds(s, now=made.expires_at, limit=10_000))
        assert kiosk.held(customer) == 0
    overdue = kiosk.run(lambda s: withdrawals.overdue(s, made.expires_at, 10_000))
    assert made.id in overdue
    assert kiosk.expire_code(made, made.expires_at)
    assert not kiosk.expire_code(made, made.expires_at)
    assert kiosk.withdrawal(made).state == "expired"
    assert kiosk.held(customer) == 0
    said = kiosk.said(customer.msisdn, "withdrawal_expired")
    assert "The money is yours again. Bal KES 10,000.00." in said
    assert kiosk.refused(lambda: kiosk.due(agent, customer)).code == "withdrawal_unknown"
    kiosk.cash_out(customer, agent, AMOUNT)  # the day's limit is free again
    assert kiosk.verify() == []


def test_a_proven_code_dies_with_its_time_too(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due = kiosk.due(agent, customer)
    kiosk.type_code(due, kiosk.digits(made))
    kiosk.expire_code(made, made.expires_at)
    assert kiosk.refused(lambda: kiosk.pay_out(due, agent)).code == "code_used"
    assert kiosk.balance(agent.float_id) == BALANCE


def test_a_customer_suspended_meanwhile_gets_no_cash(
    kiosk: Kiosk, agent: Agent, customer: Person, made: WithdrawalView
) -> None:
    due = kiosk.due(agent, customer)
    kiosk.type_code(due, kiosk.digits(made))
    kiosk.set(Person, customer.id, state="suspended")
    assert kiosk.refused(lambda: kiosk.pay_out(due, agent)).code == "customer_suspended"
    kiosk.set(Person, customer.id, state="active")
    kiosk.suspend(agent)
    assert kiosk.refused(lambda: kiosk.pay_out(due, agent)).code == "agent_suspended"


def test_used_cancelled_and_expired_at_once_is_one_of_them(kiosk: Kiosk) -> None:
    ends = set()
    for _ in range(8):
        agent, customer = kiosk.agent(), kiosk.person()
        made = kiosk.make_code(customer, agent, AMOUNT)
        due = kiosk.due(agent, customer)
        kiosk.type_code(due, kiosk.digits(made))
        intent = kiosk.intent(due.offer, agent.person_id)

        def end(way: int, made: WithdrawalView, ways: list[object]) -> bool:
            try:
                return bool(ways[way]())  # type: ignore[operator]
            except DomainError:
                return False

        ways = [
            partial(kiosk.pay_out, due, agent, intent),
            partial(kiosk.cancel_code, made, customer.id),
            partial(kiosk.expire_code, made, made.expires_at),
        ]
        done = together(3, partial(end, made=made, ways=ways))
        after = kiosk.withdrawal(made)
        ends.add(after.state)
        paid = kiosk.balance(agent.float_id) - BALANCE
        assert (after.state == "used") == done[0] == (paid == AMOUNT)
        assert paid in (0, AMOUNT)
        assert kiosk.held(customer) == 0
        assert kiosk.balance(customer.wallet_id) == BALANCE - (AMOUNT + FEE if paid else 0)
    assert ends <= {"used", "cancelled", "expired"}
    assert kiosk.verify() == []


def test_the_database_wants_a_proven_code_for_a_used_one(
    kiosk: Kiosk, made: WithdrawalView, customer: Person, agent: Agent
) -> None:
    transfer = kiosk.cash_in(agent, customer, AMOUNT)
    for change, constraint in (
        ("state = 'used', closed_at = now(), transfer_id = :transfer", "withdrawals_used"),
        ("state = 'expired'", "withdrawals_closed"),
        ("transfer_id = :transfer", "withdrawals_used"),
        ("amount_minor = 1", "permission denied"),
    ):
        with pytest.raises(Exception, match=constraint):
            kiosk.query(
                f"UPDATE withdrawals SET {change} WHERE id = :id RETURNING id",
                id=made.id,
                **({"transfer": transfer.id} if ":transfer" in change else {}),
            )
