"""Commission by schedule: once a period, what accrued before it, and what the agent may read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import REGISTRY

from app.wallet import rounds
from app.wallet.agents import Agent
from app.wallet.counter import payouts
from tests.wallet.bank import Bank
from tests.wallet.counter.kiosk import Kiosk, with_parent
from workers import counter

NAIROBI = ZoneInfo("Africa/Nairobi")
AMOUNT, FUNDED, OWED = 100_000, 1_261, 800
DAY = timedelta(days=1)


@dataclass
class Era:
    """A day of its own for every test, long ago: other tests' agents have nothing due by then."""

    noon: datetime

    @property
    def midnight(self) -> datetime:
        """Of the next local day."""
        tomorrow = self.noon.astimezone(NAIROBI).date() + DAY
        return datetime.combine(tomorrow, time(), NAIROBI)


@pytest.fixture
def era(kiosk: Kiosk) -> Era:
    for operation in ("cash_in", "cash_out", "float_move"):
        kiosk.tariff(operation, effective_from=date(2000, 1, 1))  # type: ignore[arg-type]
    return Era(datetime(2001, 1, 1, 9, tzinfo=UTC) + DAY * (3 * secrets.randbelow(2_000)))


@pytest.fixture
def agent(kiosk: Kiosk) -> Agent:
    return kiosk.agent()


@pytest.fixture
def operator(kiosk: Kiosk) -> int:
    """The operator's own account, empty; other tests share it."""
    own = kiosk.operator(0)
    rest = kiosk.available(own)
    if rest:
        bank = Bank(kiosk.db)
        bank.send(own, bank.account(), rest)
    return own


def pay(kiosk: Kiosk, at: datetime) -> int:
    return counter.pay_commission(kiosk.db, kiosk.market, at)


def test_paid_once_a_local_day_what_accrued_before_it(
    kiosk: Kiosk, agent: Agent, era: Era, operator: int
) -> None:
    kiosk.operator(10 * OWED)
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, era.noon)
    just_before = era.midnight - timedelta(milliseconds=1)
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, just_before)
    assert pay(kiosk, just_before) == 0
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, era.midnight)
    before = kiosk.balance(agent.float_id)
    assert pay(kiosk, era.midnight) == 1
    assert kiosk.balance(agent.float_id) == before + OWED + FUNDED
    for later in (timedelta(minutes=1), timedelta(hours=23)):
        assert pay(kiosk, era.midnight + later) == 0
    assert kiosk.kinds(agent.msisdn).count("commission_paid") == 1
    said = kiosk.said(agent.msisdn, "commission_paid")
    assert said.startswith("Kamisheni KES 20.61 imelipwa kwenye floti yako. Floti KES ")
    assert pay(kiosk, era.midnight + DAY) == 1
    assert kiosk.balance(agent.float_id) == before + 2 * OWED + FUNDED
    assert kiosk.verify() == []


def test_periods_of_several_days(kiosk: Kiosk, agent: Agent, era: Era) -> None:
    kiosk.rule("agents", commission_days=7)
    starts = {payouts.period_start(kiosk.market, era.noon + DAY * n) for n in range(14)}
    assert len(starts) in (2, 3)
    ordered = sorted(starts)
    assert {later - earlier for earlier, later in pairwise(ordered)} == {7 * DAY}
    assert all(start.astimezone(NAIROBI).hour == 0 for start in starts)
    first = ordered[1]
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, first)
    for day in range(7):
        assert pay(kiosk, first + DAY * day + timedelta(hours=1)) == 0
    assert pay(kiosk, first + 7 * DAY) == 1


def test_a_short_operator_loses_nobody_anything_and_rings(
    kiosk: Kiosk, agent: Agent, era: Era, operator: int
) -> None:
    funded_only = kiosk.agent()
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, era.noon)
    kiosk.cash_out(kiosk.person(), funded_only, AMOUNT, era.noon)
    assert pay(kiosk, era.midnight) == 1, "what fees funded needs nothing of the operator"
    assert REGISTRY.get_sample_value("kibanda_commission_unpaid_agents") == 1
    assert pay(kiosk, era.midnight) == 0
    # A day later it is still short: nothing piles up, all of it waits together.
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, era.midnight)
    kiosk.operator(2 * OWED - 1)
    assert pay(kiosk, era.midnight + DAY) == 0
    kiosk.operator(1)
    assert pay(kiosk, era.midnight + DAY) == 1
    assert REGISTRY.get_sample_value("kibanda_commission_unpaid_agents") == 0
    assert kiosk.available(operator) == 0
    assert "KES 16.00" in kiosk.said(agent.msisdn, "commission_paid")


def test_a_suspended_agent_is_paid_when_it_is_back(kiosk: Kiosk, agent: Agent, era: Era) -> None:
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, era.noon)
    kiosk.suspend(agent)
    assert pay(kiosk, era.midnight) == 0
    kiosk.resume(agent)
    assert pay(kiosk, era.midnight + timedelta(hours=2)) == 1


def test_more_agents_than_a_page(kiosk: Kiosk, era: Era, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PAGE", 2)
    agents = [kiosk.agent() for _ in range(5)]
    for agent in agents:
        kiosk.cash_out(kiosk.person(), agent, AMOUNT, era.noon)
    assert pay(kiosk, era.midnight) == 5
    assert pay(kiosk, era.midnight) == 0


def test_a_low_float_that_commission_lifts_is_low_anew_next_time(kiosk: Kiosk, era: Era) -> None:
    agent = kiosk.agent(600_000)
    kiosk.rule("agents", low_float_minor=600_000)
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, era.noon)
    kiosk.move(agent, kiosk.agent(), AMOUNT + 1_200, at=era.noon)
    assert kiosk.told_low(agent)
    assert pay(kiosk, era.midnight) == 1
    assert not kiosk.told_low(agent)


def test_what_the_menu_shows(kiosk: Kiosk, era: Era, operator: int) -> None:
    kiosk.operator(10 * OWED)
    kiosk.rule("agents", commission_days=2)
    above, agent = with_parent(kiosk)
    start = payouts.period_start(kiosk.market, era.noon) + 2 * DAY
    mine = FUNDED - FUNDED // 5
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, start - DAY)
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, start)
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, start + DAY)
    seen = kiosk.earned(agent, start + DAY)
    assert (seen.today_minor, seen.period_minor, seen.accrued_minor) == (mine, 2 * mine, 3 * mine)
    assert seen.last == ()
    assert seen.next_payout_on == start.date() + 2 * DAY
    assert isinstance(seen.next_payout_on, date)
    assert pay(kiosk, start + DAY) == 2, "the super-agent's share is paid as well"
    seen = kiosk.earned(agent, start + DAY)
    assert (seen.today_minor, seen.period_minor, seen.accrued_minor) == (mine, 2 * mine, 2 * mine)
    (paid,) = seen.last
    assert (paid.amount_minor, paid.at) == (mine, start + DAY)
    assert paid.reference in kiosk.said(agent.msisdn, "commission_paid")
    assert kiosk.earned(above, start + DAY).last[0].amount_minor == FUNDED // 5


def test_chores_end_what_is_overdue(kiosk: Kiosk, agent: Agent) -> None:
    above, below = with_parent(kiosk)
    customer = kiosk.person()
    made = kiosk.make_code(customer, agent, AMOUNT)
    asked = kiosk.request(below, AMOUNT)
    counter.expire_withdrawals(kiosk.db, kiosk.codes, made.expires_at - timedelta(seconds=1))
    counter.expire_float_requests(kiosk.db, asked.expires_at - timedelta(seconds=1))
    assert (kiosk.withdrawal(made).state, kiosk.asked(asked).state) == ("open", "open")
    assert counter.expire_withdrawals(kiosk.db, kiosk.codes, made.expires_at) >= 1
    assert counter.expire_float_requests(kiosk.db, asked.expires_at) >= 1
    assert (kiosk.withdrawal(made).state, kiosk.asked(asked).state) == ("expired", "expired")
    assert kiosk.held(customer) == 0
    assert kiosk.waiting(above) == []


def test_one_that_cannot_be_ended_does_not_stand_in_the_way(kiosk: Kiosk, agent: Agent) -> None:
    stuck = kiosk.make_code(kiosk.person(), agent, AMOUNT)
    free = kiosk.make_code(kiosk.person(), agent, AMOUNT)
    with kiosk.db.engine.connect() as connection:
        connection.exec_driver_sql("SELECT FROM withdrawals WHERE id = %s FOR UPDATE", (stuck.id,))
        counter.expire_withdrawals(kiosk.db, kiosk.codes, free.expires_at)
        connection.rollback()
    assert kiosk.withdrawal(free).state == "expired"
    assert kiosk.withdrawal(stuck).state == "open"
