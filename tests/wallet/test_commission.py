"""Commission: accrued with its posting, paid from a snapshot, guarded by the database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import markets
from app.db import Database
from app.errors import DomainError
from app.wallet import commission, ledger, verify
from app.wallet.agents import Agent
from app.wallet.codes import Codes
from app.wallet.counter import cash
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from tests.wallet.bank import Bank
from tests.wallet.counter.kiosk import Kiosk, with_parent
from tests.wallet.test_ledger_races import together

DEMO = markets.load("demo")
AT = datetime(2026, 6, 15, 12, tzinfo=UTC)
LATER = AT + timedelta(days=1)
# A cash-out of 1,000.00 funds 12.61; a cash-in of 1,000.00 is owed 8.00 by the operator.
AMOUNT, FUNDED, OWED = 100_000, 1_261, 800


@pytest.fixture
def kiosk(ledger_db: Database) -> Kiosk:
    return Kiosk(ledger_db, DEMO, Codes({1: b"k" * 32}))


@pytest.fixture
def agent(kiosk: Kiosk) -> Agent:
    return kiosk.agent()


def earn(kiosk: Kiosk, agent: Agent, at: datetime = AT) -> None:
    """One cash-out and one cash-in: FUNDED and OWED for an agent without a super-agent."""
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, at)
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, at)


def giving(payer: int, minor: int, name: str = "commission") -> Callable[[Session], int]:
    """A posting that gives so much of a wallet to the house. `verify` wants all that is given to
    `commission` to be accrued, so a test that refuses does so in the same transaction.
    """

    def post(session: Session) -> int:
        moves = (Move(payer, ledger.house_account(session, name, "KES"), minor),)
        (answer,) = ledger.post(session, [Posting(new_key(), "test", moves)], now=AT)
        assert answer.posting_id
        return answer.posting_id

    return post


def gave(kiosk: Kiosk, minor: int, name: str = "commission") -> int:
    return kiosk.run(giving(kiosk.person().wallet_id, minor, name))


def accrue(kiosk: Kiosk, posting_id: int, *shares: tuple[UUID, int], funded: int = 0) -> None:
    kiosk.run(
        lambda s: commission.accrue_shares(
            s, posting_id, "REF", shares, funded_minor=funded, now=AT
        )
    )


def pay(kiosk: Kiosk, agent: Agent, payout_id: UUID | None = None, until: datetime = LATER) -> Any:
    payout_id = payout_id or new_key()
    return kiosk.run(lambda s: commission.pay(s, agent, payout_id, "KES", until=until, now=LATER))


def unpaid(kiosk: Kiosk, agent: Agent) -> int:
    return kiosk.run(lambda s: commission.accrued_minor(s, agent.id))


def findings(kiosk: Kiosk) -> list[str]:
    return [f.rule for f in kiosk.verify()]


# ---- what accrues


def test_a_share_of_the_super_agent_and_what_the_fee_funds(kiosk: Kiosk) -> None:
    above, agent = with_parent(kiosk)
    posting_id = gave(kiosk, 100)
    shares = commission.shares_of(agent, 120, 30)
    assert shares == [(agent.id, 90), (above.id, 30)]
    accrue(kiosk, posting_id, *shares, funded=100)
    rows = kiosk.query(
        "SELECT agent_id, amount_minor, funded_minor, accrued_at FROM commission_accruals"
        " WHERE posting_id = :posting ORDER BY amount_minor",
        posting=posting_id,
    )
    assert rows == [(above.id, 30, 10, AT), (agent.id, 90, 90, AT)]
    assert findings(kiosk) == []


def test_an_agent_that_lost_its_super_agent_earns_it_all(kiosk: Kiosk) -> None:
    _, agent = with_parent(kiosk)
    customer = kiosk.person()
    offer = kiosk.offer_out(customer, agent.code, AMOUNT, AT)
    assert offer.fee.super_agent_minor
    kiosk.query("UPDATE agents SET parent_id = NULL WHERE id = :id RETURNING id", id=agent.id)
    kiosk.confirm(cash.confirm_out, offer, customer.id, at=AT)
    assert unpaid(kiosk, agent) == FUNDED
    assert findings(kiosk) == []


def test_nobody_earns_nothing(kiosk: Kiosk, agent: Agent) -> None:
    accrue(kiosk, gave(kiosk, 1, "fees"), (agent.id, 0))
    assert unpaid(kiosk, agent) == 0


def test_the_same_again_changes_nothing_and_other_amounts_are_refused(
    kiosk: Kiosk, agent: Agent
) -> None:
    posting_id = gave(kiosk, 100)
    for _ in range(2):
        accrue(kiosk, posting_id, (agent.id, 100), funded=100)
    assert unpaid(kiosk, agent) == 100
    with pytest.raises(DBAPIError, match="accrued something else before"):
        accrue(kiosk, posting_id, (agent.id, 101), funded=100)
    assert unpaid(kiosk, agent) == 100


def test_together_never_more_than_the_posting_gave(kiosk: Kiosk, agent: Agent) -> None:
    other = kiosk.agent()
    posting_id = gave(kiosk, 100)
    too_much = "did not give that much to commission"
    with pytest.raises(DBAPIError, match=too_much):
        accrue(kiosk, posting_id, (agent.id, 101), funded=101)
    accrue(kiosk, posting_id, (agent.id, 60), funded=60)
    with pytest.raises(DBAPIError, match=too_much):
        accrue(kiosk, posting_id, (other.id, 41), funded=41)
    accrue(kiosk, posting_id, (other.id, 90), funded=40)
    assert (unpaid(kiosk, agent), unpaid(kiosk, other)) == (60, 90)


def test_two_accruals_at_once_cannot_share_the_same_money(kiosk: Kiosk) -> None:
    for _ in range(5):
        posting_id, two = gave(kiosk, 100), [kiosk.agent(0), kiosk.agent(0)]

        def one(number: int, posting_id: int, two: list[Agent]) -> bool:
            try:
                accrue(kiosk, posting_id, (two[number].id, 100), funded=100)
            except DBAPIError:
                return False
            return True

        assert sum(together(2, lambda n, p=posting_id, t=two: one(n, p, t))) == 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("amount", "funded"), [(-100, 0), (0, 0), (-100, -100), (100, -1), (100, 101)]
)
def test_the_database_takes_no_crooked_amounts(
    kiosk: Kiosk, agent: Agent, amount: int, funded: int
) -> None:
    """A negative accrual of one agent would make room for another's that nothing funds."""
    give = giving(kiosk.person().wallet_id, 1_000)
    crooked = text(
        "SELECT accrue_v1(:at, :posting, 'R', ARRAY[CAST(:agent AS uuid)],"
        " ARRAY[CAST(:amount AS bigint)], ARRAY[CAST(:funded AS bigint)])"
    )
    values = {"at": AT, "agent": agent.id, "amount": amount, "funded": funded}
    with pytest.raises(DBAPIError, match=r"are needed|commission_accruals_funded"):
        kiosk.run(lambda s: s.execute(crooked, values | {"posting": give(s)}))


def test_only_a_posting_of_that_time_and_of_peoples_money_counts(
    kiosk: Kiosk, agent: Agent
) -> None:
    posting_id = gave(kiosk, 100, "fees")
    with pytest.raises(DBAPIError, match="of that time"):
        kiosk.run(
            lambda s: commission.accrue_shares(
                s, posting_id, "R", [(agent.id, 1)], funded_minor=0, now=LATER
            )
        )
    with pytest.raises(DBAPIError, match="of that time"):
        accrue(kiosk, 10**15, (agent.id, 1))

    def from_suspense(session: Session) -> int:
        """Anybody can make up a late answer: it moves the house's money within the house."""
        suspense = ledger.house_account(session, "suspense:test", "KES")
        house = ledger.house_account(session, "commission", "KES")
        posting = Posting(
            new_key(), "test", (Move(suspense, house, 500),), authority=f"payment:{new_key()}:late"
        )
        (answer,) = ledger.post(session, [posting], now=AT)
        assert answer.posting_id, answer.refusal
        commission.accrue_shares(
            session, answer.posting_id, "R", [(agent.id, 500)], funded_minor=500, now=AT
        )
        return answer.posting_id

    with pytest.raises(DBAPIError, match="did not give that much"):
        kiosk.run(from_suspense)


def test_the_application_writes_no_accrual_itself(kiosk: Kiosk, agent: Agent) -> None:
    for statement in (
        """INSERT INTO commission_accruals (agent_id, posting_id, reference, amount_minor,
        funded_minor, accrued_at) VALUES (:id, 1, 'R', 1, 0, now()) RETURNING id""",
        "UPDATE commission_accruals SET payout_id = NULL WHERE agent_id = :id RETURNING id",
        "DELETE FROM commission_accruals WHERE agent_id = :id RETURNING id",
        "UPDATE commission_payouts SET funded_minor = 1 WHERE agent_id = :id RETURNING id",
        """INSERT INTO commission_payouts (id, agent_id, float_id, funded_minor, owed_minor,
        snapshot_at) VALUES (:id, :id, 1, 1, 1, now()) RETURNING id""",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            kiosk.query(statement, id=agent.id)


# ---- what is paid


def test_a_payout_pays_what_had_accrued_and_no_more(kiosk: Kiosk, agent: Agent) -> None:
    kiosk.operator(OWED)
    earn(kiosk, agent)
    payout_id = new_key()
    house = kiosk.house("commission")
    before = kiosk.balance(agent.float_id)
    paid = pay(kiosk, agent, payout_id)
    assert paid.amount_minor == FUNDED + OWED
    assert paid.reference == commission.payout_reference(payout_id)
    assert kiosk.house("commission") == house - FUNDED
    earn(kiosk, agent)
    assert pay(kiosk, agent, payout_id) == paid, "the same payout again pays the same, once"
    assert kiosk.balance(agent.float_id) == before + FUNDED + OWED  # the customers' cash evens out
    assert unpaid(kiosk, agent) == FUNDED + OWED
    assert findings(kiosk) == []
    kiosk.operator(OWED)
    assert pay(kiosk, agent).amount_minor == FUNDED + OWED
    assert unpaid(kiosk, agent) == 0
    assert pay(kiosk, agent) is None


def test_what_accrued_at_the_end_of_a_period_waits(kiosk: Kiosk, agent: Agent) -> None:
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    assert pay(kiosk, agent, until=AT) is None
    assert pay(kiosk, agent, until=AT + timedelta(microseconds=1)).amount_minor == FUNDED


def test_an_empty_operators_account_then_a_filled_one(kiosk: Kiosk, agent: Agent) -> None:
    own = kiosk.operator(0)
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, AT)
    rest = kiosk.available(own)
    if rest:  # other tests share it
        bank = Bank(kiosk.db)
        bank.send(own, bank.account(), rest)
    payout_id = new_key()
    for _ in range(2):
        with pytest.raises(DomainError, match="operator_short"):
            pay(kiosk, agent, payout_id)
    assert unpaid(kiosk, agent) == OWED
    assert kiosk.query("SELECT 1 FROM commission_payouts WHERE agent_id = :id", id=agent.id) == []
    kiosk.operator(OWED - 1)
    with pytest.raises(DomainError, match="operator_short"):
        pay(kiosk, agent, payout_id)
    kiosk.operator(1)
    assert pay(kiosk, agent, payout_id).amount_minor == OWED
    assert kiosk.available(own) == 0
    assert findings(kiosk) == []


def test_the_same_payout_from_eight_threads_pays_once(kiosk: Kiosk, agent: Agent) -> None:
    kiosk.operator(8 * OWED)
    earn(kiosk, agent)
    before, payout_id = kiosk.balance(agent.float_id), new_key()
    paid = together(8, lambda _: pay(kiosk, agent, payout_id).amount_minor)
    assert set(paid) == {FUNDED + OWED}
    assert kiosk.balance(agent.float_id) == before + FUNDED + OWED


def test_payouts_of_other_ids_at_once_share_nothing(kiosk: Kiosk, agent: Agent) -> None:
    kiosk.operator(8 * OWED)
    earn(kiosk, agent)
    before = kiosk.balance(agent.float_id)
    paid = together(8, lambda _: pay(kiosk, agent))
    assert sum(one.amount_minor for one in paid if one) == FUNDED + OWED
    assert kiosk.balance(agent.float_id) == before + FUNDED + OWED
    assert findings(kiosk) == []


def test_accruing_while_payouts_run_loses_and_doubles_nothing(kiosk: Kiosk) -> None:
    kiosk.operator(1_000_000)
    agent = kiosk.agent(10_000_000)
    customers = [kiosk.person() for _ in range(4)]
    done, paid = Event(), list[int]()

    def accruing(number: int) -> None:
        for _ in range(10):
            kiosk.cash_in(agent, customers[number], 10_000, AT)  # earns 2.00
            kiosk.cash_out(customers[number], agent, 10_000, AT)  # costs 10.00, funds 4.35

    def paying() -> None:
        while not done.is_set():
            payout = pay(kiosk, agent)
            paid.append(payout.amount_minor if payout else 0)

    with ThreadPoolExecutor(1) as pool:
        payer = pool.submit(paying)
        together(4, accruing)
        done.set()
        payer.result()
    last = pay(kiosk, agent)
    total = sum(paid) + (last.amount_minor if last else 0)
    (accrued,) = kiosk.query(
        "SELECT sum(amount_minor)::bigint FROM commission_accruals WHERE agent_id = :agent",
        agent=agent.id,
    )
    assert (accrued[0], total) == (40 * (200 + 435), 40 * (200 + 435))
    assert unpaid(kiosk, agent) == 0
    assert kiosk.balance(agent.float_id) == 10_000_000 + total
    assert findings(kiosk) == []


# ---- what is taken back


def take_back(kiosk: Kiosk, posting_id: int) -> int:
    def work(session: Session) -> int:
        reversal = ledger.reverse(
            session, key=new_key(), original_posting_id=posting_id, reference="R", now=AT
        )
        assert reversal.posting_id, reversal.refusal
        for _ in range(2):
            commission.unaccrue(session, posting_id, reversal.posting_id, AT)
        return reversal.posting_id

    return kiosk.run(work)


def test_a_posting_taken_back_takes_its_commission_back(kiosk: Kiosk) -> None:
    above, agent = with_parent(kiosk)
    view = kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    assert unpaid(kiosk, above) > 0
    take_back(kiosk, view.posting_id)
    assert unpaid(kiosk, agent) == unpaid(kiosk, above) == 0
    assert pay(kiosk, agent) is None
    assert findings(kiosk) == []


def test_unaccruing_wants_the_very_reversal(kiosk: Kiosk, agent: Agent) -> None:
    one = kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    other = kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    reversal = take_back(kiosk, one.posting_id)
    for posting_id, reversal_id in (
        (other.posting_id, reversal),
        (one.posting_id, other.posting_id),
        (10**15, reversal),
    ):
        with pytest.raises(DBAPIError, match="is not the reversal of"):
            kiosk.run(lambda s, p=posting_id, r=reversal_id: commission.unaccrue(s, p, r, AT))
    assert unpaid(kiosk, agent) == FUNDED


def test_owed_commission_taken_back_after_it_was_paid(kiosk: Kiosk, agent: Agent) -> None:
    """The next payout gives it back to the operator out of what the agent earned since."""
    own = kiosk.operator(OWED)
    view = kiosk.cash_in(agent, kiosk.person(), AMOUNT, AT)
    assert pay(kiosk, agent).amount_minor == OWED
    take_back(kiosk, view.posting_id)
    assert unpaid(kiosk, agent) == -OWED
    assert pay(kiosk, agent) is None, "nobody is asked for money back"
    assert findings(kiosk) == []
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    before, in_float = kiosk.available(own), kiosk.balance(agent.float_id)
    assert pay(kiosk, agent).amount_minor == FUNDED - OWED
    assert kiosk.available(own) == before + OWED
    assert kiosk.balance(agent.float_id) == in_float + FUNDED - OWED
    assert unpaid(kiosk, agent) == 0
    assert findings(kiosk) == []


def test_funded_commission_taken_back_after_it_was_paid(kiosk: Kiosk, agent: Agent) -> None:
    """The next payout gives it back to the house account, out of what the operator owes."""
    kiosk.operator(10 * OWED)
    view = kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    pay(kiosk, agent)
    take_back(kiosk, view.posting_id)
    assert findings(kiosk) == []
    house = kiosk.house("commission")
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, AT)
    assert pay(kiosk, agent) is None, "8.00 owed is less than the 12.61 taken back"
    kiosk.cash_in(agent, kiosk.person(), AMOUNT, AT)
    assert pay(kiosk, agent).amount_minor == 2 * OWED - FUNDED
    assert kiosk.house("commission") == house + FUNDED
    assert findings(kiosk) == []


# ---- tampering


def test_an_accrual_authority_fits_its_own_float_and_amount_only(
    kiosk: Kiosk, agent: Agent
) -> None:
    """The application's role may post what it likes; the database lets no commission out by it."""
    other, stranger = kiosk.agent(), kiosk.person()
    kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    payout_id = new_key()
    house, fees = (
        kiosk.run(lambda s, n=name: ledger.house_account(s, n, "KES"))
        for name in ("commission", "fees")
    )
    kiosk.query(
        "SELECT * FROM snapshot_commission_v1(:now, :payout, :agent, :now)",
        now=LATER, payout=payout_id, agent=agent.id,
    )  # fmt: skip

    def answer(
        *moves: tuple[int, int, int], authority: str | None = f"accrual:{payout_id}"
    ) -> ledger.Answer:
        posting = Posting(
            new_key(), "commission", tuple(Move(*m) for m in moves), authority=authority
        )
        return kiosk.run(lambda s: ledger.post(s, [posting], now=LATER)[0])

    right = (house, agent.float_id, FUNDED)
    assert answer(right, authority=None).refusal == "authority_required"
    for moves in (
        [(house, other.float_id, FUNDED)],
        [(house, stranger.wallet_id, FUNDED)],
        [(house, agent.float_id, FUNDED + 1)],
        [(house, agent.float_id, FUNDED - 1)],
        [(house, agent.float_id, FUNDED - 1), (house, other.float_id, 1)],
        [right, (fees, agent.float_id, 1)],
        [(fees, agent.float_id, FUNDED)],
    ):
        assert answer(*moves).refusal == "authority_invalid", moves
    for made_up in (f"accrual:{new_key()}", "accrual:1", f"case:{new_key()}", "posting:1"):
        assert answer(right, authority=made_up).refusal == "authority_invalid", made_up
    paid = answer(right)
    assert paid.refusal is None
    assert answer(right).refusal == "authority_used"
    kiosk.query(
        "UPDATE commission_payouts SET posting_id = :posting WHERE id = :id RETURNING id",
        posting=paid.posting_id, id=payout_id,
    )  # fmt: skip
    assert findings(kiosk) == []


def test_a_payout_belongs_to_its_agent(kiosk: Kiosk, agent: Agent) -> None:
    other = kiosk.agent()
    kiosk.operator(OWED)
    earn(kiosk, agent)
    payout_id = new_key()
    pay(kiosk, agent, payout_id)
    with pytest.raises(DBAPIError, match="the payout of another agent"):
        pay(kiosk, other, payout_id)


# ---- verify

BREAKS = {
    "an accrual of more than was given": "UPDATE commission_accruals SET amount_minor = 5000,"
    " funded_minor = 5000 WHERE agent_id = :agent AND payout_id IS NULL",
    "an accrual that is gone": "DELETE FROM commission_accruals WHERE agent_id = :agent"
    " AND payout_id IS NULL AND funded_minor > 0",
    "a payout that marked more": "UPDATE commission_accruals SET payout_id = :payout"
    " WHERE agent_id = :agent",
    "a payout that marked less": "UPDATE commission_accruals SET payout_id = NULL"
    " WHERE agent_id = :agent",
    "a payout of another agent": "UPDATE commission_payouts SET agent_id = :other"
    " WHERE id = :payout",
    "a paid payout without its posting": "UPDATE commission_payouts SET posting_id = NULL"
    " WHERE id = :payout",
    "a payout with another posting": "UPDATE commission_payouts SET posting_id = :posting"
    " WHERE id = :payout",
}


@pytest.mark.parametrize("what", BREAKS)
def test_verify_finds_it(kiosk: Kiosk, agent: Agent, owner_db: Database, what: str) -> None:
    kiosk.operator(OWED)
    earn(kiosk, agent)
    payout_id = new_key()
    pay(kiosk, agent, payout_id)
    view = kiosk.cash_out(kiosk.person(), agent, AMOUNT, AT)
    facts = {
        "agent": agent.id, "payout": payout_id, "other": kiosk.agent().id,
        "posting": view.posting_id,
    }  # fmt: skip
    with owner_db.engine.connect() as connection, Session(connection) as session:
        assert verify.findings(session) == []
        statement = BREAKS[what]
        session.execute(text(statement), {k: v for k, v in facts.items() if f":{k}" in statement})
        assert {finding.rule for finding in verify.findings(session)} == {"commission"}
        session.rollback()
