"""Deposits that look split: what the rule reports and what it leaves alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app.wallet.agents import Agent
from app.wallet.counter import splitting
from app.wallet.counter.splitting import Split
from app.wallet.people import Person, masked
from app.wallet.transfers import records
from tests.wallet.counter.kiosk import Kiosk, with_parent
from tests.wallet.test_commission import take_back
from tests.wallet.transfers.town import now

# The demo market: to 100.00 earns 2.00, to 1,000.00 8.00, to 5,000.00 20.00, above that 50.00;
# three deposits within an hour are looked at.
START = now() - timedelta(hours=12)
MINUTE = timedelta(minutes=1)


def deposits(
    kiosk: Kiosk, agent: Agent, customer: Person, *each: tuple[int, int], start: datetime = START
) -> None:
    """(minutes after the start, amount) of each."""
    for minutes, amount in each:
        kiosk.cash_in(agent, customer, amount, start + MINUTE * minutes)


def found(kiosk: Kiosk, agent: Agent, limit: int = 10_000) -> list[Split]:
    splits = kiosk.run(lambda s: splitting.found(s, kiosk.market, START, limit))
    return [split for split in splits if split.agent_code == agent.code]


@pytest.fixture
def agent(kiosk: Kiosk) -> Agent:
    return kiosk.agent(10_000_000)


def test_one_deposit_cut_into_five(kiosk: Kiosk, agent: Agent) -> None:
    customer = kiosk.person(0, name="Juma Otieno")
    deposits(kiosk, agent, customer, *((n * 15, 100_000) for n in range(5)))
    (split,) = found(kiosk, agent)
    assert (split.deposits, split.amount_minor) == (5, 500_000)
    assert (split.earned_minor, split.one_minor, split.excess_minor) == (4_000, 2_000, 2_000)
    assert (split.first_at, split.last_at) == (START, START + 60 * MINUTE)
    assert split.agent_name == agent.name
    assert (
        split.customer == f"{masked(customer.name)} {customer.msisdn[:-6]}***{customer.msisdn[-3:]}"
    )


def test_the_super_agents_share_counts(kiosk: Kiosk) -> None:
    _, agent = with_parent(kiosk)
    deposits(kiosk, agent, kiosk.person(0), (0, 100_000), (1, 100_000), (2, 100_000))
    (split,) = found(kiosk, agent)
    assert (split.earned_minor, split.one_minor) == (2_400, 2_000)


@pytest.mark.parametrize(
    "each",
    [
        ((0, 100_000), (1, 100_000)),  # two only
        ((0, 10_000), (1, 10_000), (2, 10_000)),  # 6.00 is less than the 8.00 of one deposit
        ((0, 100_000), (30, 100_000), (61, 100_000)),  # too far apart
        ((0, 100_000), (61, 100_000), (122, 100_000), (183, 100_000)),
    ],
)
def test_what_is_left_alone(kiosk: Kiosk, agent: Agent, each: tuple[tuple[int, int], ...]) -> None:
    deposits(kiosk, agent, kiosk.person(0), *each)
    assert found(kiosk, agent) == []


def test_other_customers_and_other_agents_are_others(kiosk: Kiosk, agent: Agent) -> None:
    other, customer = kiosk.agent(), kiosk.person(0)
    deposits(kiosk, agent, customer, (0, 100_000), (1, 100_000))
    deposits(kiosk, other, customer, (2, 100_000), (3, 100_000))
    deposits(kiosk, agent, kiosk.person(0), (4, 100_000), (5, 100_000))
    assert found(kiosk, agent) == found(kiosk, other) == []


def test_a_deposit_is_of_one_burst(kiosk: Kiosk, agent: Agent) -> None:
    customer = kiosk.person(0)
    first = [(n, 100_000) for n in (0, 20, 40, 60)]
    second = [(n, 100_000) for n in (80, 100, 120)]
    deposits(kiosk, agent, customer, *first, *second)
    splits = sorted(found(kiosk, agent), key=lambda split: split.first_at)
    assert [split.deposits for split in splits] == [4, 3]
    assert splits[1].first_at == START + 80 * MINUTE


def test_a_burst_within_a_longer_row_is_found(kiosk: Kiosk, agent: Agent) -> None:
    """The windows before it earn no more than one deposit; they do not hide it."""
    small = [(n, 10_000) for n in (0, 30, 59)]
    deposits(kiosk, agent, kiosk.person(0), *small, (100, 100_000), (110, 100_000), (120, 100_000))
    (split,) = found(kiosk, agent)
    assert (split.first_at, split.deposits) == (START + 100 * MINUTE, 3)


def test_more_than_a_deposit_may_be(kiosk: Kiosk, agent: Agent) -> None:
    """Nobody can deposit more at once than the last band: that many deposits are no split."""
    kiosk.tariff("cash_in", bands=[{"up_to_minor": 100_000, "fee_minor": 0, "commission_minor": 9}])
    deposits(kiosk, agent, kiosk.person(0), (0, 100_000), (1, 100_000), (2, 100_000))
    assert found(kiosk, agent) == []
    deposits(kiosk, agent, kiosk.person(0), (0, 50_000), (1, 50_000), (2, 50_000))
    (split,) = found(kiosk, agent)
    assert (split.earned_minor, split.one_minor) == (27, 18)


def test_what_was_taken_back_does_not_count(kiosk: Kiosk, agent: Agent) -> None:
    customer = kiosk.person(0)
    deposits(kiosk, agent, customer, (0, 100_000), (1, 100_000))
    view = kiosk.cash_in(agent, customer, 100_000, START + 2 * MINUTE)
    assert len(found(kiosk, agent)) == 1
    reversal = take_back(kiosk, view.posting_id)
    kiosk.run(
        lambda s: records.note_reversal(
            s, view.id, reversal_id=reversal, given_back_minor=100_000, now=now()
        )
    )
    assert found(kiosk, agent) == []


def test_the_dearest_come_first_and_no_more_than_asked(kiosk: Kiosk, agent: Agent) -> None:
    for times in (3, 4, 5):
        deposits(kiosk, agent, kiosk.person(0), *((n, 100_000) for n in range(times)))
    excess = [split.excess_minor for split in found(kiosk, agent)]
    assert excess == [2_000, 1_200, 400]
    assert len(kiosk.run(lambda s: splitting.found(s, kiosk.market, START, 2))) == 2


def test_a_deposit_before_the_first_tariff_is_judged_by_it(kiosk: Kiosk, agent: Agent) -> None:
    deposits(kiosk, agent, kiosk.person(0), (0, 100_000), (1, 100_000), (2, 100_000))
    kiosk.tariff("cash_in", effective_from=(now() + timedelta(days=9)).date())
    assert found(kiosk, agent)[0].one_minor == 2_000


def test_the_rule_says_its_numbers(kiosk: Kiosk) -> None:
    kiosk.rule("agents", splitting={"window_seconds": 1_800, "least_deposits": 4})
    said = splitting.rule(kiosk.market)
    assert "at least 4 deposits of one customer within 30 minutes" in said
