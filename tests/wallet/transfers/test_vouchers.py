"""Vouchers: sent, collected in cash or into a wallet, returned; each ends once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app import msisdn as numbers
from app.errors import DomainError
from app.wallet import agents, commission, ledger
from app.wallet.agents import AgentRow
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from app.wallet.people import Person
from app.wallet.transfers import records, vouchers
from app.wallet.transfers.vouchers.rows import OPEN_MOST
from app.wallet.transfers.vouchers.sending import CODE_TRIES
from tests.people import fresh_msisdn
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, Town, changed, now

AMOUNT, FEE, TAX = 40_000, 3_500, 457  # the first band of the demo market; 15 % tax in the fee
COMMISSION = 912  # 30 % of the fee without its tax, rounded down
WEEK = timedelta(days=7)


def wrong(code: str) -> str:
    """Another code of as many digits."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def test_the_money_is_set_apart_and_the_code_goes_to_the_receiver_only(town: Town) -> None:
    payer, receiver = town.person(), fresh_msisdn()
    tax = town.house("tax")
    voucher = town.voucher(payer, receiver, AMOUNT)
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT - FEE
    assert town.balance(voucher.account_id) == AMOUNT
    assert town.house("tax") - tax == TAX
    assert (voucher.state, voucher.amount_minor, voucher.msisdn) == ("open", AMOUNT, receiver)
    assert voucher.sender_name == "Amina W"
    local, code = numbers.local(receiver), town.code(voucher)
    assert len(code) == vouchers.CODE_DIGITS
    assert town.kinds(payer.msisdn) == ["voucher_sent"]
    sent = town.said(payer.msisdn, "voucher_sent")
    assert sent.startswith(f"KES 400.00 to {local} by SMS code, fee KES 35.00, back on ")
    (message,) = town.messages(receiver)
    assert (message.kind, message.language, message.person_id) == ("voucher_code", "en", None)
    asked = town.said(receiver, "voucher_code")
    assert asked.startswith("Amina W sent you KES 400.00. Code {code}. Collect at an agent, or ")
    for told in [*town.messages(payer.msisdn), message]:
        assert code not in f"{told.facts} {told.text}"
    assert town.verify() == []


def test_a_receiver_who_pays_the_fee_collects_less(town: Town) -> None:
    bands = [{"up_to_minor": 10_000, "fee_minor": 0}, {"up_to_minor": 25_000_000, "fee_minor": FEE}]
    town.tariff("voucher", payer="receiver", bands=bands)
    payer, agent = town.person(), town.agent(0)
    voucher = town.voucher(payer, fresh_msisdn(), AMOUNT)
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT
    assert voucher.amount_minor == town.balance(voucher.account_id) == AMOUNT - FEE
    town.collect(agent, voucher)
    assert town.balance(agent.float_id) == AMOUNT - FEE
    back = town.voucher(payer, fresh_msisdn(), AMOUNT)
    town.cancel(back.transfer_id, payer.id)
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT
    assert "KES 400.00 with the fee is back" in town.said(payer.msisdn, "voucher_returned")
    assert town.verify() == []


def test_what_an_offer_is_refused_for_in_order(town: Town) -> None:
    payer, other = town.person(), town.person()

    def code(msisdn: str, amount_minor: int = -1) -> str:
        return town.refused(lambda: town.offer_voucher(payer, msisdn, amount_minor)).code

    full = fresh_msisdn()
    for _ in range(OPEN_MOST):
        town.voucher(town.person(), full, 5_000)
    assert code(payer.msisdn) == "own_number"
    assert code(other.msisdn) == "person_registered"
    assert code(full) == "voucher_too_many"
    assert code(fresh_msisdn(), 4_900) == "amount_too_small"
    assert code(fresh_msisdn(), 5_050) == "amount_step"
    assert code(fresh_msisdn(), 25_000_100) == "amount_too_large"
    town.set(Person, other.id, state="invited", consented_at=None)
    assert town.offer_voucher(payer, other.msisdn, AMOUNT).total_minor == AMOUNT + FEE


def test_sending_is_once_and_within_limits(town: Town) -> None:
    payer, receiver = town.person(), fresh_msisdn()
    offer = town.offer_voucher(payer, receiver, AMOUNT)
    intent = town.intent(offer, payer.id)
    views = together(6, lambda _: town.confirm_voucher(offer, intent, payer.id))
    assert len({view.id for view in views}) == 1
    assert len(town.messages(receiver)) == 1
    assert town.balance(payer.wallet_id) == BALANCE - AMOUNT - FEE
    town.tier(per_transaction_minor=AMOUNT, per_day_minor=2 * AMOUNT - 1)
    over = town.offer_voucher(payer, receiver, AMOUNT)
    again = town.intent(over, payer.id)
    assert town.refused(lambda: town.confirm_voucher(over, again, payer.id)).code == "limit_day"
    more = changed(over, amount_minor=AMOUNT + 100)
    refused = town.refused(lambda: town.confirm_voucher(more, again, payer.id))
    assert refused.code == "intent_changed"
    assert town.verify() == []


def test_a_sender_without_the_money_leaves_no_voucher(town: Town) -> None:
    payer, receiver = town.person(AMOUNT), fresh_msisdn()
    offer = town.offer_voucher(payer, receiver, AMOUNT)
    intent = town.intent(offer, payer.id)
    refused = town.refused(lambda: town.confirm_voucher(offer, intent, payer.id))
    assert refused.code == "insufficient_funds"
    assert town.run(lambda session: vouchers.waiting(session, receiver, now())) == []
    assert town.messages(receiver) == []


def test_an_agent_pays_it_out_and_all_three_are_told(town: Town) -> None:
    above = town.super_agent()
    payer, agent, receiver = town.person(), town.agent(0, parent=above), fresh_msisdn()
    voucher = town.voucher(payer, receiver, AMOUNT)
    view = town.collect(agent, voucher)
    assert town.balance(agent.float_id) == AMOUNT
    assert town.balance(voucher.account_id) == 0
    assert town.of_transfer(voucher.transfer_id).state == "collected"
    assert town.refused(partial(town.code, voucher)).code == "code_used"
    assert (view.kind, view.fee_minor, view.agent_id) == ("voucher_collect", 0, agent.id)
    earned = town.run(lambda s: [commission.accrued_minor(s, one.id) for one in (agent, above)])
    assert earned == [COMMISSION - COMMISSION // 5, COMMISSION // 5]
    local = numbers.local(receiver)
    paid_out = town.said(agent.msisdn, "voucher_paid_out")
    assert paid_out.startswith(f"Umelipa {local} taslimu KES 400.00 kwa msimbo wa SMS. Floti KES 4")
    assert town.kinds(receiver) == ["voucher_cashed", "voucher_code"]
    assert "Neema Kiosk paid you KES 400.00 in cash" in town.said(receiver, "voucher_cashed")
    collected = town.said(payer.msisdn, "voucher_collected")
    assert collected.startswith(f"{local} collected your KES 400.00. Ref {voucher.reference} ")
    assert town.verify() == []


def test_what_a_collection_is_refused_for_in_order(town: Town) -> None:
    payer, agent, receiver = town.person(), town.agent(0), fresh_msisdn()
    nobody = town.refused(lambda: town.try_code(receiver, "12345678"))
    assert nobody.code == "voucher_unknown"
    voucher = town.voucher(payer, receiver, AMOUNT)
    offer = town.offer_collect(agent, voucher.id)
    intent = town.intent(offer, agent.person_id)

    def confirm(voucher_id: UUID) -> str:
        collect = partial(town.confirm_collect, offer, voucher_id, intent, agent.person_id)
        return town.refused(collect).code

    other = town.voucher(payer, receiver, AMOUNT)
    assert confirm(other.id) == "voucher_unknown", "another voucher than what was agreed to"
    assert confirm(new_key()) == "voucher_unknown"
    town.set(AgentRow, agent.id, state="suspended")
    assert confirm(voucher.id) == "agent_suspended"
    suspended = town.run(lambda session: agents.get(session, agent.id))
    refused = town.refused(lambda: town.offer_collect(suspended, voucher.id))
    assert refused.code == "agent_suspended"
    town.set(AgentRow, agent.id, state="active")
    late = voucher.expires_at - timedelta(seconds=1)
    too_late = town.refused(lambda: town.offer_collect(agent, voucher.id, at=voucher.expires_at))
    assert too_late.code == "voucher_unknown"
    assert town.offer_collect(agent, voucher.id, at=late).amount_minor == AMOUNT
    town.cancel(voucher.transfer_id, payer.id)
    assert confirm(voucher.id) == "voucher_unknown"
    assert town.balance(agent.float_id) == 0


def test_one_collection_of_a_voucher_whoever_comes_first(town: Town) -> None:
    payer, desks = town.person(), [town.agent(0) for _ in range(4)]
    voucher = town.voucher(payer, fresh_msisdn(), AMOUNT)
    offers = [town.offer_collect(agent, voucher.id) for agent in desks]
    wanted = [town.intent(offer, a.person_id) for offer, a in zip(offers, desks, strict=True)]

    def collect(number: int) -> str:
        agent = desks[number]
        try:
            town.confirm_collect(offers[number], voucher.id, wanted[number], agent.person_id)
        except DomainError as error:
            return error.code
        return ""

    assert sorted(together(4, collect)) == ["", *["voucher_unknown"] * 3]
    assert sum(town.balance(agent.float_id) for agent in desks) == AMOUNT
    assert town.verify() == []


def test_the_same_intent_collects_once(town: Town) -> None:
    voucher, agent = town.voucher(town.person(), fresh_msisdn(), AMOUNT), town.agent(0)
    offer = town.offer_collect(agent, voucher.id)
    intent = town.intent(offer, agent.person_id)
    views = together(6, lambda _: town.confirm_collect(offer, voucher.id, intent, agent.person_id))
    assert len({view.id for view in views}) == 1
    assert town.balance(agent.float_id) == AMOUNT


def test_wrong_codes_are_counted_and_end_in_a_lock(town: Town) -> None:
    voucher = town.voucher(town.person(), fresh_msisdn(), AMOUNT)
    code = town.code(voucher)
    bad = partial(town.try_code, voucher.msisdn, wrong(code))
    for left in range(CODE_TRIES - 1, 0, -1):
        refused = town.refused(bad)
        assert (refused.code, refused.facts) == ("code_wrong", {"left": left})
    assert town.refused(bad).code == "voucher_locked"
    assert town.refused(bad).code == "voucher_locked"
    assert town.refused(lambda: town.try_code(voucher.msisdn, code)).code == "voucher_locked"


def test_a_locked_voucher_can_still_be_registered_for_or_taken_back(town: Town) -> None:
    payer = town.person()
    voucher, other = (town.voucher(payer, fresh_msisdn(), AMOUNT) for _ in range(2))
    for one in (voucher, other):
        for _ in range(CODE_TRIES):
            town.refused(partial(town.try_code, one.msisdn, "x"))
    person, collected = town.register(voucher.msisdn)
    assert [view.amount_minor for view in collected] == [AMOUNT]
    assert town.balance(person.wallet_id) == AMOUNT
    assert town.cancel(other.transfer_id, payer.id).state == "reversed"


def test_of_several_vouchers_of_a_number_the_code_says_which(town: Town) -> None:
    receiver, agent = fresh_msisdn(), town.agent(0)
    sent = [town.voucher(town.person(), receiver, 5_000 + 100 * n) for n in range(OPEN_MOST)]
    waiting = [*sent]
    while waiting:
        voucher = waiting.pop()
        assert town.try_code(receiver, town.code(voucher)) == voucher.id
        town.collect(agent, voucher)
        assert {town.tries_left(one) for one in waiting} <= {CODE_TRIES}
    assert town.balance(agent.float_id) == sum(voucher.amount_minor for voucher in sent)


def test_a_wrong_code_counts_on_every_open_voucher_of_the_number(town: Town) -> None:
    receiver = fresh_msisdn()
    first = town.voucher(town.person(), receiver, AMOUNT)
    town.refused(lambda: town.try_code(receiver, "x"))
    second = town.voucher(town.person(), receiver, AMOUNT)
    refused = town.refused(lambda: town.try_code(receiver, "x"))
    assert refused.facts == {"left": CODE_TRIES - 2}
    assert (town.tries_left(first), town.tries_left(second)) == (CODE_TRIES - 2, CODE_TRIES - 1)
    for _ in range(CODE_TRIES - 2):
        refused = town.refused(lambda: town.try_code(receiver, "x"))
    assert (refused.code, refused.facts) == ("code_wrong", {"left": 1})
    assert town.tries_left(first) == 0
    assert town.try_code(receiver, town.code(second)) == second.id
    assert town.tries_left(first) == 0, "a code that is locked stays so"


def test_a_right_code_counts_on_none_and_gives_back_just_what_it_took(town: Town) -> None:
    receiver = fresh_msisdn()
    mine, other = (town.voucher(town.person(), receiver, AMOUNT) for _ in range(2))
    town.refused(lambda: town.try_code(receiver, "x"))
    for _ in range(3):
        town.try_code(receiver, town.code(mine))
    assert town.tries_left(other) == CODE_TRIES - 1
    assert town.tries_left(mine) == CODE_TRIES - 1


def test_another_numbers_code_opens_nothing(town: Town) -> None:
    one, two = (town.voucher(town.person(), fresh_msisdn(), AMOUNT) for _ in range(2))
    refused = town.refused(lambda: town.try_code(one.msisdn, town.code(two)))
    assert refused.code == "code_wrong"


def test_a_guesser_with_many_threads_has_five_tries(town: Town) -> None:
    voucher = town.voucher(town.person(), fresh_msisdn(), AMOUNT)

    def guess(number: int) -> str:
        return town.refused(lambda: town.try_code(voucher.msisdn, f"x{number}")).code

    assert together(12, guess).count("code_wrong") == CODE_TRIES - 1


def test_registering_brings_in_what_waits_and_fits(town: Town) -> None:
    town.tier(balance_minor=60_000)
    payer, receiver = town.person(), fresh_msisdn()
    _, second, _ = (town.voucher(payer, receiver, amount) for amount in (30_000, 40_000, 20_000))
    person, collected = town.register(receiver, language="sw")
    assert [view.amount_minor for view in collected] == [30_000, 20_000]
    assert town.balance(person.wallet_id) == 50_000
    left = town.run(lambda session: vouchers.waiting(session, receiver, now()))
    assert [voucher.id for voucher in left] == [second.id]
    assert town.fetch(person) == []
    town.tier(balance_minor=90_000)
    assert [view.amount_minor for view in town.fetch(person)] == [40_000]
    assert town.fetch(person) == []
    assert town.kinds(receiver).count("voucher_received") == 3
    assert town.kinds(payer.msisdn).count("voucher_collected") == 3
    got = town.messages(receiver)[-1]
    assert got.facts["balance_minor"] == 90_000
    assert town.verify() == []


def test_a_suspended_person_collects_nothing_and_loses_nothing(town: Town) -> None:
    receiver = fresh_msisdn()
    town.voucher(town.person(), receiver, AMOUNT)
    person = town.person(0, msisdn=receiver)
    town.set(Person, person.id, state="suspended")
    assert town.fetch(person) == []
    town.set(Person, person.id, state="active")
    assert [view.amount_minor for view in town.fetch(person)] == [AMOUNT]


def test_a_voucher_that_waits_for_a_wallet_is_still_paid_out_in_cash(town: Town) -> None:
    town.tier(balance_minor=AMOUNT - 1)
    payer, receiver, agent = town.person(tier="tier1"), fresh_msisdn(), town.agent(0)
    voucher = town.voucher(payer, receiver, AMOUNT)
    person, collected = town.register(receiver, language="sw")
    assert collected == []
    town.collect(agent, voucher)
    cashed = next(one for one in town.messages(receiver) if one.kind == "voucher_cashed")
    assert (cashed.language, cashed.person_id) == ("sw", person.id)


def test_nobody_came_and_all_of_it_goes_back(town: Town) -> None:
    payer, receiver = town.person(), fresh_msisdn()
    fees, tax = town.house("fees"), town.house("tax")
    voucher = town.voucher(payer, receiver, AMOUNT, at=now() - WEEK)
    assert town.run(lambda session: vouchers.waiting(session, receiver, now())) == []
    assert vouchers.expire(town.db, now()) >= 1
    assert town.balance(payer.wallet_id) == BALANCE
    assert (town.house("fees"), town.house("tax")) == (fees, tax)
    view = town.run(lambda session: records.outcome(session, voucher.transfer_id))
    assert (view.state, view.reversed_minor) == ("reversed", AMOUNT + FEE)
    assert town.of_transfer(view.id).state == "returned"
    said = town.said(payer.msisdn, "voucher_returned")
    local = numbers.local(receiver)
    assert said.startswith(
        f"KES 400.00 for {local} was not collected: KES 435.00 with the fee is back. Bal KES 10,000"
    )
    assert vouchers.expire(town.db, now()) == 0
    assert town.refused(lambda: town.try_code(receiver, "12345678")).code == "voucher_unknown"
    assert town.verify() == []


def test_one_second_before_its_end_a_voucher_stays(town: Town) -> None:
    voucher = town.voucher(town.person(), fresh_msisdn(), AMOUNT)
    vouchers.expire(town.db, voucher.expires_at - timedelta(seconds=1))
    assert town.of_transfer(voucher.transfer_id).state == "open"


def test_the_sender_cancels_and_nobody_else(town: Town) -> None:
    payer, other = town.person(), town.person()
    voucher = town.voucher(payer, fresh_msisdn(), AMOUNT)

    def refused(transfer_id: UUID, person: Person) -> str:
        return town.refused(partial(town.cancel, transfer_id, person.id)).code

    assert refused(voucher.transfer_id, other) == "voucher_unknown"
    assert refused(new_key(), payer) == "voucher_unknown"
    assert town.cancel(voucher.transfer_id, payer.id).reversed_minor == AMOUNT + FEE
    assert refused(voucher.transfer_id, payer) == "voucher_unknown"
    assert town.balance(payer.wallet_id) == BALANCE


def test_a_code_that_is_over_is_not_sent_any_more(town: Town) -> None:
    payer = town.person()
    cancelled, registered = (town.voucher(payer, fresh_msisdn(), AMOUNT) for _ in range(2))
    town.cancel(cancelled.transfer_id, payer.id)
    town.register(registered.msisdn)
    for voucher in (cancelled, registered):
        assert town.refused(partial(town.code, voucher)).code == "code_used"


def test_a_suspended_sender_gets_it_back_all_the_same(town: Town) -> None:
    payer = town.person()
    town.voucher(payer, fresh_msisdn(), AMOUNT, at=now() - WEEK)
    town.set(Person, payer.id, state="suspended")
    vouchers.expire(town.db, now())
    assert town.balance(payer.wallet_id) == BALANCE


def test_a_voucher_has_one_end_whoever_comes_first(town: Town) -> None:
    """Collected in cash, collected by registering, cancelled, expired: all at the same moment."""
    payer, agent = town.person(10 * BALANCE, tier="tier2"), town.agent(0)
    for _ in range(8):
        receiver = fresh_msisdn()
        voucher = town.voucher(payer, receiver, AMOUNT)
        person = town.person(0, msisdn=receiver)
        offer = town.offer_collect(agent, voucher.id)
        intent = town.intent(offer, agent.person_id)
        before = town.balance(payer.wallet_id)
        ends: list[Callable[[], object]] = [
            partial(town.confirm_collect, offer, voucher.id, intent, agent.person_id),
            partial(town.fetch, person),
            partial(town.cancel, voucher.transfer_id, payer.id),
            partial(vouchers.expire, town.db, voucher.expires_at),
        ]
        cash = town.balance(agent.float_id)

        def end(number: int) -> str:
            try:
                ends[number]()  # noqa: B023
            except DomainError as error:
                return error.code
            return ""

        assert set(together(4, end)) <= {"", "voucher_unknown"}
        gains = [
            town.balance(agent.float_id) - cash,
            town.balance(person.wallet_id),
            town.balance(payer.wallet_id) - before,
        ]
        assert sorted(gains) in ([0, 0, AMOUNT], [0, 0, AMOUNT + FEE])
        state = town.of_transfer(voucher.transfer_id).state
        assert state == ("returned" if gains[2] else "collected")
        assert town.balance(voucher.account_id) == 0
    assert town.verify() == []


def test_one_broken_voucher_stops_no_other(town: Town) -> None:
    """One whose money is not there is left open, and reported; the rest goes back."""
    payer = town.person()
    broken, whole = (town.voucher(payer, fresh_msisdn(), AMOUNT, at=now() - WEEK) for _ in range(2))
    move_away(town, broken.account_id, payer.wallet_id)
    assert [finding.rule for finding in town.verify()] == ["vouchers"]
    assert vouchers.expire(town.db, now()) >= 1
    assert town.of_transfer(whole.transfer_id).state == "returned"
    assert town.of_transfer(broken.transfer_id).state == "open"
    move_away(town, payer.wallet_id, broken.account_id)
    assert vouchers.expire(town.db, now()) >= 1
    assert town.balance(payer.wallet_id) == BALANCE
    assert town.verify() == []


def move_away(town: Town, payer: int, payee: int) -> None:
    """What no use case does: one unit goes from an account to another."""
    posting = Posting(new_key(), "test", (Move(payer, payee, 1),))
    (answer,) = town.run(lambda session: ledger.post(session, [posting], now=now()))
    assert answer.refusal is None


@pytest.mark.parametrize(
    "values",
    [
        "state = 'collected'",
        "state = 'returned'",
        "closed_at = now()",
        "collected_by = 'agent'",
        "state = 'lost', closed_at = now()",
    ],
)
def test_a_voucher_is_open_or_says_how_it_ended(town: Town, values: str) -> None:
    voucher = town.voucher(town.person(), fresh_msisdn(), AMOUNT)
    broken = text(f"UPDATE vouchers SET {values} WHERE id = :id")
    with pytest.raises(IntegrityError):
        town.run(lambda session: session.execute(broken, {"id": voucher.id}))
