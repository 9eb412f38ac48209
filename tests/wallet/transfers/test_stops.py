"""Stops: who may ask, what is set aside, what staff decide, what a clock ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import TypeVar
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.tariffs import Fee
from app.wallet import commission, ledger, people
from app.wallet.agents import Agent
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from app.wallet.people import Person
from app.wallet.transfers import posting, records, returns, stops
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.stops import StopView
from tests.people import fresh_msisdn
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, Town, now

AMOUNT, FEE = 100_000, 1_300
DAY = timedelta(days=1)
T = TypeVar("T")


def ask(town: Town, view: TransferView, by: Person | UUID, at: datetime | None = None) -> StopView:
    person_id = by if isinstance(by, UUID) else by.id
    return town.run(
        lambda session: stops.ask(session, town.market, view.id, by=person_id, now=at or now())
    )


def approve(town: Town, stop: StopView, top_up_minor: int = 0) -> StopView:
    return town.run(
        lambda session: stops.approve(
            session, town.market, stop.id, by="checker", now=now(), top_up_minor=top_up_minor
        )
    )


def refuse(town: Town, stop: StopView) -> StopView:
    return town.run(lambda session: stops.refuse(session, stop.id, by="checker", now=now()))


def collect(town: Town, stop: StopView, collection_id: UUID | None = None) -> int:
    return town.run(
        lambda session: stops.collect_later(
            session, town.market, stop.id,
            collection_id=collection_id or new_key(), by="clerk", now=now(),
        )
    )  # fmt: skip


def get(town: Town, stop: StopView) -> StopView:
    return town.run(lambda session: stops.get(session, stop.id))


def spend(town: Town, person: Person, amount_minor: int) -> None:
    """The person pays it to somebody else, without a fee."""
    away = town.person(0)
    move = Posting(new_key(), "test", (Move(person.wallet_id, away.wallet_id, amount_minor),))
    (answer,) = town.run(lambda session: ledger.post(session, [move], now=now()))
    assert answer.refusal is None


def cash_in(town: Town, agent: Agent, customer: Person) -> TransferView:
    """As the counter posts it: the operator owes the agent 800 of commission."""
    offer = Offer(
        "cash_in", agent.float_id, customer.wallet_id, None, customer.id, agent.id,
        customer.msisdn, "", "KES", AMOUNT, Fee(0, 0, 800),
    )  # fmt: skip
    return town.run(
        lambda session: posting.carry_out(
            session, town.market, offer, intent=None, key=new_key(), now=now()
        )
    )


def test_what_a_stop_is_refused_for_in_order(town: Town) -> None:
    payer, payee = town.person(), town.person()
    view, voucher = town.send(payer, payee, AMOUNT), town.voucher(payer, fresh_msisdn(), 5_000)

    def code(transfer_id: UUID, by: Person, at: datetime | None = None) -> str:
        asking = partial(stops.ask, market=town.market, transfer_id=transfer_id, by=by.id)
        return town.refused(lambda: town.run(lambda session: asking(session, now=at or now()))).code

    assert code(new_key(), payer) == "stop_not_yours"
    assert code(voucher.transfer_id, payer) == "stop_not_yours", "a voucher is cancelled instead"
    assert code(view.id, payee) == "stop_not_yours"
    assert code(view.id, town.person(0)) == "stop_not_yours"
    assert code(view.id, payer, view.created_at + DAY) == "stop_too_late"
    asked = ask(town, view, payer, view.created_at + DAY - timedelta(seconds=1))
    assert code(view.id, payer, view.created_at + DAY) == "stop_too_late"
    assert code(view.id, payer) == "stop_known"
    refuse(town, asked)
    assert code(view.id, payer) == "stop_known", "once a transfer"
    taken_back = town.send(payer, payee, AMOUNT)
    town.run(lambda s: returns.take_back(s, taken_back, key=new_key(), now=now()))
    assert code(taken_back.id, payer, taken_back.created_at + 2 * DAY) == "stop_known"
    assert town.available(payee.wallet_id) == BALANCE + AMOUNT


@pytest.mark.parametrize(("left", "held"), [(AMOUNT + 1, AMOUNT), (AMOUNT, AMOUNT), (1, 1), (0, 0)])
def test_what_the_payee_still_has_of_it_is_set_aside(town: Town, left: int, held: int) -> None:
    payer, payee = town.person(), town.person(left, name="Juma Otieno")
    view = town.send(payer, payee, AMOUNT)
    spend(town, payee, AMOUNT)
    stop = ask(town, view, payer)
    assert (stop.state, stop.held_minor) == ("open", held)
    assert stop.expires_at == stop.asked_at + timedelta(seconds=town.market.stops.hold_seconds)
    assert (stop.transfer_reference, stop.kind) == (view.reference, "send")
    assert town.available(payee.wallet_id) == left - held
    asked = town.said(payer.msisdn, "stop_asked")
    assert asked.startswith("You asked for KES 1,000.00 back from Juma O; we decide before ")
    assert stop.reference in asked
    assert town.kinds(payee.msisdn) == ["send_received", *["stop_held"] * (held > 0)]
    if held:
        said = town.said(payee.msisdn, "stop_held")
        assert said.startswith(f"{town.market.currency.format(held)} in your wallet is set aside")
        assert f"Ref {stop.reference}. Call 0711000999" in said
    assert town.verify() == []


def test_an_agent_is_never_frozen_and_staff_decide_all_the_same(town: Town) -> None:
    payer, agent = town.person(), town.agent(700)
    person = town.run(lambda session: people.get(session, agent.person_id))
    view = town.send(payer, person, AMOUNT)
    stop = ask(town, view, payer)
    assert stop.held_minor == 0
    assert town.available(person.wallet_id) == AMOUNT
    assert town.available(agent.float_id) == 700
    assert town.kinds(person.msisdn) == ["send_received"]
    assert approve(town, stop).given_back_minor == AMOUNT + FEE
    assert town.balance(payer.wallet_id) == BALANCE
    assert town.balance(agent.float_id) == 700
    assert town.verify() == []


def test_an_agent_asks_for_a_mistaken_cash_in(town: Town) -> None:
    agent, other, customer = town.agent(), town.agent(), town.person(0)
    view = cash_in(town, agent, customer)
    owed = town.run(lambda session: commission.accrued_minor(session, agent.id))
    assert owed == 800
    for stranger in (other.person_id, customer.id):
        assert town.refused(partial(ask, town, view, stranger)).code == "stop_not_yours"
    stop = ask(town, view, agent.person_id)
    assert stop.held_minor == AMOUNT
    assert town.kinds(agent.msisdn) == ["stop_asked"]
    approve(town, stop)
    assert town.balance(agent.float_id) == BALANCE
    assert town.balance(customer.wallet_id) == 0
    assert town.run(lambda session: commission.accrued_minor(session, agent.id)) == 0
    (message,) = [m for m in town.messages(agent.msisdn) if m.kind == "stop_approved"]
    assert message.facts["balance_minor"] == BALANCE
    assert town.verify() == []


def test_approving_gives_back_amount_and_fee_and_tells_both(town: Town) -> None:
    payer, payee = town.person(), town.person(500)
    fees, tax = town.house("fees"), town.house("tax")
    view = town.send(payer, payee, AMOUNT)
    stop = approve(town, ask(town, view, payer))
    assert (stop.state, stop.decided_by) == ("approved", "checker")
    assert (stop.given_back_minor, stop.top_up_minor) == (AMOUNT + FEE, 0)
    assert town.balance(payer.wallet_id) == BALANCE
    assert town.balance(payee.wallet_id) == town.available(payee.wallet_id) == 500
    assert (town.house("fees"), town.house("tax")) == (fees, tax)
    outcome = town.run(lambda session: records.outcome(session, view.id))
    assert (outcome.state, outcome.reversed_minor) == ("reversed", AMOUNT + FEE)
    back = town.said(payer.msisdn, "stop_approved")
    assert back.startswith("KES 1,013.00 of your wrong transfer is back. Bal KES 10,000.00. Ref ")
    taken = town.said(payee.msisdn, "stop_taken")
    assert taken.startswith(
        "KES 1,000.00 sent to you by mistake went back to its sender. Bal KES 5"
    )
    assert town.verify() == []


def test_what_is_gone_is_gone(town: Town) -> None:
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)
    spend(town, payee, 60_000)
    stop = approve(town, ask(town, view, payer))
    assert stop.given_back_minor == 40_000 + FEE
    assert town.balance(payee.wallet_id) == 0
    assert "KES 413.00" in town.said(payer.msisdn, "stop_approved")
    assert "KES 400.00" in town.said(payee.msisdn, "stop_taken")
    assert town.verify() == []


@pytest.mark.parametrize("left", [0, 1, 98_700])
def test_a_fee_that_the_receiver_paid_comes_back_with_the_amount(town: Town, left: int) -> None:
    bands = [{"up_to_minor": 50_000, "fee_minor": 0}, {"up_to_minor": 25_000_000, "fee_minor": FEE}]
    town.tariff("send", payer="receiver", bands=bands)
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)
    spend(town, payee, view.received_minor - left) if left < 98_700 else None
    asked = ask(town, view, payer)
    assert asked.held_minor == left
    stop = approve(town, asked)
    assert stop.given_back_minor == left + FEE
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT + left + FEE
    assert town.balance(payee.wallet_id) == 0
    assert ("stop_taken" in town.kinds(payee.msisdn)) is (left > 0)
    assert town.verify() == []


def test_the_operator_tops_up_and_collects_later(town: Town) -> None:
    own = town.operator(BALANCE)
    before = town.balance(own)
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)
    spend(town, payee, 60_000)
    asked = ask(town, view, payer)
    too_much = town.refused(partial(approve, town, asked, 60_001))
    assert (too_much.code, too_much.facts) == ("top_up_too_large", {"most": "KES 600.00"})
    assert town.refused(partial(approve, town, asked, -1)).code == "top_up_too_large"
    stop = approve(town, asked, 60_000)
    assert (stop.given_back_minor, stop.top_up_minor) == (40_000 + FEE, 60_000)
    assert town.balance(payer.wallet_id) == BALANCE
    assert town.balance(own) == before - 60_000
    assert "KES 1,013.00" in town.said(payer.msisdn, "stop_approved")
    assert town.refused(partial(collect, town, stop)).code == "stop_nothing_left"
    town.send(payer, payee, 10_000)
    collection_id = new_key()
    assert [collect(town, stop, collection_id) for _ in range(2)] == [10_000, 10_000]
    assert town.run(lambda session: stops.owed_minor(session, stop.id)) == 50_000
    town.send(payer, payee, 100_000)
    assert collect(town, stop) == 50_000
    assert town.balance(own) == before
    assert town.balance(payee.wallet_id) == 50_000
    assert town.refused(partial(collect, town, stop)).code == "stop_nothing_owed"
    assert linked(town, stop) == {
        (reversal_of(town, view), 10_000),
        (reversal_of(town, view), 50_000),
    }
    assert town.kinds(payee.msisdn).count("stop_collected") == 2
    assert town.verify() == []


def test_a_top_up_where_nothing_at_all_is_left(town: Town) -> None:
    town.operator(10_000)
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, 10_000)  # without a fee
    spend(town, payee, 10_000)
    asked = ask(town, view, payer)
    assert town.refused(partial(approve, town, asked)).code == "stop_nothing_left"
    stop = approve(town, asked, 10_000)
    assert (stop.given_back_minor, stop.top_up_minor) == (0, 10_000)
    assert town.balance(payer.wallet_id) == BALANCE
    assert town.run(lambda session: records.outcome(session, view.id)).state == "posted"
    town.send(payer, payee, 4_000)
    assert collect(town, stop) == 4_000
    assert linked(town, stop) == {(None, 4_000)}
    assert town.verify() == []


def test_the_operator_gives_no_more_than_it_has(town: Town) -> None:
    own = town.operator(1)
    amount = town.balance(own) + 1
    payer, payee = town.person(amount + 2_000_000, tier="tier2"), town.person(0)
    view = town.send(payer, payee, amount)
    spend(town, payee, amount)
    asked = ask(town, view, payer)
    refused = town.refused(partial(approve, town, asked, amount))
    assert refused.code == "operator_funds_short"
    assert refused.facts == {"available": town.market.currency.format(amount - 1)}
    assert get(town, asked).state == "open"
    assert town.balance(own) == amount - 1
    assert town.verify() == []


def test_collecting_the_same_from_many_threads_takes_what_is_owed(town: Town) -> None:
    town.operator(AMOUNT)
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)
    spend(town, payee, AMOUNT)
    stop = approve(town, ask(town, view, payer), AMOUNT)
    town.send(payer, payee, 300_000)

    def work(_number: int) -> int:
        try:
            return collect(town, stop)
        except DomainError as error:
            assert error.code == "stop_nothing_owed"  # noqa: PT017 - each thread has its own
            return 0

    assert sorted(together(6, work)) == [0, 0, 0, 0, 0, AMOUNT]
    assert town.balance(payee.wallet_id) == 200_000
    assert town.verify() == []


def test_what_is_being_spent_is_neither_held_nor_collected(town: Town) -> None:
    """What is available is read under the lock of the account, behind whoever spends it now."""
    town.operator(10_000)
    payer, payee, third = town.person(), town.person(0), town.person(0)
    view = town.send(payer, payee, 10_000)
    stop = while_spending(town, payee, third, 9_000, partial(ask, town, view, payer))
    assert stop.held_minor == 1_000
    approved = approve(town, stop, 9_000)
    town.send(payer, payee, 10_000)
    taken = while_spending(town, payee, third, 9_000, partial(collect, town, approved))
    assert taken == 1_000
    assert town.verify() == []


def test_refusing_sets_free_what_was_held(town: Town) -> None:
    payer, payee = town.person(), town.person(0, name="Juma Otieno")
    view = town.send(payer, payee, AMOUNT)
    stop = refuse(town, ask(town, view, payer))
    assert (stop.state, stop.decided_by, stop.given_back_minor) == ("refused", "checker", 0)
    assert town.available(payee.wallet_id) == AMOUNT
    said = town.said(payer.msisdn, "stop_refused")
    assert said.startswith("We cannot give back the KES 1,000.00 that you sent to Juma O, ref ")
    freed = town.said(payee.msisdn, "stop_freed")
    assert freed.startswith("KES 1,000.00 that was set aside is yours again. Bal KES 1,000.00. Ref")
    for again in (approve, refuse):
        late = town.refused(partial(again, town, stop))
        assert (late.code, late.facts) == ("stop_closed", {"state": "refused"})
    assert town.verify() == []


@pytest.mark.parametrize("held_expired", [False, True])
def test_a_stop_lapses_when_nobody_decides(town: Town, held_expired: bool) -> None:
    payer, payee = town.person(), town.person(0)
    stop = ask(town, town.send(payer, payee, AMOUNT), payer)
    stops.lapse(town.db, stop.expires_at - timedelta(seconds=1))
    assert get(town, stop).state == "open"
    if held_expired:
        town.run(lambda s: ledger.expire_holds(s, now=stop.expires_at, limit=10_000))
    assert stops.lapse(town.db, stop.expires_at) >= 1
    lapsed = get(town, stop)
    assert (lapsed.state, lapsed.decided_by) == ("lapsed", None)
    assert town.available(payee.wallet_id) == AMOUNT
    assert "We did not decide in time about KES 1,000.00" in town.said(payer.msisdn, "stop_lapsed")
    assert "stop_freed" in town.kinds(payee.msisdn)
    assert town.refused(partial(approve, town, stop)).code == "stop_closed"
    assert stops.lapse(town.db, stop.expires_at) == 0
    assert town.verify() == []


def test_a_hold_that_ran_out_does_not_keep_staff_from_deciding(town: Town) -> None:
    """The round that lapses it has not come yet."""
    payer, payee = town.person(), town.person(0)
    stop = ask(town, town.send(payer, payee, AMOUNT), payer)
    town.run(lambda s: ledger.expire_holds(s, now=stop.expires_at, limit=10_000))
    assert approve(town, stop).given_back_minor == AMOUNT + FEE
    assert town.verify() == []


def test_a_transfer_taken_back_elsewhere_is_not_taken_back_again(town: Town) -> None:
    payer, payee = town.person(), town.person()
    view = town.send(payer, payee, AMOUNT)
    stop = ask(town, view, payer)
    town.run(lambda s: returns.take_back(s, view, key=new_key(), now=now()))
    assert town.refused(partial(approve, town, stop)).code == "transfer_reversed"
    assert refuse(town, stop).state == "refused"
    assert town.balance(payer.wallet_id) == BALANCE


def test_one_stop_of_a_transfer_whoever_asks_first(town: Town) -> None:
    payer, payee = town.person(), town.person(0)
    view = town.send(payer, payee, AMOUNT)

    def work(_number: int) -> str:
        try:
            return ask(town, view, payer).state
        except DomainError as error:
            return error.code

    assert sorted(together(6, work)) == ["open", *["stop_known"] * 5]
    assert town.available(payee.wallet_id) == 0
    assert town.kinds(payee.msisdn).count("stop_held") == 1


def test_a_stop_has_one_end_whoever_comes_first(town: Town) -> None:
    """While the payee spends, too: nothing is lost, and nobody waits for ever."""
    town.operator(BALANCE)
    for _ in range(6):
        payer, payee = town.person(), town.person(AMOUNT)
        stop = ask(town, town.send(payer, payee, AMOUNT), payer)
        ends: list[Callable[[], object]] = [
            partial(approve, town, stop, 0),
            partial(refuse, town, stop),
            partial(stops.lapse, town.db, stop.expires_at),
            partial(town.run, partial(expire_holds, at=stop.expires_at)),
            partial(town.send, payee, payer, 50_000),
            partial(town.send, payer, payee, 50_000),
        ]

        def end(number: int) -> str:
            try:
                ends[number]()  # noqa: B023
            except DomainError as error:
                return error.code
            return ""

        assert set(together(6, end)) <= {"", "stop_closed"}
        assert get(town, stop).state in ("approved", "refused", "lapsed")
        assert town.available(payee.wallet_id) == town.balance(payee.wallet_id)
    assert town.verify() == []


def test_staff_see_what_waits_first_to_lapse_first(town: Town) -> None:
    payer, payee = town.person(), town.person()
    stops.lapse(town.db, now() + timedelta(days=30))
    views = [town.send(payer, payee, 1_000 + n) for n in range(3)]
    times = [now() + timedelta(hours=hours) for hours in (2, 1, 3)]
    asked = [ask(town, view, payer, at) for view, at in zip(views, times, strict=True)]
    waiting = town.run(stops.undecided)
    assert [stop.id for stop in waiting] == [asked[1].id, asked[0].id, asked[2].id]
    assert len(town.run(partial(stops.undecided, limit=2))) == 2
    typed = f" {asked[0].reference.lower()} "
    assert town.run(lambda session: stops.of_reference(session, typed)) == asked[0]
    assert town.run(lambda session: stops.of_reference(session, "NOSUCHREF")) is None
    unknown = town.refused(lambda: town.run(
        lambda session: stops.refuse(session, new_key(), by="checker", now=now())
    ))  # fmt: skip
    assert unknown.code == "stop_unknown"


@pytest.mark.parametrize(
    "values",
    [
        "state = 'refused'",
        "state = 'refused', decided_at = now()",
        "state = 'approved', decided_at = now(), decided_by = 'x'",
        "state = 'lapsed', decided_at = now(), decided_by = 'x'",
        "given_back_minor = 5",
        "top_up_minor = 5",
        "held_minor = 0",
    ],
)
def test_a_stop_is_open_or_says_how_it_ended(town: Town, values: str) -> None:
    payer = town.person()
    stop = ask(town, town.send(payer, town.person(), AMOUNT), payer)
    broken = text(f"UPDATE stops SET {values} WHERE id = :id")
    with pytest.raises(IntegrityError):
        town.run(lambda session: session.execute(broken, {"id": stop.id}))


def while_spending(
    town: Town, payer: Person, payee: Person, amount_minor: int, work: Callable[[], T]
) -> T:
    """`work()`, begun when a payment of that amount is posted and not committed yet."""
    move = Posting(new_key(), "test", (Move(payer.wallet_id, payee.wallet_id, amount_minor),))
    posted = Event()

    def pay(session: Session) -> None:
        (answer,) = ledger.post(session, [move], now=now())
        assert answer.refusal is None
        posted.set()
        time.sleep(0.5)

    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(town.run, pay)
        assert posted.wait(10)
        done = work()
        paying.result()
    return done


def expire_holds(session: Session, at: datetime) -> list[UUID]:
    return ledger.expire_holds(session, now=at, limit=10_000)


def linked(town: Town, stop: StopView) -> set[tuple[int | None, int]]:
    """The reversals that a stop's collections are linked to, and their amounts."""
    found = text("SELECT reversal_id, amount_minor FROM stop_collections WHERE stop_id = :id")
    return town.run(lambda s: {(row[0], row[1]) for row in s.execute(found, {"id": stop.id})})


def reversal_of(town: Town, view: TransferView) -> int | None:
    found = text("SELECT reversal_id FROM transfers WHERE id = :id")
    return town.run(lambda session: session.scalar(found, {"id": view.id}))
