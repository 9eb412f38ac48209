"""Statements, the trial balance, the roll-up, and growth by months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import period_key
from app.wallet.verify import findings
from tests.wallet.bank import NOW, Bank, posting


def test_a_statement_pages_without_gap_or_repeat(bank: Bank) -> None:
    one, two = bank.account(1000), bank.account()
    for amount in range(1, 8):
        bank.send(one, two, amount, reference=f"r{amount}")
        bank.send(two, one, 1)
    lines: list[ledger.StatementLine] = []
    before: int | None = None
    while page := bank.run(partial(ledger.statement, account_id=one, before_seq=before, limit=4)):
        assert len(page) <= 4
        lines += page
        before = page[-1].seq
    assert [line.seq for line in lines] == list(range(15, 0, -1))
    balance = 0
    for line in reversed(lines):
        balance += line.amount_minor
        assert line.balance_minor == balance
    assert balance == bank.balance(one)
    assert lines[1].reference == "r7"
    assert lines[1].other_account_id == two
    assert (lines[0].amount_minor, lines[1].amount_minor) == (1, -7)


def test_a_statement_crosses_months(bank: Bank) -> None:
    """Also into months for which nobody made a partition."""
    one, two = bank.account(100), bank.account()
    for days in (0, 40, 400, 4000):
        when = NOW + timedelta(days=days)
        bank.post(posting((one, two, 1), key=period_key("send", f"{one} {days}", when)), now=when)
    lines = bank.run(lambda session: ledger.statement(session, one))
    assert [line.seq for line in lines] == [5, 4, 3, 2, 1]
    assert bank.verify() == []


def test_the_house_pages_by_time(bank: Bank) -> None:
    suspense = bank.house("suspense:statement")
    payer = bank.account(100)
    bank.post(posting((payer, suspense, 1), (payer, suspense, 2), (payer, suspense, 3)))
    bank.send(payer, suspense, 4)
    until = NOW + timedelta(days=1)
    first = bank.run(lambda s: ledger.house_statement(s, suspense, until=until, limit=2))
    rest = bank.run(
        lambda s: ledger.house_statement(s, suspense, until=until, before=first[-1], limit=9)
    )
    assert [line.amount_minor for line in first + rest][:4] == [4, 3, 2, 1]


def test_the_trial_balance_sums_to_zero_and_shows_the_bank_with_its_own_sign(bank: Bank) -> None:
    bank.account(100)
    bank.hold(bank.account(70), 20)
    lines = [line for line in bank.run(ledger.trial_balance) if line.currency == "KES"]
    by_kind = {line.kind: line for line in lines}
    assert sum(line.balance_minor for line in lines) == 0
    assert by_kind["trust_bank"].natural_minor == -by_kind["trust_bank"].balance_minor > 0
    assert by_kind["wallet"].natural_minor == by_kind["wallet"].balance_minor > 0
    assert by_kind["wallet"].held_minor >= 20


def test_the_roll_up_changes_no_balance(bank: Bank) -> None:
    fees, payer = bank.house("fees"), bank.account(100)
    bank.send(payer, fees, 30)
    before = bank.balance(fees)
    assert bank.run(ledger.roll_up) >= 1
    assert bank.balance(fees) == before
    bank.send(payer, fees, 5)
    assert bank.balance(fees) == before + 5
    assert bank.run(ledger.roll_up) >= 1
    assert bank.run(ledger.roll_up) == 0
    assert bank.verify() == []


def test_a_house_account_is_opened_once_and_only_remembered_when_committed(
    bank: Bank, ledger_db: Database
) -> None:
    name = "suspense:rolled-back"

    def open_and_fail(session: Session) -> None:
        ledger.house_account(session, name, "KES")
        ledger.house_account(session, name, "KES")
        session.rollback()

    ledger_db.transact(open_and_fail)
    account = bank.house(name)
    assert bank.house(name) == account
    assert bank.run(lambda session: ledger.balance(session, account)).balance_minor == 0


def test_months_are_made_ahead_and_take_what_waited_in_the_default(
    bank: Bank, owner_db: Database
) -> None:
    one, two = bank.account(10), bank.account()
    when = datetime(2041, 5, 31, 23, 59, 59, tzinfo=UTC)
    bank.post(posting((one, two, 4), key=period_key("send", str(one), when)), now=when)
    for made in (4, 0):
        assert made == bank.run(
            lambda s: ledger.make_partitions(s, first_month=date(2041, 5, 9), months=2)
        )
    with owner_db.engine.connect() as connection:
        where = connection.execute(
            text("SELECT tableoid::regclass::text FROM moves WHERE debit = :id"), {"id": one}
        ).scalar_one()
    assert where == "moves_2041_05"
    assert bank.balance(two) == 4
    assert bank.verify() == []


def test_a_detached_month_leaves_opening_balances_and_verify_replays_from_them(
    bank: Bank, owner_db: Database
) -> None:
    """In a transaction that is rolled back, for the other tests' sake."""
    one, two, fees = bank.account(100), bank.account(), bank.house("fees")
    bank.post(posting((one, two, 40), (one, fees, 3)))
    with owner_db.engine.connect() as connection, Session(connection) as session:
        # Other tests wrote into the far past; here that is this month too.
        for table in ("postings", "moves"):
            session.execute(
                text(
                    f"UPDATE {table} SET posted_at = date_trunc('month', now())"
                    " WHERE posted_at < date_trunc('month', now())"
                )
            )
        session.execute(text("SELECT detach_month_v1(date_trunc('month', now())::date)"))
        assert findings(session) == []
        assert ledger.statement(session, one) == []
        (answer,) = ledger.post(session, [posting((one, two, 7))], now=NOW + timedelta(days=32))
        assert answer.refusal is None
        assert findings(session) == []
        assert ledger.balance(session, one).balance_minor == 50
        session.execute(text("DELETE FROM opening_balances WHERE account_id = :id"), {"id": one})
        assert {finding.rule for finding in findings(session)} == {
            "balance_replay",
            "sequence",
        }
        session.rollback()
