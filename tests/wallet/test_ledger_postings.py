"""Keys, batches, the house and its bounds, reversals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.wallet import ledger
from app.wallet.keys import derived_key, new_key, period_key
from tests.wallet.bank import NOW, TODAY, Bank, count, posting


def test_a_batch_is_judged_in_order_each_by_itself(bank: Bank) -> None:
    """The second can pay only because of the first; the third cannot; the fourth still can."""
    one, two, three = bank.account(100), bank.account(), bank.account()
    answers = bank.post(
        posting((one, two, 60)),
        posting((two, three, 50)),
        posting((two, three, 20)),
        posting((two, one, 10)),
    )
    assert [answer.refusal for answer in answers] == [None, None, "insufficient_funds", None]
    assert [bank.balance(account) for account in (one, two, three)] == [50, 0, 50]


def test_a_refused_posting_leaves_nothing_though_its_first_moves_could_be_paid(bank: Bank) -> None:
    sender, payee, fees = bank.account(100), bank.account(), bank.house("fees")
    before = bank.balance(fees)
    refused, sent = bank.post(
        posting((sender, fees, 60), (sender, payee, 60), counts=(count(sender, 60, 100),)),
        posting((sender, fees, 40), (sender, payee, 60), counts=(count(sender, 60, 100),)),
    )
    assert (refused.refusal, sent.refusal) == ("insufficient_funds", None)
    assert (bank.balance(sender), bank.balance(payee)) == (0, 60)
    assert bank.balance(fees) - before == 40
    assert bank.used(sender, "day") == 60


def test_the_same_key_in_one_call(bank: Bank) -> None:
    sender, payee = bank.account(100), bank.account()
    sent = posting((sender, payee, 10))
    answers = bank.post(sent, sent, replace(sent, reference="other"), sent)
    assert [answer.refusal for answer in answers] == [None, None, "key_reused", None]
    assert [answer.replayed for answer in answers] == [False, True, False, True]
    assert {answer.posting_id for answer in answers} == {answers[0].posting_id, None}
    assert bank.balance(payee) == 10


def test_a_refusal_is_the_answer_for_ever(bank: Bank) -> None:
    sender, payee = bank.account(), bank.account()
    sent = posting((sender, payee, 10))
    assert bank.post(sent)[0].refusal == "insufficient_funds"
    bank.pay_in(sender, 100)
    (again,) = bank.post(sent)
    assert (again.refusal, again.replayed, again.posting_id) == ("insufficient_funds", True, None)
    assert bank.balance(sender) == 100


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"reference": "other"},
        {"authority": "case:other"},
        {"hold_id": uuid4()},
        {"counts": (count(1, 1, 1),)},
        {"moves": (ledger.Move(1, 2, 3),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_was_asked_is_in_the_fingerprint(
    bank: Bank, change: dict[str, Any]
) -> None:
    sent = posting((bank.account(10), bank.account(), 10))
    bank.post(sent)
    assert bank.post(replace(sent, **change))[0].refusal == "key_reused"


def test_a_cap_that_changed_meanwhile_is_no_other_request(bank: Bank) -> None:
    """The market may lower a limit between a request and its retry."""
    sender = bank.account(10)
    sent = posting((sender, bank.account(), 10), counts=(count(sender, 10, 50),))
    (first,) = bank.post(sent)
    (again,) = bank.post(replace(sent, counts=(count(sender, 10, 5),)))
    assert again == replace(first, replayed=True)


def test_a_key_of_a_hold_is_not_one_of_a_posting(bank: Bank) -> None:
    sender = bank.account(10)
    hold = bank.hold(sender, 5)
    assert bank.send(sender, bank.account(), 5, key=hold.key).refusal == "key_reused"


def test_what_raises_is_the_callers_mistake(bank: Bank) -> None:
    one, two = bank.account(), bank.account()
    for wrong in (
        [],
        [posting((one, two, 1))] * 1001,
        [posting()],
        [posting((one, two, 10**15 + 1))],
        [posting((one, two, 1), key=uuid4())],
    ):
        with pytest.raises(ValueError, match=r"postings|moves|minor|UUIDv7"):
            bank.post(*wrong)


def test_a_rolled_back_posting_never_was(bank: Bank) -> None:
    sender, payee = bank.account(10), bank.account()
    sent = posting((sender, payee, 10))
    with bank.database.engine.connect() as connection, Session(connection) as session:
        assert ledger.post(session, [sent], now=NOW)[0].refusal is None
        session.rollback()
    (answer,) = bank.post(sent)
    assert (answer.refusal, answer.replayed) == (None, False)


def test_a_posting_authorises_one_taking_of_what_it_gave(bank: Bank) -> None:
    fees, payer = bank.house("fees"), bank.account(10)
    paid = bank.send(payer, fees, 10)
    authority = f"posting:{paid.posting_id}"
    assert bank.send(fees, payer, 7, authority=authority).refusal is None
    assert bank.send(fees, payer, 3, authority=authority).refusal == "authority_used"
    assert bank.reverse(paid.posting_id).refusal == "authority_used"


def test_an_authority_of_a_refused_posting_is_still_there(bank: Bank) -> None:
    """Also within one call, where the next posting takes it."""
    fees, poor, payer = bank.house("fees"), bank.account(), bank.account(5)
    paid = bank.send(payer, fees, 5)
    authority = f"posting:{paid.posting_id}"
    refused, used, late = bank.post(
        posting((fees, payer, 5), (poor, payer, 1), authority=authority),
        posting((fees, payer, 5), authority=authority),
        posting((fees, payer, 5), authority=authority),
    )
    assert (refused.refusal, used.refusal, late.refusal) == (
        "insufficient_funds",
        None,
        "authority_used",
    )
    again = f"posting:{bank.send(payer, fees, 5).posting_id}"
    bank.post(posting((fees, payer, 5), (poor, payer, 1), authority=again))
    assert bank.send(fees, payer, 5, authority=again).refusal is None


@pytest.mark.parametrize("what", ["payment:{}:late", "payment:{}:returned", "case"])
def test_late_money_leaves_suspense_and_settlement_once(bank: Bank, what: str) -> None:
    suspense, settlement = bank.house("suspense:late"), bank.house("settlement:test")
    bank.send(bank.account(5), suspense, 5)
    authority = bank.case() if what == "case" else what.format(uuid4())
    assert bank.send(suspense, settlement, 5, authority=authority).refusal is None
    assert bank.send(settlement, suspense, 5, authority=authority).refusal == "authority_used"


def deposit(bank: Bank, line: str, account: int) -> ledger.Answer:
    return bank.run(
        lambda session: ledger.deposit(session, bank_line_id=line, account_id=account, now=NOW)
    )


def test_a_deposit_is_issued_once_whatever_is_retried(bank: Bank) -> None:
    account, trust = bank.account(), bank.house("trust_bank")
    line, before = bank.line(500), bank.balance(trust)
    first, again = deposit(bank, line, account), deposit(bank, line, account)
    other = deposit(bank, line, bank.account())
    assert (first.refusal, first.replayed, again.replayed) == (None, False, True)
    assert again.posting_id == first.posting_id
    assert other.refusal == "key_reused"
    assert bank.balance(account) == 500
    assert bank.balance(trust) == before - 500


def test_a_deposit_waits_for_the_checker(bank: Bank) -> None:
    account, line = bank.account(), bank.line(500, checker=None)
    assert deposit(bank, line, account).refusal == "authority_invalid"
    assert bank.run(lambda s: ledger.approve_bank_line(s, line_id=line, checker="c"))
    assert not bank.run(lambda s: ledger.approve_bank_line(s, line_id=line, checker="d"))
    assert deposit(bank, line, account).refusal is None


def test_money_leaves_the_trust_bank_against_its_own_line(bank: Bank) -> None:
    settlement, trust = bank.house("settlement:test"), bank.house("trust_bank")
    bank.send(bank.account(50), settlement, 50)
    paid_out = bank.send(settlement, trust, 50, authority=f"bank_line:{bank.line(-50)}")
    assert paid_out.refusal is None
    assert bank.verify() == []


def test_a_bank_line_is_recorded_once(bank: Bank) -> None:
    line = bank.line(5)

    def again(amount_minor: int) -> bool:
        return bank.run(
            lambda session: ledger.record_bank_line(
                session,
                line_id=line,
                amount_minor=amount_minor,
                currency="KES",
                booked_on=TODAY,
                maker="x",
            )
        )

    assert again(5) is False
    with pytest.raises(DBAPIError, match="other content"):
        again(6)


def test_a_reversal_gives_back_what_is_left(bank: Bank) -> None:
    sender, payee, fees = bank.account(110), bank.account(), bank.house("fees")
    before = bank.balance(fees)
    sent = posting((sender, payee, 100), (sender, fees, 10))
    (answer,) = bank.post(sent)
    bank.send(payee, bank.account(), 70)
    bank.hold(payee, 10)

    key = new_key()
    reversal = bank.reverse(answer.posting_id, key=key)

    assert (reversal.refusal, reversal.amount_minor) == (None, 20 + 10)
    assert bank.balance(sender) == 30
    assert (bank.available(payee), bank.balance(fees)) == (0, before)
    assert bank.reverse(answer.posting_id, key=key) == replace(reversal, replayed=True)
    assert bank.reverse(answer.posting_id).refusal == "authority_used"
    (retry,) = bank.post(sent)
    assert (retry.refusal, retry.posting_id) == ("reversed", answer.posting_id)
    assert bank.verify() == []


def test_what_cannot_be_reversed(bank: Bank) -> None:
    sender, payee = bank.account(10), bank.account()
    sent = bank.send(sender, payee, 10)
    bank.send(payee, sender, 10)
    deposit = bank.pay_in(sender, 5)
    assert bank.reverse(10**15).refusal == "posting_unknown"
    assert bank.reverse(sent.posting_id).refusal == "insufficient_funds"
    assert bank.reverse(deposit.posting_id).refusal == "not_reversible"
    back = bank.reverse(bank.send(sender, payee, 10).posting_id)
    assert bank.reverse(back.posting_id).refusal == "not_reversible"
    reused = bank.reverse(sent.posting_id, key=back.key)
    assert (reused.refusal, reused.posting_id) == ("key_reused", None)
    expired = period_key("test", "reversal", datetime(2020, 1, 1, tzinfo=UTC))
    assert bank.reverse(deposit.posting_id, key=expired).refusal == "key_expired"


def test_a_chain_of_moves_is_reversed_from_its_end(bank: Bank) -> None:
    one, two, three = bank.account(10), bank.account(), bank.account()
    (answer,) = bank.post(posting((one, two, 10), (two, three, 10)))
    reversal = bank.reverse(answer.posting_id)
    assert reversal.refusal is None
    assert [bank.balance(account) for account in (one, two, three)] == [10, 0, 0]


def test_keys_are_of_version_7_and_derived_ones_keep_their_parents_time() -> None:
    parent = new_key()
    child = derived_key(parent, "capture")
    start = datetime(2026, 5, 1, tzinfo=UTC)
    monthly = period_key("interest", "person", start)
    assert {key.version for key in (parent, child, monthly)} == {7}
    assert child.int >> 80 == parent.int >> 80
    assert child == derived_key(parent, "capture") != derived_key(parent, "release")
    assert monthly.int >> 80 == int(start.timestamp() * 1000)
    assert derived_key(parent, "a", "b") != derived_key(parent, "ab")
    with pytest.raises(ValueError, match="time zone"):
        period_key("interest", "person", datetime(2026, 5, 1))  # noqa: DTZ001
