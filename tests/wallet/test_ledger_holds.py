"""Holds and limits: every end acts on `held` only, and gives back exactly what was counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from app.wallet import ledger
from app.wallet.keys import new_key
from tests.wallet.bank import NOW, Bank, count, posting

SOON, LATER = NOW + timedelta(minutes=5), NOW + timedelta(minutes=10)


def expire(bank: Bank, limit: int = 1000) -> list[UUID]:
    return bank.run(lambda session: ledger.expire_holds(session, now=LATER, limit=limit))


def test_held_money_is_there_but_cannot_be_spent(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    hold = bank.hold(sender, 60)
    assert hold.posting_id is None
    assert (bank.balance(sender), bank.available(sender)) == (100, 40)
    assert bank.send(sender, payee, 41).refusal == "insufficient_funds"
    assert bank.send(sender, payee, 40).refusal is None


@pytest.mark.parametrize("captured", [1, 59, 60])
def test_a_capture_takes_its_part_and_gives_back_the_rest(bank: Bank, captured: int) -> None:
    sender, settlement = bank.account(100), bank.house("settlement:test")
    limits = (count(sender, 60, 100), count(sender, 1, 3, "times"))
    hold = bank.hold(sender, 60, counts=limits)
    (answer,) = bank.post(posting((sender, settlement, captured), hold_id=hold.key))
    assert answer.refusal is None
    assert (bank.balance(sender), bank.available(sender)) == (100 - captured, 100 - captured)
    assert bank.used(sender, "day") == captured
    assert bank.used(sender, "times") == 1
    assert not bank.release(hold.key)
    assert bank.verify() == []


def test_counters_get_back_their_share_rounded_so_that_no_limit_widens(bank: Bank) -> None:
    """The hold held a fee too, which the limit does not count: 1000 of 1010."""
    sender, payee = bank.account(2000), bank.account()
    hold = bank.hold(sender, 1010, counts=(count(sender, 1000, 1000),))
    bank.post(posting((sender, payee, 505), hold_id=hold.key))
    assert bank.used(sender, "day") == 500
    hold = bank.hold(sender, 3, counts=(count(sender, 2, 1000),))
    bank.post(posting((sender, payee, 2), hold_id=hold.key))
    assert bank.used(sender, "day") == 502


def test_a_refused_capture_leaves_the_hold_and_no_money_for_the_next(bank: Bank) -> None:
    sender, other, payee = bank.account(100), bank.account(), bank.account()
    hold = bank.hold(sender, 60)
    refused, too_much, rest = bank.post(
        posting((sender, payee, 60), (other, payee, 1), hold_id=hold.key),
        posting((sender, payee, 41)),
        posting((sender, payee, 40)),
    )
    assert (refused.refusal, too_much.refusal) == ("insufficient_funds", "insufficient_funds")
    assert rest.refusal is None
    assert (bank.balance(sender), bank.available(sender)) == (60, 0)
    assert bank.release(hold.key)


def test_one_hold_is_captured_once_in_a_call(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    hold = bank.hold(sender, 60)
    first, second = bank.post(
        posting((sender, payee, 30), hold_id=hold.key),
        posting((sender, payee, 30), hold_id=hold.key),
    )
    assert (first.refusal, second.refusal) == (None, "hold_not_held")


def test_two_holds_of_one_account_in_a_call(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    one, two = bank.hold(sender, 60), bank.hold(sender, 40)
    answers = bank.post(
        posting((sender, payee, 50), hold_id=one.key), posting((sender, payee, 40), hold_id=two.key)
    )
    assert [answer.refusal for answer in answers] == [None, None]
    assert (bank.balance(sender), bank.available(sender)) == (10, 10)


def test_what_a_capture_gives_back_counts_for_the_next_posting_of_the_call(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    hold = bank.hold(sender, 60, counts=(count(sender, 60, 60),))
    answers = bank.post(
        posting((sender, payee, 1), counts=(count(sender, 1, 60),)),
        posting((sender, payee, 20), hold_id=hold.key),
        posting((sender, payee, 40), counts=(count(sender, 40, 60),)),
    )
    assert [answer.refusal for answer in answers] == ["limit_day", None, None]
    assert bank.used(sender, "day") == 60


def test_releases_and_expiries_give_everything_back(bank: Bank) -> None:
    sender = bank.account(100)
    released = bank.hold(sender, 30, counts=(count(sender, 30, 100),))
    expired = bank.hold(sender, 20, counts=(count(sender, 20, 100),), expires_at=SOON)
    lasting = bank.hold(sender, 10, counts=(count(sender, 10, 100),), expires_at=SOON)
    assert bank.run(lambda session: ledger.clear_expiry(session, lasting.key))
    assert bank.release(released.key)
    assert not bank.release(released.key)
    done = expire(bank)
    assert expired.key in done
    assert lasting.key not in done
    assert (bank.available(sender), bank.used(sender, "day")) == (90, 10)
    assert not bank.run(lambda session: ledger.clear_expiry(session, expired.key))
    assert bank.verify() == []


def test_expiry_takes_the_oldest_first_and_no_more_than_asked(bank: Bank) -> None:
    expire(bank, 10_000)
    sender = bank.account(100)
    holds = [bank.hold(sender, 1, expires_at=SOON + timedelta(seconds=s)).key for s in (3, 1, 2)]
    assert set(expire(bank, 2)) == {holds[1], holds[2]}
    assert expire(bank, 2) == [holds[0]]
    assert expire(bank) == []


HOLD_LADDER: list[tuple[str, Callable[[Bank], ledger.Answer]]] = [
    ("account_unknown", lambda bank: bank.hold(10**12, -1)),
    ("account_unknown", lambda bank: bank.hold(bank.house("fees"), 1)),
    ("account_unknown", lambda bank: bank.hold(bank.account(), -1, counts=(count(10**12, 1, 0),))),
    (
        "amount_not_positive",
        lambda bank: bank.hold((a := bank.account()), 0, counts=(count(a, 2, 1),)),
    ),
    ("limit_day", lambda bank: bank.hold((a := bank.account()), 1, counts=(count(a, 2, 1),))),
    ("insufficient_funds", lambda bank: bank.hold(bank.account(5), 6)),
]


@pytest.mark.parametrize(("refusal", "ask"), HOLD_LADDER)
def test_the_ladder_of_holds(
    bank: Bank, refusal: str, ask: Callable[[Bank], ledger.Answer]
) -> None:
    assert ask(bank).refusal == refusal


def test_a_hold_is_answered_once(bank: Bank) -> None:
    sender, key = bank.account(10), new_key()
    first, again = bank.hold(sender, 6, key=key), bank.hold(sender, 6, key=key)
    assert (first.refusal, first.replayed, again.replayed) == (None, False, True)
    assert bank.hold(sender, 7, key=key).refusal == "key_reused"
    assert bank.available(sender) == 4
    bank.release(key)
    after = bank.hold(sender, 6, key=key)
    assert (after.refusal, after.replayed, bank.available(sender)) == (None, True, 10)


def test_a_limit_is_reached_to_the_unit(bank: Bank) -> None:
    sender, payee = bank.account(1000), bank.account()
    for amount, refusal in ((99, None), (2, "limit_day"), (1, None), (1, "limit_day")):
        answer = bank.send(sender, payee, amount, counts=(count(sender, amount, 100),))
        assert answer.refusal == refusal
    assert bank.used(sender, "day") == 100


def test_a_hold_may_expire_whenever_its_caller_says(bank: Bank) -> None:
    """The time is no part of the fingerprint: a retry computes it anew."""
    sender, key = bank.account(10), new_key()
    bank.hold(sender, 5, key=key, expires_at=SOON)
    assert bank.hold(sender, 5, key=key, expires_at=LATER).replayed
