"""Sending: the ladder of refusals in its order, once, within limits, receipts to both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from app.errors import DomainError
from app.markets.tariffs import Fee
from app.wallet import intents
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers import records, returns
from app.wallet.transfers.offers import Offer
from tests.people import fresh_msisdn
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, Town, changed, now

AMOUNT, FEE, TAX = 100_000, 1_300, 170  # the third band of the demo market; 15 % tax in the fee


def test_a_send_moves_amount_and_fee_and_tells_both(town: Town) -> None:
    payer, payee = town.person(), town.person(500, name="Juma Otieno", language="sw")
    fees, tax = town.house("fees"), town.house("tax")
    view = town.send(payer, payee, AMOUNT)
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT - FEE
    assert town.balance(payee.wallet_id) == 500 + AMOUNT
    assert (town.house("fees") - fees, town.house("tax") - tax) == (FEE - TAX, TAX)
    assert (view.state, view.total_minor, view.received_minor) == ("posted", AMOUNT + FEE, AMOUNT)
    assert (view.payer_id, view.payee_id, view.msisdn) == (payer.id, payee.id, payee.msisdn)
    assert town.kinds(payer.msisdn) == ["send_sent"]
    assert town.kinds(payee.msisdn) == ["send_received"]
    sent = town.said(payer.msisdn, "send_sent")
    assert sent.startswith("Sent KES 1,000.00 to Juma O, fee KES 13.00. Bal KES 8,987.00. Ref ")
    assert view.reference in sent
    received = town.said(payee.msisdn, "send_received")
    assert received.startswith("Umepokea KES 1,000.00 kutoka Amina W, salio KES 1,005.00. Kumb. ")
    assert town.verify() == []


def test_a_receiver_may_pay_the_fee_out_of_what_comes_in(town: Town) -> None:
    bands = [{"up_to_minor": 50_000, "fee_minor": 0}, {"up_to_minor": 25_000_000, "fee_minor": FEE}]
    town.tariff("send", payer="receiver", bands=bands)
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT
    assert town.balance(payee.wallet_id) == AMOUNT - FEE
    assert (view.fee_payer, view.total_minor, view.received_minor) == (
        "receiver",
        AMOUNT,
        AMOUNT - FEE,
    )
    assert "KES 987.00" in town.said(payee.msisdn, "send_received")
    assert "Bal KES 9,000.00" in town.said(payer.msisdn, "send_sent")
    assert town.verify() == []


def test_a_free_band_leaves_no_empty_move(town: Town) -> None:
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, 10_000)
    assert view.fee_minor == 0
    assert town.balance(payer.wallet_id) == BALANCE - 10_000


# Who is offered what, in the order in which it is looked at.
def test_what_an_offer_is_refused_for_in_order(town: Town) -> None:
    payer, payee = town.person(), town.person()

    def code(msisdn: str, amount_minor: int = 1) -> str:
        return town.refused(lambda: town.offer_send(payer, msisdn, amount_minor)).code

    assert code(payer.msisdn, -1) == "own_number"
    assert code(fresh_msisdn(), -1) == "person_unknown"
    town.set(Person, payee.id, state="suspended")
    assert code(payee.msisdn, -1) == "payee_suspended"
    town.set(Person, payee.id, state="dormant")
    assert code(payee.msisdn, 0) == "amount_too_small"
    assert code(payee.msisdn, 25_000_001) == "amount_too_large"
    long_ago = now() - timedelta(days=5_000)
    early = town.refused(lambda: town.offer_send(payer, payee.msisdn, 1, at=long_ago))
    assert early.code == "not_offered_yet"
    assert town.offer_send(payer, payee.msisdn, 25_000_000).name == "Amina W"


def test_who_is_only_invited_gets_a_voucher_instead(town: Town) -> None:
    payer, payee = town.person(), town.person(0)
    town.set(Person, payee.id, state="invited", consented_at=None)
    refused = town.refused(lambda: town.offer_send(payer, payee.msisdn, 1_000))
    assert refused.code == "person_unknown"


def test_the_ladder_of_a_confirmation(town: Town) -> None:
    """Everything is wrong; each line puts the named thing right, and the next one shows."""
    payer, payee = town.person(2_000), town.person(1)
    at = midmonth()
    send_at(town, payer, 1_000, at - timedelta(days=1))
    send_at(
        town, payer, 1_000, at
    )  # nothing is left; 1,000 are used of the day, 2,000 of the month
    offer = town.offer_send(payer, payee.msisdn, 1_000)
    intent = town.intent(offer, payer.id, at=at)
    for person in (payer, payee):
        town.set(Person, person.id, state="suspended")
    town.tier(
        per_transaction_minor=999, per_day_minor=1_999, per_month_minor=2_999, balance_minor=1_000
    )
    ladder: list[tuple[str, dict[str, str], Callable[[], object]]] = [
        ("person_suspended", {}, lambda: town.set(Person, payer.id, state="active")),
        ("payee_suspended", {}, lambda: town.set(Person, payee.id, state="dormant")),
        (
            "limit_transaction",
            {"once": "KES 9.99"},
            lambda: town.tier(per_transaction_minor=1_000),
        ),
        ("limit_balance", {"most": "KES 10.00"}, lambda: town.tier(balance_minor=1_001)),
        (
            "limit_day",
            {"day": "KES 19.99", "month": "KES 29.99"},
            lambda: town.tier(per_day_minor=2_000),
        ),
        (
            "limit_month",
            {"day": "KES 20.00", "month": "KES 29.99"},
            lambda: town.tier(per_month_minor=3_000),
        ),
        (
            "insufficient_funds",
            {"total": "KES 10.00", "available": "KES 0.00"},
            lambda: send_at(town, town.person(1_000), 1_000, at, to=payer),
        ),
    ]
    for code, facts, put_right in ladder:
        refused = town.refused(lambda: town.confirm_send(offer, intent, payer.id, at=at))
        assert (refused.code, refused.facts) == (code, facts)
        assert not refused.retryable
        put_right()
    assert town.confirm_send(offer, intent, payer.id, at=at).amount_minor == 1_000
    assert town.balance(payee.wallet_id) == 1_001
    assert town.verify() == []


def test_the_ladder_of_an_intent(town: Town) -> None:
    payer, payee, other = town.person(), town.person(), town.person()
    offer = town.offer_send(payer, payee.msisdn, AMOUNT)
    at = now()
    intent = town.intent(offer, payer.id, at=at)

    def code(offered: Offer, intent_id: UUID, by: Person, when: datetime = at) -> str:
        confirm = partial(town.confirm_send, offered, intent_id, by.id, at=when)
        return town.refused(confirm).code

    late = at + timedelta(minutes=2)
    assert code(offer, new_key(), payer) == "intent_closed"
    assert code(offer, intent, other) == "intent_closed"
    assert code(changed(offer, amount_minor=AMOUNT + 1), intent, payer, late) == "intent_changed"
    assert code(offer, intent, payer, late) == "intent_expired"
    town.run(lambda session: intents.abandon(session, payer.id, at))
    assert code(offer, intent, payer) == "intent_closed"
    assert town.balance(payee.wallet_id) == BALANCE


@pytest.mark.parametrize(
    "values",
    [
        {"payee_account": 1},
        {"payer_account": 1},
        {"amount_minor": AMOUNT + 1},
        {"fee_payer": "receiver"},
        {"msisdn": "+254700000000"},
        {"kind": "cash_out"},
        {"currency": "UGX"},
        {"agent_id": UUID(int=7)},
        {"fee": Fee(FEE, TAX - 1)},
        {"fee": Fee(FEE + 1, TAX)},
        {"fee": Fee(FEE, TAX, 1)},
        {"fee": Fee(FEE, TAX, 1, 1)},
        {"fee": Fee(FEE, TAX, 1, 0, 1)},
    ],
)
def test_whatever_moves_money_is_agreed_to(values: dict[str, Any]) -> None:
    offer = Offer("send", 5, 6, None, None, None, "+254711000001", "", "KES", AMOUNT, Fee(FEE, TAX))
    assert changed(offer, **values).fingerprint != offer.fingerprint
    assert changed(offer, name="Somebody").fingerprint == offer.fingerprint


def test_the_same_intent_sends_once(town: Town) -> None:
    payer, payee = town.person(), town.person(0)
    offer = town.offer_send(payer, payee.msisdn, AMOUNT)
    intent = town.intent(offer, payer.id)
    views = together(8, lambda _: town.confirm_send(offer, intent, payer.id))
    assert len({view.id for view in views}) == 1
    assert town.balance(payee.wallet_id) == AMOUNT
    assert town.kinds(payer.msisdn) == ["send_sent"]
    town.tariff("send", bands=[{"up_to_minor": 25_000_000, "fee_minor": 1}])
    assert town.confirm_send(offer, intent, payer.id).id == views[0].id


def test_50_sends_of_one_person_never_pass_a_limit_by_one_unit(town: Town) -> None:
    town.tier(per_transaction_minor=700, per_day_minor=9_999, per_month_minor=9_999)
    payer, payees = town.person(), [town.person(0) for _ in range(5)]
    used = fill_up(town, payer, payees)
    assert 9_999 - 700 < used <= 9_999
    assert town.balance(payer.wallet_id) == BALANCE - used
    assert town.verify() == []


def test_50_sends_to_one_person_never_pass_the_most_of_a_wallet(town: Town) -> None:
    town.tier(balance_minor=9_999)
    payers, payee = [town.person() for _ in range(10)], town.person(100)

    def work(number: int) -> str:
        payer = payers[number % 10]
        offer = town.offer_send(payer, payee.msisdn, 401 + number)
        return sent_or_refused(town, offer, payer)

    refusals = together(50, work)
    assert set(refusals) == {"", "limit_balance"}
    assert 9_999 - 450 < town.balance(payee.wallet_id) <= 9_999
    assert town.verify() == []


def test_two_people_who_send_to_each_other_wait_for_nobody(town: Town) -> None:
    one, two = town.person(), town.person()

    def work(number: int) -> str:
        payer, payee = (one, two) if number % 2 else (two, one)
        offer = town.offer_send(payer, payee.msisdn, 1_000)
        return sent_or_refused(town, offer, payer)

    assert set(together(20, work)) == {""}
    assert town.balance(one.wallet_id) + town.balance(two.wallet_id) == 2 * BALANCE


def test_a_person_sees_what_they_sent_and_got_newest_first(town: Town) -> None:
    one, two = town.person(), town.person()
    first, second = town.send(one, two, 1_000), town.send(two, one, 2_000)
    seen = town.run(lambda session: records.recent(session, one.id, 5))
    assert [view.id for view in seen] == [second.id, first.id]
    assert town.run(lambda session: records.recent(session, one.id, 1)) == [second]
    typed = f" {first.reference.lower()} "
    assert town.run(lambda session: records.of_reference(session, typed)) == first
    assert town.run(lambda session: records.of_reference(session, "NOSUCHREF")) is None


def test_the_same_again_is_found_until_its_money_came_back(town: Town) -> None:
    payer, payee = town.person(), town.person()
    offer = town.offer_send(payer, payee.msisdn, AMOUNT)
    since = now() - timedelta(minutes=1)

    def before(offered: Offer, after: datetime = since) -> UUID | None:
        found = town.run(lambda session: records.same_since(session, offered, after))
        return found.id if found else None

    assert before(offer) is None
    sent = town.send(payer, payee, AMOUNT)
    assert before(offer) == sent.id
    assert before(changed(offer, amount_minor=AMOUNT + 1)) is None
    assert before(changed(offer, msisdn="+254700000000")) is None
    assert before(offer, sent.created_at + timedelta(seconds=1)) is None
    town.run(lambda s: returns.take_back(s, sent, key=new_key(), now=now()))
    assert before(offer) is None


def midmonth() -> datetime:
    """A day with others of its month before and after it, in the market's time too."""
    return (now().replace(day=1, hour=9) + timedelta(days=40)).replace(day=15)


def send_at(
    town: Town, payer: Person, amount_minor: int, at: datetime, to: Person | None = None
) -> None:
    offer = town.offer_send(payer, (to or town.person(0)).msisdn, amount_minor)
    town.confirm_send(offer, town.intent(offer, payer.id, at=at), payer.id, at=at)


def fill_up(town: Town, payer: Person, payees: list[Person]) -> int:
    """50 sends at once; what they used of the day."""

    def work(number: int) -> str:
        offer = town.offer_send(payer, payees[number % 5].msisdn, 601 + number)
        return sent_or_refused(town, offer, payer)

    refusals = together(50, work)
    assert set(refusals) == {"", "limit_day"}
    return sum(town.balance(payee.wallet_id) for payee in payees)


def sent_or_refused(town: Town, offer: Offer, payer: Person) -> str:
    try:
        town.confirm_send(offer, town.intent(offer, payer.id), payer.id)
    except DomainError as error:
        return error.code
    return ""
