"""Floats: asking, granting, moving, and the SMS of a low one."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from app.errors import DomainError
from app.wallet.agents import Agent, AgentRow
from app.wallet.counter import float_requests, floats
from app.wallet.counter.float_requests import FloatRequest
from app.wallet.keys import new_key
from tests.wallet.counter.kiosk import Kiosk, with_parent
from tests.wallet.test_ledger_races import together
from tests.wallet.transfers.town import BALANCE, changed, now

AMOUNT = 100_000
LOW = 500_000  # the demo market's bound


@pytest.fixture
def pair(kiosk: Kiosk) -> tuple[Agent, Agent]:
    """A super-agent and an agent below it."""
    return with_parent(kiosk)


# ---- moving


def test_a_move_goes_between_any_two_agents_and_tells_both(kiosk: Kiosk) -> None:
    giver, taker = kiosk.agent(), kiosk.agent(0)
    offer = kiosk.offer_move(giver, taker.code, AMOUNT)
    assert (offer.name, offer.fee_minor, offer.msisdn) == (taker.name, 0, taker.msisdn)
    intent = kiosk.intent(offer, giver.person_id)
    move = partial(kiosk.confirm, floats.confirm_move, offer, giver.person_id, intent_id=intent)
    assert len({view.id for view in together(6, lambda _: move())}) == 1
    assert kiosk.balance(giver.float_id) == BALANCE - AMOUNT
    assert kiosk.balance(taker.float_id) == AMOUNT
    assert kiosk.kinds(giver.msisdn) == ["float_sent"]
    assert kiosk.kinds(taker.msisdn) == ["float_got"]
    assert kiosk.said(giver.msisdn, "float_sent").startswith(
        "Umetuma floti KES 1,000.00 kwa Neema Kiosk. Ada KES 0.00. Floti KES 9,000.00. Kumb. "
    )
    assert "Floti KES 1,000.00." in kiosk.said(taker.msisdn, "float_got")
    assert kiosk.verify() == []


def test_what_a_move_is_refused_for_in_order(kiosk: Kiosk) -> None:
    giver, taker = kiosk.agent(AMOUNT), kiosk.agent()

    def refusal(code: str, amount_minor: int = 1) -> str:
        return kiosk.refused(lambda: kiosk.offer_move(kiosk.again(giver), code, amount_minor)).code

    assert refusal("123456") == "agent_code_wrong"
    assert refusal("000000") == "agent_unknown"
    assert refusal(giver.code) == "own_code"
    assert refusal(taker.code) == "amount_too_small"
    assert refusal(taker.code, AMOUNT + 1) == "amount_step"
    assert refusal(taker.code, 1_000_000_100) == "amount_too_large"
    short = kiosk.refused(lambda: kiosk.move(giver, taker, AMOUNT + 100))
    assert short.code == "insufficient_funds"
    offer = kiosk.offer_move(giver, taker.code, AMOUNT)
    confirm = partial(kiosk.confirm, floats.confirm_move, offer, giver.person_id)
    intent = kiosk.intent(offer, giver.person_id)
    other = changed(offer, payee_account=kiosk.agent().float_id)
    refused = kiosk.refused(
        lambda: kiosk.confirm(floats.confirm_move, other, giver.person_id, intent_id=intent)
    )
    assert refused.code == "intent_changed"
    kiosk.suspend(taker)
    assert refusal(taker.code, AMOUNT) == "agent_suspended"
    assert kiosk.refused(lambda: confirm(intent_id=intent)).code == "agent_suspended"
    kiosk.resume(taker)
    kiosk.suspend(giver)
    assert refusal(taker.code, AMOUNT) == "agent_suspended"
    assert kiosk.refused(lambda: confirm(intent_id=intent)).code == "agent_suspended"
    kiosk.resume(giver)
    confirm(intent_id=intent)


def test_a_fee_on_moves_goes_to_the_house_and_nobody_earns(kiosk: Kiosk) -> None:
    bands = [{"up_to_minor": 1_000_000_000, "fee_minor": 500}]
    kiosk.tariff("float_move", bands=bands, tax_in_fee_bps=0, commission_bps=5000)
    giver, taker = kiosk.agent(), kiosk.agent(0)
    house = (kiosk.house("fees"), kiosk.house("commission"))
    kiosk.move(giver, taker, AMOUNT)
    assert kiosk.balance(giver.float_id) == BALANCE - AMOUNT - 500
    assert (kiosk.house("fees") - house[0], kiosk.house("commission") - house[1]) == (500, 0)
    assert kiosk.verify() == []


def test_moves_there_and_back_at_once_do_not_deadlock(kiosk: Kiosk) -> None:
    one, other = kiosk.agent(), kiosk.agent()

    def work(number: int) -> None:
        giver, taker = (one, other) if number % 2 else (other, one)
        for _ in range(8):
            kiosk.move(giver, taker, 5_000)

    together(6, work)
    assert kiosk.balance(one.float_id) == kiosk.balance(other.float_id) == BALANCE


# ---- asking and granting


def test_a_request_reaches_the_super_agent_and_is_granted_once(
    kiosk: Kiosk, pair: tuple[Agent, Agent]
) -> None:
    above, agent = pair
    asked = kiosk.request(agent, AMOUNT)
    assert kiosk.waiting(above) == [asked.id]
    assert (asked.agent_code, asked.agent_name) == (agent.code, agent.name)
    said = kiosk.said(above.msisdn, "float_asked")
    assert said.startswith(
        f"Agent Neema Kiosk {agent.code} asks you for float KES 1,000.00. Dial *384*123#"
    )
    offer = kiosk.offer_grant(above, asked)
    assert (offer.amount_minor, offer.payee_account) == (AMOUNT, agent.float_id)
    intent = kiosk.intent(offer, above.person_id)
    granted = together(6, lambda _: kiosk.grant(above, asked, offer, intent).id)
    assert len(set(granted)) == 1
    assert kiosk.balance(agent.float_id) == BALANCE + AMOUNT
    assert kiosk.balance(above.float_id) == BALANCE - AMOUNT
    assert kiosk.asked(asked).state == "granted"
    assert kiosk.waiting(above) == []
    assert kiosk.kinds(agent.msisdn) == ["float_got"]
    assert kiosk.kinds(above.msisdn) == ["float_asked", "float_sent"]
    gone = kiosk.refused(lambda: kiosk.offer_grant(above, asked))
    assert gone.code == "float_request_gone"


def test_two_intents_cannot_grant_one_request(kiosk: Kiosk, pair: tuple[Agent, Agent]) -> None:
    above, agent = pair
    asked = kiosk.request(agent, AMOUNT)
    offer = kiosk.offer_grant(above, asked)
    intents = [kiosk.intent(offer, above.person_id) for _ in range(6)]

    def grant(number: int) -> str:
        try:
            return kiosk.grant(above, asked, offer, intents[number]).state
        except DomainError as error:
            return error.code

    assert sorted(together(6, grant)) == [*["float_request_gone"] * 5, "posted"]
    assert kiosk.balance(agent.float_id) == BALANCE + AMOUNT


def test_what_asking_is_refused_for_in_order(kiosk: Kiosk, pair: tuple[Agent, Agent]) -> None:
    above, agent = pair

    def refusal(who: Agent, amount_minor: int) -> DomainError:
        return kiosk.refused(lambda: kiosk.request(kiosk.again(who), amount_minor))

    assert refusal(kiosk.agent(), AMOUNT).code == "no_super_agent"
    assert refusal(above, AMOUNT).code == "no_super_agent"
    assert refusal(agent, 1).code == "amount_too_small"
    assert refusal(agent, AMOUNT + 1).code == "amount_step"
    assert refusal(agent, 1_000_000_100).code == "amount_too_large"
    kiosk.request(agent, AMOUNT)
    again = refusal(agent, 2 * AMOUNT)
    assert (again.code, again.facts) == ("float_request_open", {"amount": "KES 1,000.00"})
    kiosk.suspend(above)
    assert refusal(agent, AMOUNT).code == "no_super_agent"
    kiosk.suspend(agent)
    assert refusal(agent, AMOUNT).code == "agent_suspended"


def test_requests_at_once_are_one(kiosk: Kiosk, pair: tuple[Agent, Agent]) -> None:
    above, agent = pair

    def ask(_: int) -> str:
        try:
            return kiosk.request(agent, AMOUNT).state
        except DomainError as error:
            return error.code

    assert sorted(together(6, ask)) == [*["float_request_open"] * 5, "open"]
    assert len(kiosk.waiting(above)) == 1


def test_who_may_answer_and_when(kiosk: Kiosk, pair: tuple[Agent, Agent]) -> None:
    above, agent = pair
    stranger = kiosk.super_agent()
    asked = kiosk.request(agent, AMOUNT)
    gone = "float_request_gone"
    late = asked.expires_at
    assert kiosk.refused(lambda: kiosk.offer_grant(stranger, asked)).code == gone
    assert kiosk.refused(lambda: kiosk.refuse(stranger, asked)).code == gone
    assert kiosk.refused(lambda: kiosk.offer_grant(above, asked, late)).code == gone
    assert kiosk.waiting(above, late) == []
    offer = kiosk.offer_grant(above, asked)
    # What was agreed to is another amount, or for another agent, than this request's.
    more = changed(offer, amount_minor=2 * AMOUNT)
    elsewhere = changed(offer, payee_account=kiosk.agent().float_id)
    for wrong in (more, elsewhere):
        assert kiosk.refused(lambda w=wrong: kiosk.grant(above, asked, w)).code == gone
    unknown = type(asked)(**{f: getattr(asked, f) for f in asked.__slots__} | {"id": new_key()})
    assert kiosk.refused(lambda: kiosk.grant(above, unknown, offer)).code == gone
    kiosk.refuse(above, asked)
    kiosk.refuse(above, asked)
    assert kiosk.asked(asked).state == "refused"
    assert kiosk.kinds(agent.msisdn) == ["float_refused"]
    assert kiosk.refused(lambda: kiosk.grant(above, asked, offer)).code == gone
    assert kiosk.balance(agent.float_id) == BALANCE
    kiosk.request(agent, AMOUNT)


def test_nobody_answered(kiosk: Kiosk, pair: tuple[Agent, Agent]) -> None:
    _, agent = pair
    asked = kiosk.request(agent, AMOUNT)
    early = asked.expires_at - timedelta(seconds=1)
    expire = lambda at: kiosk.run(lambda s: float_requests.expire(s, asked.id, at))  # noqa: E731
    assert not expire(early)
    assert asked.id in kiosk.run(lambda s: float_requests.overdue(s, asked.expires_at, 1_000))
    assert expire(asked.expires_at)
    assert not expire(asked.expires_at)
    assert kiosk.asked(asked).state == "expired"
    assert kiosk.kinds(agent.msisdn) == ["float_unanswered"]
    later = kiosk.request(agent, AMOUNT, at=asked.expires_at)
    assert kiosk.run(lambda s: s.get_one(FloatRequest, later.id)).state == "open"
    # An overdue one makes room by itself.
    assert kiosk.request(agent, AMOUNT, at=later.expires_at).state == "open"
    assert kiosk.asked(later).state == "expired"
    assert kiosk.run(lambda s: float_requests.open_of(s, agent.id, now())) is not None


# ---- low floats


def test_a_low_float_is_told_once_until_it_is_above_again(kiosk: Kiosk) -> None:
    agent, other, customer = kiosk.agent(LOW + 10_000), kiosk.agent(), kiosk.person(0)
    kiosk.cash_in(agent, customer, 10_000)
    assert not kiosk.told_low(agent), "exactly the bound is enough"
    kiosk.cash_in(agent, customer, 10_000)
    assert kiosk.told_low(agent)
    said = kiosk.said(agent.msisdn, "float_low")
    assert said.startswith("Floti yako ni ndogo: KES 4,900.00.")
    kiosk.cash_in(agent, customer, 10_000)
    kiosk.move(agent, other, 10_000)
    kiosk.cash_out(customer, agent, 5_000)
    assert kiosk.kinds(agent.msisdn).count("float_low") == 1
    kiosk.move(other, agent, 30_000)
    assert not kiosk.told_low(agent)
    kiosk.move(agent, other, 10_000)
    assert kiosk.kinds(agent.msisdn).count("float_low") == 2
    kiosk.cash_out(customer, agent, 20_000)
    assert not kiosk.told_low(agent)


def test_money_that_comes_in_makes_no_float_low(kiosk: Kiosk) -> None:
    agent, other = kiosk.agent(0), kiosk.agent()
    kiosk.move(other, agent, 10_000)
    kiosk.cash_out(kiosk.person(), agent, 10_000)
    assert not kiosk.told_low(agent)


def test_many_at_once_tell_once(kiosk: Kiosk) -> None:
    agent = kiosk.agent(LOW + 20_000)
    customers = [kiosk.person(0) for _ in range(6)]
    together(6, lambda n: kiosk.cash_in(agent, customers[n], 10_000))
    assert kiosk.kinds(agent.msisdn).count("float_low") == 1


def test_the_usual_movement_locks_no_agent(kiosk: Kiosk) -> None:
    """A transaction that holds the agent's row stops nobody whose float stays above the bound."""
    agent, customer = kiosk.agent(), kiosk.person(0)
    with kiosk.db.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT FROM agents WHERE id = %s FOR NO KEY UPDATE", (agent.id,)
        )
        kiosk.cash_in(agent, customer, 10_000)
        connection.rollback()
    assert kiosk.run(lambda s: s.get_one(AgentRow, agent.id)).low_float_told_at is None
