"""verify finds it: one rule broken at a time, by the owner, in a transaction rolled back."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger, verify
from tests.billers.reconciliation.test_verify import OWN_RULES as ORDER_RULES
from tests.billers.test_refunds import OWN_RULES as REFUND_RULES
from tests.wallet.bank import Bank, count, posting
from tests.wallet.trust.test_verify import OWN_RULES as TRUST_RULES

# Rule, what breaks it, and the other rules that see the same. :id is an account with a balance of
# 40 and a hold of 10; :posting its sending of 50; :reversed a posting that was taken back.
BREAKS: list[tuple[str, str, set[str]]] = [
    (
        "sum_zero",
        "UPDATE accounts SET balance = balance + 1 WHERE id = :id",
        {"balance_replay", "identity"},
    ),
    ("balance_replay", "UPDATE accounts SET seq = seq + 1 WHERE id = :id", set()),
    (
        "balance_replay",
        "INSERT INTO house_pending VALUES (:fees, 5), (:fees, -10), (:tax, 5)",
        set(),
    ),
    (
        "sequence",
        "UPDATE moves SET debit_balance = debit_balance + 1 WHERE posting_id = :posting",
        set(),
    ),
    ("sequence", "UPDATE moves SET debit_seq = debit_seq + 5 WHERE posting_id = :posting", set()),
    ("sides", "UPDATE moves SET debit_seq = NULL WHERE posting_id = :posting", {"sequence"}),
    (
        "sides",
        "UPDATE moves SET credit = :foreign WHERE posting_id = :posting",
        {"balance_replay", "sequence"},
    ),
    ("held", "UPDATE accounts SET held = held - 1 WHERE id = :id", set()),
    ("held", "UPDATE holds SET amount_minor = amount_minor + 1 WHERE id = :hold", set()),
    (
        "floors",
        """ALTER TABLE accounts DROP CONSTRAINT accounts_floor;
        UPDATE accounts SET floor_minor = 100 WHERE id = :id""",
        {"accounts", "sequence"},
    ),
    ("captures", "UPDATE holds SET captured_minor = 6 WHERE posting_id = :captured", set()),
    ("captures", "UPDATE postings SET hold_id = NULL WHERE id = :captured", set()),
    ("counters", "UPDATE limit_counters SET used = 1 WHERE account_id = :id", set()),
    ("keys", "DELETE FROM posting_keys WHERE posting_id = :posting", set()),
    ("keys", "UPDATE posting_keys SET posting_id = NULL WHERE posting_id = :posting", set()),
    ("keys", "UPDATE posting_keys SET refusal = 'x' WHERE posting_id = :posting", set()),
    ("keys", "DELETE FROM posting_keys WHERE key = :hold", set()),
    ("orphans", "DELETE FROM postings WHERE id = :posting", {"keys"}),
    ("orphans", "DELETE FROM moves WHERE posting_id = :posting", {"balance_replay", "sequence"}),
    ("orphans", "INSERT INTO limit_counters VALUES (1000000000, 'x', now(), 1)", set()),
    ("reversals", "UPDATE posting_keys SET reversed_by = NULL WHERE posting_id = :reversed", set()),
    ("authorities", "DELETE FROM authorities WHERE authority = 'posting:' || :reversed", set()),
    ("authorities", "UPDATE postings SET authority = NULL WHERE reference = :deposit", set()),
    (
        "authorities",
        "UPDATE moves SET amount_minor = amount_minor + 1 WHERE posting_id = :taking",
        {"balance_replay", "sequence"},
    ),
    (
        "authorities",
        """UPDATE authorities SET authority = 'case:' || gen_random_uuid()
        WHERE posting_id = :taking;
        UPDATE postings p SET authority = g.authority FROM authorities g
        WHERE p.id = :taking AND g.posting_id = p.id""",
        set(),
    ),
    ("trust_bank", "UPDATE bank_lines SET posting_id = NULL WHERE id = :deposit", set()),
    (
        "trust_bank",
        """ALTER TABLE bank_lines DROP CONSTRAINT bank_lines_four_eyes;
        UPDATE bank_lines SET checker = maker WHERE id = :deposit""",
        set(),
    ),
    ("accounts", "UPDATE accounts SET floor_minor = -1 WHERE id = :id", set()),
    (
        "commission",
        "INSERT INTO house_pending VALUES (:commission, 5), (:fees, -5)",
        {"balance_replay"},
    ),
    (
        "vouchers",
        """ALTER TABLE vouchers DROP CONSTRAINT vouchers_transfer_id_fkey,
        DROP CONSTRAINT vouchers_sender_id_fkey;
        INSERT INTO vouchers (
            id, transfer_id, sender_id, msisdn, account_id, code_id, expires_at, state)
        SELECT u, u, u, '+254700000000', :id, u, now(), 'open' FROM gen_random_uuid() AS u""",
        set(),
    ),
]


@pytest.mark.parametrize(("rule", "statement", "others"), BREAKS)
def test_verify_finds_it(
    bank: Bank, owner_db: Database, rule: str, statement: str, others: set[str]
) -> None:
    sender, payee = bank.account(100), bank.account()
    sent = bank.send(sender, payee, 50)
    captured = bank.hold(sender, 10, counts=(count(sender, 10, 100),))
    (capture,) = bank.post(posting((sender, bank.house("fees"), 10), hold_id=captured.key))
    hold = bank.hold(sender, 10, counts=(count(sender, 10, 100),))
    taken_back = bank.send(payee, bank.account(), 1)
    bank.reverse(taken_back.posting_id)
    authority = f"posting:{capture.posting_id}"
    taking = bank.send(bank.house("fees"), payee, 10, authority=authority)
    facts = {
        "taking": taking.posting_id,
        "id": sender,
        "foreign": bank.account(0, currency="TZS"),
        "fees": bank.house("fees"),
        "tax": bank.house("tax"),
        "commission": bank.house("commission"),
        "posting": sent.posting_id,
        "captured": capture.posting_id,
        "hold": hold.key,
        "reversed": taken_back.posting_id,
        "deposit": bank.run(lambda s: ledger.statement(s, sender, limit=500))[-1].reference,
    }
    with owner_db.engine.connect() as connection, Session(connection) as session:
        assert verify.findings(session) == []
        for part in statement.split(";"):
            session.execute(text(part), {k: v for k, v in facts.items() if f":{k}" in part})
        found = {finding.rule for finding in verify.findings(session)}
        session.rollback()
    assert found == {rule} | others


def test_every_rule_is_broken_above() -> None:
    assert {path.stem for path in verify.RULES.glob("*.sql")} == {
        *(rule for rule, _, _ in BREAKS),
        *(other for _, _, others in BREAKS for other in others),
        *TRUST_RULES,
        *ORDER_RULES,
        *REFUND_RULES,
    }


def test_verify_reads_only_and_must_come_first(bank: Bank) -> None:
    assert bank.verify() == []

    def late(session: Session) -> None:
        ledger.balance(session, 1)
        ledger.verify(session)

    with pytest.raises(Exception, match="must be called before any query"):
        bank.run(late)
