"""A day's sheet adds up whatever was done, and the last movements say it in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import DomainError
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.counter import sheet
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from app.wallet.people import Person
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.test_commission import LATER, pay, take_back
from tests.wallet.transfers.town import BALANCE

DAY = timedelta(days=1)
NOON = datetime(2026, 3, 10, 9, tzinfo=UTC)  # in Nairobi
TODAY = NOON.date()


@pytest.fixture
def agent(kiosk: Kiosk) -> Agent:
    """With a float that came long before the days that are looked at."""
    kiosk.operator(10_000)
    agent = kiosk.agent(0)
    giver = kiosk.agent()
    kiosk.move(giver, agent, BALANCE, at=NOON - 9 * DAY)
    return agent


def paid_bill(kiosk: Kiosk, agent: Agent, amount_minor: int, fee_minor: int, at: datetime) -> None:
    """What the capture of a bill does to a float: see `app/billers/settlement.py`."""

    def post(session: object) -> None:
        key = new_key()
        ledger.hold(
            session, key=key, account_id=agent.float_id, amount_minor=amount_minor + fee_minor,
            expires_at=None, reference="B", now=at,
        )  # type: ignore[arg-type]  # fmt: skip
        moves = tuple(
            Move(agent.float_id, ledger.house_account(session, name, "KES"), part)  # type: ignore[arg-type]
            for name, part in (("settlement:test", amount_minor), ("fees", fee_minor))
        )
        posting = Posting(new_key(), "bill_payment", moves, reference="BILL", hold_id=key)
        (answer,) = ledger.post(session, [posting], now=at)  # type: ignore[arg-type]
        assert answer.refusal is None

    kiosk.run(post)


def test_a_day_of_everything(kiosk: Kiosk, agent: Agent) -> None:
    customer, other = kiosk.person(), kiosk.agent()
    kiosk.cash_in(agent, customer, 100_000, NOON - DAY)
    kiosk.cash_in(agent, customer, 100_000, NOON)
    kiosk.cash_in(agent, customer, 50_000, NOON)
    kiosk.cash_out(customer, agent, 30_000, NOON)
    paid_bill(kiosk, agent, 20_000, 1_000, NOON)
    kiosk.move(agent, other, 10_000, NOON)
    kiosk.move(other, agent, 25_000, NOON)
    wrong = kiosk.cash_in(agent, customer, 40_000, NOON)
    kiosk.run(
        lambda s: ledger.reverse(
            s, key=new_key(), original_posting_id=wrong.posting_id, reference="R", now=NOON
        )
    )
    kiosk.cash_out(customer, agent, 5_000, NOON + DAY)

    shown = kiosk.sheet(agent, TODAY, NOON + DAY)
    assert shown.opening_minor == BALANCE - 100_000
    counts = {(line.kind, line.taken_back): line.count for line in shown.lines}
    assert counts == {
        ("bill_payment", False): 1, ("cash_in", False): 3, ("cash_in", True): 1,
        ("cash_out", False): 1, ("float_move", False): 2,
    }  # fmt: skip
    assert shown.of("cash_in").cash_minor == 150_000, "what was taken back is not in the drawer"
    assert shown.of("cash_out").cash_minor == -30_000
    assert shown.of("bill_payment").cash_minor == 21_000
    moved = shown.of("float_move")
    assert (moved.gave_minor, moved.got_minor, moved.cash_minor) == (10_000, 25_000, 0)
    assert shown.of("commission") == sheet.Line("commission", False, 0, 0, 0)
    assert shown.cash_minor == 150_000 - 30_000 + 21_000
    assert shown.closing_minor == shown.opening_minor - shown.cash_minor + 15_000
    after = kiosk.sheet(agent, TODAY + DAY, NOON + DAY)
    assert after.opening_minor == shown.closing_minor
    assert after.closing_minor == kiosk.balance(agent.float_id)


def test_commission_is_float_without_cash(kiosk: Kiosk, agent: Agent) -> None:
    kiosk.cash_out(kiosk.person(), agent, 100_000, NOON)
    paid = pay(kiosk, agent, until=NOON + DAY)
    day = kiosk.sheet(agent, LATER.date(), LATER + DAY)  # the day on which `pay` pays
    assert day.of("commission").float_minor == paid.amount_minor
    assert day.closing_minor == day.opening_minor + paid.amount_minor
    assert day.cash_minor == 0


def test_local_midnight_parts_the_days(kiosk: Kiosk, agent: Agent) -> None:
    midnight = datetime(2026, 3, 10, 21, tzinfo=UTC)
    kiosk.cash_in(agent, kiosk.person(), 10_000, midnight - timedelta(microseconds=1))
    kiosk.cash_in(agent, kiosk.person(), 20_000, midnight)
    at = midnight + DAY
    assert kiosk.sheet(agent, TODAY, at).of("cash_in").cash_minor == 10_000
    assert kiosk.sheet(agent, TODAY + DAY, at).of("cash_in").cash_minor == 20_000


@pytest.mark.parametrize("days", [-1, 32])
def test_a_day_to_come_or_too_far_back(kiosk: Kiosk, agent: Agent, days: int) -> None:
    with pytest.raises(DomainError, match="sheet_too_old"):
        kiosk.sheet(agent, TODAY - days * DAY, NOON)


def test_an_idle_day(kiosk: Kiosk, agent: Agent) -> None:
    idle = kiosk.sheet(agent, TODAY, NOON)
    assert (idle.lines, idle.cash_minor) == ((), 0)
    assert idle.opening_minor == idle.closing_minor == BALANCE


steps = st.lists(
    st.tuples(
        st.sampled_from(["cash_in", "cash_out", "give", "take", "bill", "taken_back"]),
        st.integers(50, 400).map(lambda units: units * 100),
        st.integers(0, 3),  # days after the first
        st.integers(0, 23),
    ),
    max_size=12,
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_every_day_adds_up(kiosk: Kiosk, steps: list[tuple[str, int, int, int]]) -> None:
    """Days chain, the last one closes with the float, and cash goes against float."""
    first = datetime(2026, 3, 10, 21, tzinfo=UTC)
    agent, customer, other = kiosk.agent(0), kiosk.person(), kiosk.agent(10_000_000)
    kiosk.move(other, agent, BALANCE, at=first - DAY)
    drawer: dict[int, int] = {}
    for what, amount, day, hour in steps:
        at = first + DAY * day + timedelta(hours=hour)
        before = kiosk.balance(agent.float_id)
        try:
            do(kiosk, what, agent, customer, other, amount, at)
        except DomainError:
            continue
        if what not in ("give", "take"):
            drawer[day] = drawer.get(day, 0) + before - kiosk.balance(agent.float_id)
    days = [first.date() + DAY * (n + 1) for n in range(4)]
    sheets = [kiosk.sheet(agent, day, first + 4 * DAY) for day in days]
    assert sheets[0].opening_minor == BALANCE
    for number, shown in enumerate(sheets):
        assert shown.closing_minor == shown.opening_minor + sum(
            line.got_minor - line.gave_minor for line in shown.lines
        )
        assert shown.cash_minor == drawer.get(number, 0)
    assert [s.closing_minor for s in sheets[:-1]] == [s.opening_minor for s in sheets[1:]]
    assert sheets[-1].closing_minor == kiosk.balance(agent.float_id)
    assert sum(line.count for s in sheets for line in s.lines) <= 2 * len(steps)


def do(
    kiosk: Kiosk,
    what: str,
    agent: Agent,
    customer: Person,
    other: Agent,
    amount: int,
    at: datetime,
) -> None:
    match what:
        case "cash_in":
            kiosk.cash_in(agent, customer, amount, at)
        case "cash_out":
            kiosk.cash_out(customer, agent, amount, at)
        case "give":
            kiosk.move(agent, other, amount, at)
        case "take":
            kiosk.move(other, agent, amount, at)
        case "bill":
            paid_bill(kiosk, agent, amount, 500, at)
        case "taken_back":
            view = kiosk.cash_in(agent, customer, amount, at)
            kiosk.run(
                lambda s: ledger.reverse(
                    s, key=new_key(), original_posting_id=view.posting_id, reference="R", now=at
                )
            )


def test_the_last_movements_newest_first(kiosk: Kiosk, agent: Agent) -> None:
    customer = kiosk.person()
    views = [kiosk.cash_in(agent, customer, 10_000 * (n + 1), NOON) for n in range(3)]
    out = kiosk.cash_out(customer, agent, 20_000, NOON + timedelta(minutes=1))
    paid_bill(kiosk, agent, 20_000, 1_000, NOON + timedelta(minutes=2))
    take_back(kiosk, views[0].posting_id)
    found = kiosk.run(lambda s: sheet.last(s, agent, 5))
    assert [(line.kind, line.taken_back, line.float_minor) for line in found] == [
        ("cash_in", True, 10_000),
        ("bill_payment", False, -21_000),
        ("cash_out", False, 20_000),
        ("cash_in", False, -30_000),
        ("cash_in", False, -20_000),
    ]
    assert found[0].after_minor == kiosk.balance(agent.float_id)
    assert [line.after_minor - line.float_minor for line in found[:-1]] == [
        line.after_minor for line in found[1:]
    ]
    assert (found[2].reference, found[2].msisdn, found[2].at) == (
        out.reference, customer.msisdn, NOON + timedelta(minutes=1),
    )  # fmt: skip
    assert found[1].msisdn is None
    assert len(kiosk.run(lambda s: sheet.last(s, agent, 1_000))) == 7


def test_a_long_life_is_read_from_its_end(kiosk: Kiosk) -> None:
    agent, customer = kiosk.agent(10_000_000), kiosk.person(0)
    for _ in range(12):
        kiosk.cash_in(agent, customer, 10_000, NOON)
    found = kiosk.run(lambda s: sheet.last(s, agent, 10))
    assert [line.after_minor for line in found] == [
        10_000_000 - 10_000 * n for n in range(12, 2, -1)
    ]
