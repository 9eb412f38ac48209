"""Every refusal of a posting, in the ladder's order.

Each row breaks its rule and, where it can, rules below it too, so the test also says which one is
answered first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.wallet import ledger
from app.wallet.keys import new_key, period_key
from app.wallet.ledger import Posting
from tests.wallet.bank import NOW, Bank, count, posting

NOBODY = 10**12
EXPIRED = period_key("test", "old", NOW - timedelta(days=401))


def key_reused(bank: Bank) -> Posting:
    sender, payee = bank.account(10), bank.account()
    key = new_key()
    assert bank.send(sender, payee, 10, key=key).refusal is None
    return posting((sender, NOBODY, 999), key=key)


def key_expired(bank: Bank) -> Posting:
    return posting((bank.account(), NOBODY, -1), key=EXPIRED)


def reversed_before(bank: Bank) -> Posting:
    sent = posting((bank.account(10), bank.account(), 10))
    (answer,) = bank.post(sent)
    assert bank.reverse(answer.posting_id).refusal is None
    return sent


def account_unknown(bank: Bank) -> Posting:
    return posting(
        (bank.account(), NOBODY, -1), (bank.account(), bank.account(0, currency="TZS"), 0)
    )


def account_of_a_limit_unknown(bank: Bank) -> Posting:
    return posting((bank.account(), bank.account(), -1), counts=(count(NOBODY, 1, 1),))


def limit_of_a_house_account(bank: Bank) -> Posting:
    fees = bank.house("fees")
    return posting((bank.account(1), fees, 1), counts=(count(fees, 1, 1),))


def currency_mixed(bank: Bank) -> Posting:
    sender = bank.account()
    return posting((sender, sender, 0), (sender, bank.account(0, currency="TZS"), -1))


def same_account(bank: Bank) -> Posting:
    sender = bank.account()
    return posting((sender, bank.account(), -1), (sender, sender, 0))


def amount_not_positive(bank: Bank) -> Posting:
    return posting((bank.house("fees"), bank.account(), 0))


def amount_of_a_limit_negative(bank: Bank) -> Posting:
    sender = bank.account()
    return posting((sender, bank.account(), 1), counts=(count(sender, -1, 1),))


def authority_required(bank: Bank) -> Posting:
    return posting((bank.house("fees"), bank.account(), 1), hold_id=uuid4())


def authority_required_to_pay_the_trust_bank(bank: Bank) -> Posting:
    return posting((bank.account(5), bank.house("trust_bank"), 5))


def authority_used(bank: Bank) -> Posting:
    late = f"payment:{uuid4()}:late"
    settlement, payee = bank.house("settlement:test"), bank.house("suspense:late")
    bank.send(bank.account(5), settlement, 5)
    assert bank.send(settlement, payee, 5, authority=late).refusal is None
    return posting((bank.house("fees"), payee, 5), authority=late)


def authority_of_a_form_unknown(bank: Bank) -> Posting:
    return posting((bank.house("fees"), bank.account(), 1), authority="because", hold_id=uuid4())


def authority_case_takes_from_fees(bank: Bank) -> Posting:
    return posting((bank.house("fees"), bank.account(), 1), authority=bank.case())


def authority_case_makes_a_persons_money(bank: Bank) -> Posting:
    bank.send(bank.account(5), bank.house("settlement:test"), 5)
    return posting((bank.house("settlement:test"), bank.account(), 1), authority=bank.case())


def within_the_house(bank: Bank, authority: str) -> Posting:
    bank.send(bank.account(5), bank.house("settlement:test"), 5)
    return posting(
        (bank.house("settlement:test"), bank.house("suspense:late"), 5), authority=authority
    )


def authority_case_made_up(bank: Bank) -> Posting:
    return within_the_house(bank, f"case:{uuid4()}")


def authority_case_that_nobody_approved(bank: Bank) -> Posting:
    return within_the_house(bank, bank.case(approved=False))


def authority_posting_gave_less(bank: Bank) -> Posting:
    paid = bank.send(bank.account(5), bank.house("fees"), 5)
    return posting(
        (bank.house("fees"), bank.account(), 3),
        (bank.house("fees"), bank.account(), 3),
        authority=f"posting:{paid.posting_id}",
    )


def authority_posting_gave_to_another(bank: Bank) -> Posting:
    paid = bank.send(bank.account(5), bank.house("fees"), 5)
    return posting((bank.house("tax"), bank.account(), 5), authority=f"posting:{paid.posting_id}")


def authority_bank_line_of_another_amount(bank: Bank) -> Posting:
    return posting(
        (bank.house("trust_bank"), bank.account(), 6), authority=f"bank_line:{bank.line(5)}"
    )


def authority_bank_line_of_the_other_sign(bank: Bank) -> Posting:
    return posting(
        (bank.house("trust_bank"), bank.account(), 5), authority=f"bank_line:{bank.line(-5)}"
    )


def authority_bank_line_of_another_currency(bank: Bank) -> Posting:
    return posting(
        (bank.house("trust_bank"), bank.account(), 5), authority=f"bank_line:{bank.line(5, 'TZS')}"
    )


def authority_bank_line_not_approved(bank: Bank) -> Posting:
    line = bank.line(5, checker=None)
    return posting((bank.house("trust_bank"), bank.account(), 5), authority=f"bank_line:{line}")


def hold_not_held(bank: Bank) -> Posting:
    sender = bank.account(5)
    hold = bank.hold(sender, 5)
    assert bank.release(hold.key)
    return posting((bank.account(), bank.account(), 6), hold_id=hold.key)


def hold_unknown(bank: Bank) -> Posting:
    return posting((bank.account(), bank.account(), 6), hold_id=new_key())


def hold_wrong_account(bank: Bank) -> Posting:
    hold = bank.hold(bank.account(5), 5)
    return posting((bank.account(), bank.account(), 6), hold_id=hold.key)


def hold_too_small(bank: Bank) -> Posting:
    sender = bank.account(5)
    hold = bank.hold(sender, 5)
    return posting(
        (sender, bank.account(), 3),
        (sender, bank.account(), 3),
        hold_id=hold.key,
        counts=(count(sender, 2, 1),),
    )


def limit_day(bank: Bank) -> Posting:
    sender = bank.account()
    return posting(
        (sender, bank.account(), 1),
        counts=(count(sender, 5, 5, "month"), count(sender, 6, 5), count(sender, 7, 5, "year")),
    )


def limit_counts_twice(bank: Bank) -> Posting:
    sender = bank.account(9)
    return posting((sender, bank.account(), 6), counts=(count(sender, 3, 5), count(sender, 3, 5)))


def insufficient_funds(bank: Bank) -> Posting:
    sender = bank.account(10)
    bank.hold(sender, 1)
    return posting((sender, bank.account(), 4), (sender, bank.account(), 6))


LADDER: list[tuple[str, Callable[[Bank], Posting]]] = [
    ("key_reused", key_reused),
    ("key_expired", key_expired),
    ("reversed", reversed_before),
    ("account_unknown", account_unknown),
    ("account_unknown", account_of_a_limit_unknown),
    ("account_unknown", limit_of_a_house_account),
    ("currency_mixed", currency_mixed),
    ("same_account", same_account),
    ("amount_not_positive", amount_not_positive),
    ("amount_not_positive", amount_of_a_limit_negative),
    ("authority_required", authority_required),
    ("authority_required", authority_required_to_pay_the_trust_bank),
    ("authority_used", authority_used),
    ("authority_invalid", authority_of_a_form_unknown),
    ("authority_invalid", authority_case_takes_from_fees),
    ("authority_invalid", authority_case_makes_a_persons_money),
    ("authority_invalid", authority_case_made_up),
    ("authority_invalid", authority_case_that_nobody_approved),
    ("authority_invalid", authority_posting_gave_less),
    ("authority_invalid", authority_posting_gave_to_another),
    ("authority_invalid", authority_bank_line_of_another_amount),
    ("authority_invalid", authority_bank_line_of_the_other_sign),
    ("authority_invalid", authority_bank_line_of_another_currency),
    ("authority_invalid", authority_bank_line_not_approved),
    ("hold_not_held", hold_not_held),
    ("hold_not_held", hold_unknown),
    ("hold_wrong_account", hold_wrong_account),
    ("hold_too_small", hold_too_small),
    ("limit_day", limit_day),
    ("limit_day", limit_counts_twice),
    ("insufficient_funds", insufficient_funds),
]
# The key itself is refused, so there is nothing under it to store.
NOT_STORED = {"key_reused", "key_expired"}


@pytest.mark.parametrize(("refusal", "make"), LADDER, ids=[f"{r}-{m.__name__}" for r, m in LADDER])
def test_ladder(bank: Bank, refusal: str, make: Callable[[Bank], Posting]) -> None:
    refused = make(bank)
    accounts = sorted({account for move in refused.moves for account in (move.debit, move.credit)})
    fine = [posting((bank.account(1), bank.account(), 1)) for _ in range(2)]
    before = bank.run(lambda session: ledger.balances(session, accounts))

    (answer,) = bank.post(refused)
    (again,) = bank.post(refused)
    first, between, last = bank.post(fine[0], refused, fine[1])

    assert answer.refusal == again.refusal == between.refusal == refusal
    assert again.replayed is (refusal not in NOT_STORED)
    assert first.refusal is last.refusal is None
    assert bank.run(lambda session: ledger.balances(session, accounts)) == before


def test_every_currencys_trust_bank_is_guarded_in_one_call(bank: Bank) -> None:
    pairs = [
        (bank.account(5, currency=currency), bank.house("trust_bank", currency))
        for currency in ("KES", "TZS")
    ]
    answers = bank.post(*(posting((payer, trust, 5)) for payer, trust in pairs))
    assert [answer.refusal for answer in answers] == ["authority_required"] * 2


def test_an_expired_key_that_was_answered_is_answered(bank: Bank) -> None:
    sender, payee = bank.account(10), bank.account()
    long_ago = datetime.now(UTC) - timedelta(days=500)
    sent = posting((sender, payee, 10), key=period_key("test", str(sender), long_ago))
    (then,) = bank.post(sent, now=long_ago)
    (now,) = bank.post(sent)
    assert then.refusal is None
    assert now.posting_id == then.posting_id
    assert now.replayed
