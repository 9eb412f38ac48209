"""Cash in and out: the ladders of refusals in their order, once, commission, receipts to both."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.errors import DomainError
from app.wallet import commission
from app.wallet.counter import cash
from app.wallet.keys import new_key
from app.wallet.people import Person, masked
from tests.people import fresh_msisdn
from tests.wallet.counter.kiosk import Kiosk, with_parent
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, changed, now

# The demo market: a deposit of 1,000.00 is free and earns 8.00, of which a super-agent gets 1.60;
# taking out 1,000.00 costs 29.00 with 3.78 tax in it, and half of the rest is commission.
AMOUNT, EARNED, ABOVE = 100_000, 800, 160
FEE, TAX, SHARED = 2_900, 378, 1_261


def test_cash_in_moves_float_to_wallet_and_tells_both(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(), kiosk.person(500, name="Juma Otieno")
    offer = kiosk.offer_in(agent, customer.msisdn, AMOUNT)
    assert (offer.name, offer.fee_minor, offer.total_minor) == (masked("Juma Otieno"), 0, AMOUNT)
    view = kiosk.confirm(cash.confirm_in, offer, agent.person_id)
    assert kiosk.balance(agent.float_id) == BALANCE - AMOUNT
    assert kiosk.balance(customer.wallet_id) == 500 + AMOUNT
    assert (view.kind, view.agent_id, view.payee_id, view.payer_id) == (
        "cash_in", agent.id, customer.id, None,
    )  # fmt: skip
    assert kiosk.kinds(customer.msisdn) == ["cash_in_done"]
    assert kiosk.kinds(agent.msisdn) == ["cash_in_given"]
    done, given = (
        kiosk.said(customer.msisdn, "cash_in_done"),
        kiosk.said(agent.msisdn, "cash_in_given"),
    )
    assert done.startswith(
        "Neema Kiosk put KES 1,000.00 into your wallet. Fee KES 0.00. Bal KES 1,005.00. Ref "
    )
    assert given.startswith(f"Umemwekea {offer.name} KES 1,000.00. Ada KES 0.00. Floti KES 9,000")
    assert view.reference in done
    assert view.reference in given
    assert kiosk.verify() == []


def test_a_deposit_that_costs_nothing_is_owed_by_the_operator(kiosk: Kiosk) -> None:
    above, agent = with_parent(kiosk)
    house = kiosk.house("commission")
    kiosk.cash_in(agent, kiosk.person(), AMOUNT)
    assert kiosk.house("commission") == house
    accrued = [kiosk.run(lambda s, a=a: commission.accrued_minor(s, a.id)) for a in (agent, above)]
    assert accrued == [EARNED - ABOVE, ABOVE]


def test_cash_out_takes_amount_and_fee_and_funds_the_commission(kiosk: Kiosk) -> None:
    above, agent = with_parent(kiosk)
    customer = kiosk.person(name="Juma Otieno")
    house = {name: kiosk.house(name) for name in ("tax", "commission", "fees")}
    view = kiosk.cash_out(customer, agent, AMOUNT)
    assert kiosk.balance(customer.wallet_id) == BALANCE - AMOUNT - FEE
    assert kiosk.balance(agent.float_id) == BALANCE + AMOUNT
    assert {name: kiosk.house(name) - was for name, was in house.items()} == {
        "tax": TAX, "commission": SHARED, "fees": FEE - TAX - SHARED,
    }  # fmt: skip
    accrued = [kiosk.run(lambda s, a=a: commission.accrued_minor(s, a.id)) for a in (agent, above)]
    assert accrued == [SHARED - SHARED // 5, SHARED // 5]
    assert kiosk.kinds(customer.msisdn) == ["cash_out_done"]
    assert kiosk.said(customer.msisdn, "cash_out_done").startswith(
        "Take KES 1,000.00 cash from Neema Kiosk. Fee KES 29.00. Bal KES 8,971.00. Ref "
    )
    pay = kiosk.said(agent.msisdn, "cash_out_pay")
    name = masked(customer.name)
    assert pay.startswith(f"Mlipe {name} taslimu KES 1,000.00 sasa. Floti KES 11,000.00.")
    assert view.reference in pay
    assert kiosk.verify() == []


def test_a_fee_out_of_the_cash_leaves_less_cash(kiosk: Kiosk) -> None:
    bands = [
        {"up_to_minor": 5_000, "fee_minor": 0},
        {"up_to_minor": 25_000_000, "fee_minor": 2_000},
    ]
    kiosk.tariff("cash_out", payer="receiver", bands=bands)
    agent, customer = kiosk.agent(), kiosk.person()
    view = kiosk.cash_out(customer, agent, AMOUNT)
    assert kiosk.balance(customer.wallet_id) == BALANCE - AMOUNT
    assert kiosk.balance(agent.float_id) == BALANCE + AMOUNT - 2_000
    assert view.received_minor == AMOUNT - 2_000
    assert "KES 980.00" in kiosk.said(agent.msisdn, "cash_out_pay")


def test_what_a_cash_in_is_refused_for_in_order(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(), kiosk.person()
    invited = kiosk.person()
    kiosk.set(Person, invited.id, state="invited", consented_at=None)

    def refusal(msisdn: str, amount_minor: int) -> str:
        return kiosk.refused(lambda: kiosk.offer_in(kiosk.again(agent), msisdn, amount_minor)).code

    assert refusal(agent.msisdn, 1) == "own_number"
    assert refusal(fresh_msisdn(), 1) == "person_unknown"
    assert refusal(invited.msisdn, 1) == "person_unknown"
    kiosk.set(Person, customer.id, state="suspended")
    assert refusal(customer.msisdn, 1) == "payee_suspended"
    kiosk.set(Person, customer.id, state="dormant")
    assert refusal(customer.msisdn, 1) == "amount_too_small"
    assert refusal(customer.msisdn, AMOUNT + 1) == "amount_step"
    assert refusal(customer.msisdn, 25_000_100) == "amount_too_large"
    kiosk.suspend(agent)
    assert refusal(agent.msisdn, 1) == "agent_suspended"


def test_what_a_cash_out_is_refused_for_in_order(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(), kiosk.person()
    wrong = agent.code[:-1] + str((int(agent.code[-1]) + 1) % 10)

    def refusal(code: str, amount_minor: int, who: Person = customer) -> str:
        return kiosk.refused(lambda: kiosk.offer_out(who, code, amount_minor)).code

    assert refusal(wrong, 1) == "agent_code_wrong"
    assert refusal("12345", 1) == "agent_code_wrong"
    assert refusal("000000", 1) == "agent_unknown"
    agents_person = kiosk.run(lambda s: s.get_one(Person, agent.person_id))
    assert refusal(agent.code, 1, agents_person) == "own_code"
    assert refusal(f" {agent.code[:3]}-{agent.code[3:]} ", 1) == "amount_too_small"
    assert refusal(agent.code, AMOUNT + 1) == "amount_step"
    assert refusal(agent.code, 25_000_100) == "amount_too_large"
    kiosk.suspend(agent)
    assert refusal(agent.code, 1) == "agent_suspended"


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_confirmation_is_refused_with_nothing_changed(kiosk: Kiosk, way: str) -> None:
    agent, customer = kiosk.agent(), kiosk.person()
    offer = (
        kiosk.offer_in(agent, customer.msisdn, AMOUNT)
        if way == "in"
        else kiosk.offer_out(customer, agent.code, AMOUNT)
    )
    by = agent.person_id if way == "in" else customer.id
    confirming = cash.confirm_in if way == "in" else cash.confirm_out
    intent = kiosk.intent(offer, by)

    def refusal(**more: object) -> str:
        asked = {"offer": offer, "by": by, "intent_id": intent} | more
        return kiosk.refused(lambda: kiosk.confirm(confirming, **asked)).code  # type: ignore[arg-type]

    assert refusal(intent_id=new_key()) == "intent_closed"
    assert refusal(by=kiosk.person().id) == "intent_closed"
    assert refusal(offer=changed(offer, amount_minor=AMOUNT + 100)) == "intent_changed"
    assert refusal(at=now() + timedelta(minutes=3)) == "intent_expired"
    kiosk.suspend(agent)
    assert refusal() == "agent_suspended"
    kiosk.resume(agent)
    kiosk.set(Person, agent.person_id, state="suspended")
    assert refusal() == "agent_suspended"
    kiosk.set(Person, agent.person_id, state="active")
    kiosk.set(Person, customer.id, state="suspended")
    assert refusal() == ("payee_suspended" if way == "in" else "person_suspended")
    kiosk.set(Person, customer.id, state="active")
    assert kiosk.balance(customer.wallet_id) == kiosk.balance(agent.float_id) == BALANCE
    assert kiosk.messages(customer.msisdn) == kiosk.messages(agent.msisdn) == []
    assert kiosk.confirm(confirming, offer, by, intent_id=intent).state == "posted"


def test_an_empty_float_a_full_wallet_and_the_customers_limits(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(AMOUNT), kiosk.person(0)
    empty = kiosk.refused(lambda: kiosk.cash_in(agent, customer, AMOUNT + 100))
    assert empty.code == "insufficient_funds"
    assert empty.facts == {"total": "KES 1,001.00", "available": "KES 1,000.00"}
    kiosk.tier(balance_minor=AMOUNT - 1)
    assert kiosk.refused(lambda: kiosk.cash_in(agent, customer, AMOUNT)).code == "limit_balance"
    kiosk.tier(balance_minor=AMOUNT)
    kiosk.cash_in(agent, customer, AMOUNT)
    kiosk.tier(per_transaction_minor=50_000, per_day_minor=60_000)
    over = kiosk.refused(lambda: kiosk.cash_out(customer, agent, 60_000))
    assert over.code == "limit_transaction"
    kiosk.cash_out(customer, agent, 40_000)
    assert kiosk.refused(lambda: kiosk.cash_out(customer, agent, 30_000)).code == "limit_day"
    assert kiosk.refused(lambda: kiosk.cash_out(kiosk.person(5_000), agent, 5_000)).code == (
        "insufficient_funds"
    )


@pytest.mark.parametrize("way", ["in", "out"])
def test_sixteen_confirmations_at_once_move_money_once(kiosk: Kiosk, way: str) -> None:
    agent, customer = kiosk.agent(), kiosk.person()
    offer = (
        kiosk.offer_in(agent, customer.msisdn, AMOUNT)
        if way == "in"
        else kiosk.offer_out(customer, agent.code, AMOUNT)
    )
    by = agent.person_id if way == "in" else customer.id
    confirming = cash.confirm_in if way == "in" else cash.confirm_out
    intent = kiosk.intent(offer, by)

    def confirm(_: int) -> object:
        return kiosk.confirm(confirming, offer, by, intent_id=intent).id

    assert len(set(together(8, confirm))) == 1
    moved = -AMOUNT if way == "in" else AMOUNT
    assert kiosk.balance(agent.float_id) == BALANCE + moved
    assert len(kiosk.messages(customer.msisdn)) == len(kiosk.messages(agent.msisdn)) == 1
    # Long after its deadline the same intent still answers what it made.
    assert (
        confirm(0)
        == kiosk.confirm(confirming, offer, by, intent_id=intent, at=now() + timedelta(days=1)).id
    )


def test_a_price_is_that_of_the_quote(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(), kiosk.person()
    offer = kiosk.offer_out(customer, agent.code, AMOUNT)
    kiosk.tariff("cash_out", bands=[{"up_to_minor": 25_000_000, "fee_minor": 1}])
    assert kiosk.confirm(cash.confirm_out, offer, customer.id).fee_minor == FEE


def test_many_deposits_and_withdrawals_at_one_counter(kiosk: Kiosk) -> None:
    """No deadlock that `transact` would have to hide, nothing lost."""
    agent = kiosk.agent(10_000_000)
    customers = [kiosk.person() for _ in range(6)]

    def work(number: int) -> None:
        for _ in range(5):
            kiosk.cash_in(agent, customers[number], 10_000)
            kiosk.cash_out(customers[number], agent, 10_000)

    together(6, work)
    assert kiosk.balance(agent.float_id) == 10_000_000
    assert {kiosk.balance(c.wallet_id) for c in customers} == {BALANCE - 5 * 1_000}
    assert kiosk.verify() == []


def test_a_suspension_waits_for_what_is_under_way(kiosk: Kiosk) -> None:
    """Once `set_state` has committed, nothing of that agent is posted any more."""
    agent, customer = kiosk.agent(10_000_000), kiosk.person(0)

    def work(number: int) -> list[str]:
        if number == 0:
            kiosk.suspend(agent)
            return [str(kiosk.balance(agent.float_id))]
        said = []
        for _ in range(20):
            offer = kiosk.offer_in(agent, customer.msisdn, 10_000)
            try:
                kiosk.confirm(cash.confirm_in, offer, agent.person_id)
            except DomainError as error:
                said.append(error.code)
        return said

    (at_suspension,), *said = together(4, work)
    assert kiosk.balance(agent.float_id) == int(at_suspension)
    assert {code for each in said for code in each} <= {"agent_suspended"}
