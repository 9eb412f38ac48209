"""Many threads at once: no deadlock, nothing is lost, no bound is passed by one unit."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.wallet import ledger
from app.wallet.keys import new_key
from tests.wallet.bank import NOW, Bank, count, posting

T = TypeVar("T")


def together(threads: int, work: Callable[[int], T]) -> list[T]:
    """`work(n)` in n threads that begin at the same moment."""
    barrier = Barrier(threads)

    def one(number: int) -> T:
        barrier.wait(10)
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_random_batches_over_few_accounts_neither_deadlock_nor_lose(bank: Bank) -> None:
    accounts = [bank.account(1_000) for _ in range(10)]
    fees = bank.house("fees")
    before = bank.balance(fees)
    deadlocks: list[DBAPIError] = []  # `transact` would hide them

    def work(number: int) -> int:
        chance = random.Random(number)
        refused = 0
        for _ in range(40):
            batch = []
            for _ in range(chance.randint(1, 5)):
                payer, payee = chance.sample(accounts, 2)
                batch.append(posting((payer, payee, chance.randint(1, 300)), (payer, fees, 1)))
            refused += bank.run(lambda session: post(session, batch))  # noqa: B023
        return refused

    def post(session: Session, batch: list[ledger.Posting]) -> int:
        try:
            answers = ledger.post(session, batch, now=NOW)
        except DBAPIError as error:
            deadlocks.append(error)
            raise
        return sum(answer.refusal is not None for answer in answers)

    together(8, work)
    balances = bank.run(lambda session: ledger.balances(session, accounts))
    paid = bank.balance(fees) - before
    assert sum(balance.balance_minor for balance in balances.values()) + paid == 10_000
    assert min(balance.balance_minor for balance in balances.values()) >= 0
    assert deadlocks == []
    assert bank.verify() == []


def test_the_same_key_from_20_threads_posts_once(bank: Bank) -> None:
    sent = posting((bank.account(1_000), bank.account(), 10))
    answers = together(20, lambda _: bank.post(sent)[0])
    assert len({answer.posting_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert bank.balance(sent.moves[0].debit) == 990


def test_the_same_keys_in_any_order_do_not_deadlock(bank: Bank) -> None:
    batch = [posting((bank.account(5), bank.account(), 5)) for _ in range(20)]

    def work(number: int) -> int:
        mine = batch[:]
        random.Random(number).shuffle(mine)
        return sum(not answer.replayed for answer in bank.post(*mine))

    assert sum(together(8, work)) == 20
    assert bank.verify() == []


def test_50_sends_at_once_never_pass_a_limit(bank: Bank) -> None:
    sender, payee = bank.account(10_000), bank.account()

    def work(number: int) -> str | None:
        amount = 7 + number % 5
        limits = (count(sender, amount, 200), count(sender, 1, 1_000, "times"))
        if number % 3:
            return bank.send(sender, payee, amount, counts=limits).refusal
        return bank.hold(sender, amount, counts=limits).refusal

    refusals = together(50, work)
    used = bank.used(sender, "day")
    assert 200 - 11 < used <= 200
    assert used == bank.balance(payee) + bank.balance(sender) - bank.available(sender)
    assert set(refusals) == {None, "limit_day"}
    assert bank.used(sender, "times") == refusals.count(None)


def test_a_hold_has_one_end_whoever_comes_first(bank: Bank) -> None:
    sender, payee = bank.account(10_000), bank.account()

    def end(key: UUID, way: int) -> bool:
        if way == 0:
            return bank.release(key)
        if way == 1:
            return key in bank.run(lambda s: ledger.expire_holds(s, now=NOW, limit=10_000))
        return bank.send(sender, payee, 10, hold_id=key).refusal is None

    for _ in range(10):
        hold = bank.hold(sender, 10, expires_at=NOW, counts=(count(sender, 10, 10_000),))
        assert sum(together(4, partial(end, hold.key))) == 1
    assert bank.balance(sender) == bank.available(sender)
    assert bank.used(sender, "day") == bank.balance(payee)
    assert bank.verify() == []


def test_one_reversal_of_a_posting(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    sent = bank.send(sender, payee, 100)
    reversals = together(10, lambda _: bank.reverse(sent.posting_id))
    assert sorted(str(reversal.refusal) for reversal in reversals) == [
        "None",
        *["authority_used"] * 9,
    ]
    assert bank.balance(sender) == 100


def test_one_deposit_of_a_bank_line(bank: Bank) -> None:
    line, account = bank.line(500), bank.account()
    together(
        10,
        lambda _: bank.run(
            lambda s: ledger.deposit(s, bank_line_id=line, account_id=account, now=NOW)
        ),
    )
    assert bank.balance(account) == 500


def test_a_hot_house_account_while_it_is_rolled_up(bank: Bank) -> None:
    """A reader never sees a sum that was not there, and verify never a finding."""
    settlement = bank.house(f"settlement:hot-{new_key().hex[-6:]}")
    payers = [bank.account(1_000) for _ in range(6)]
    done = Event()
    seen: list[int] = []

    def work(number: int) -> None:
        if number < 6:
            for _ in range(60):
                bank.send(payers[number], settlement, 1)
        elif number < 8:
            while not done.is_set():
                bank.run(ledger.roll_up)
        else:
            while not done.is_set():
                seen.append(bank.balance(settlement))
                assert bank.verify() == []
            return
        if bank.balance(settlement) == 360:
            done.set()

    together(9, work)
    assert seen == sorted(seen)
    assert bank.balance(settlement) == 360
    bank.run(ledger.roll_up)
    assert bank.balance(settlement) == 360
    assert bank.verify() == []
