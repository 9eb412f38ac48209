"""The judge finds each wrong in the books: one is made in a copy of a database where nothing is."""

from __future__ import annotations

from typing import LiteralString

import pytest

from tests.torture.storm.lived import LIVE_SECONDS, Lived


def test_a_crowd_in_fine_weather_has_nothing_wrong(lived: Lived) -> None:
    assert lived.verdict(thorough=True) == []
    agreed = {one.flow for one in lived.evidence.confirmations}
    assert agreed >= {"bill", "send", "voucher", "cash_out", "cash_in"}
    deliveries = {record["delivery"] for record in lived.evidence.of("sent")}
    assert deliveries >= {"first", "twin", "again", "late"}
    assert len(lived.evidence.of("look")) > LIVE_SECONDS / 2


A_WALLET = "SELECT id FROM accounts WHERE kind = 'wallet' ORDER BY balance DESC, id LIMIT 1"
A_SEND = "SELECT id FROM transfers WHERE kind = 'send' ORDER BY id LIMIT 1"
# A posting of a move between two wallets that nothing but the ledger knows of.
A_POSTING = """
    WITH two AS (
        SELECT id, balance, seq, row_number() OVER (ORDER BY balance DESC, id) AS n FROM accounts
        WHERE kind = 'wallet'
    ), posted AS (
        INSERT INTO postings (id, posted_at, key, kind, reference)
        SELECT 900000, now(), gen_random_uuid(), 'send', '' RETURNING id, posted_at
    ), moved AS (
        INSERT INTO moves SELECT p.id, p.posted_at, a.id, b.id, 100, a.seq + 1, a.balance - 100,
                                 b.seq + 1, b.balance + 100, 1
        FROM posted p, two a, two b WHERE a.n = 1 AND b.n = 2
    )
    UPDATE accounts a SET balance = a.balance + CASE t.n WHEN 1 THEN -100 ELSE 100 END,
                          seq = a.seq + 1
    FROM two t WHERE t.id = a.id AND t.n <= 2"""
AGAIN_WITH_ITS_KEY = """
    INSERT INTO postings SELECT id + 900000, posted_at, key, kind, reference FROM postings
    WHERE kind = 'send' LIMIT 1"""
REVERSED_TWICE = """
    WITH one AS (SELECT id FROM postings WHERE kind = 'send' LIMIT 1), two AS (
        INSERT INTO postings (id, posted_at, key, kind, reference, authority)
        SELECT 900000 + n, now(), gen_random_uuid(), 'reversal', '', 'posting:' || one.id
        FROM one, generate_series(1, 2) AS n RETURNING id, posted_at
    )
    INSERT INTO moves SELECT two.id, two.posted_at, 1, 2, 1, 1, 1, 1, 1, 1 FROM two"""
A_TRANSFER_TWICE = """
    INSERT INTO transfers SELECT gen_random_uuid(), 'ABCDEFGH', kind, NULL, payer_account,
        payee_account, payer_id, payee_id, agent_id, msisdn, currency, amount_minor, fee_minor,
        tax_minor, funded_minor, fee_payer, posting_id, created_at FROM transfers
    WHERE kind = 'send' ORDER BY id LIMIT 1"""
IN_BOOKS: dict[str, tuple[str, LiteralString]] = {
    "money from nowhere": (
        "I1: KES sums to",
        f"UPDATE accounts SET balance = balance + 100 WHERE id = ({A_WALLET})",
    ),
    "a posting without a move": (
        "I1: posting",
        "DELETE FROM moves WHERE posting_id = (SELECT min(posting_id) FROM moves)",
    ),
    "a balance that no move made": (
        "I2: wallet",
        """UPDATE accounts SET balance = balance + CASE kind WHEN 'wallet' THEN 100 ELSE -100 END
           WHERE kind = 'till' OR id = (
               SELECT id FROM accounts WHERE kind = 'wallet' ORDER BY id LIMIT 1)""",
    ),
    "held for nothing": (
        "I2: account",
        f"UPDATE accounts SET held = held + 100 WHERE id = ({A_WALLET})",
    ),
    "moved without a word": ("the receipts leave", A_POSTING),
    "below the floor now": (
        "left, its floor is",
        f"UPDATE accounts SET held = balance + 100 WHERE id = ({A_WALLET})",
    ),
    "below the floor once": (
        "after posting",
        "UPDATE moves SET debit_balance = -100 WHERE debit_balance IS NOT NULL",
    ),
    "over the limit of a day": (
        "I3: +",
        f"UPDATE transfers SET amount_minor = 100000000 WHERE id = ({A_SEND})",
    ),
    "over the limit of a wallet": (
        "was given up to",
        "UPDATE moves SET credit_balance = 100000000 WHERE credit_balance IS NOT NULL",
    ),
    "a key twice": ("I4: key", AGAIN_WITH_ITS_KEY),
    "still unknown": (
        "is still unknown",
        "UPDATE payments SET state = 'unknown', due_at = now() WHERE state = 'captured'",
    ),
    "given back and sold": (
        "is paid_late, ",
        "UPDATE payments SET state = 'paid_late' WHERE state = 'captured'",
    ),
    "with staff too soon": (
        "is with staff after",
        "UPDATE payments SET state = 'manual' WHERE state = 'captured'",
    ),
    "captured, and nothing taken": (
        "the ledger took 0",
        "DELETE FROM postings WHERE kind = 'bill_payment'",
    ),
    "given back on a time-out": (
        "no refusal of",
        """UPDATE payment_events SET what = 'no_answer', facts = '{"reason": "no_answer"}'
           WHERE to_state = 'released'""",
    ),
    "given back on a 4xx": (
        "no refusal of",
        """UPDATE payment_events SET facts = '{"reason": "refused", "code": "http_400"}'
           WHERE to_state = 'released'""",
    ),
    "reversed twice": ("was reversed 2 times", REVERSED_TWICE),
    "the hold of a sale released": (
        "its hold is released",
        """UPDATE holds SET state = 'released', posting_id = NULL, captured_minor = 0
           WHERE state = 'captured'""",
    ),
    "released and captured": (
        "ended 2 times",
        """INSERT INTO payment_events (payment_id, at, from_state, to_state, what)
           SELECT payment_id, at, 'sent', 'released', 'refused' FROM payment_events
           WHERE to_state = 'captured'""",
    ),
    "a receipt of what was not paid": (
        "which is unknown",
        "UPDATE payments SET state = 'unknown', due_at = now() WHERE state = 'captured'",
    ),
    "an SMS that never left": (
        "is due after",
        """UPDATE messages SET state = 'due', due_at = now(), sent_at = NULL
           WHERE kind = 'send_sent'""",
    ),
    "success that was lost": (
        "which the books do not have",
        f"DELETE FROM transfers WHERE id = ({A_SEND})",
    ),
    "confirmed once, there twice": ("is in the books 2 times", A_TRANSFER_TWICE),
    "what nobody agreed to": (
        "no phone agreed to it",
        f"UPDATE transfers SET amount_minor = amount_minor + 100 WHERE id = ({A_SEND})",
    ),
    "another fee than was agreed to": (
        "with a fee of",
        f"UPDATE transfers SET fee_minor = fee_minor + 100 WHERE id = ({A_SEND})",
    ),
    "paid was said of what was given back": (
        "was told bill.",
        "UPDATE payments SET state = 'released' WHERE state = 'captured'",
    ),
    "owed and not backed": (
        "I10:",
        "UPDATE accounts SET balance = balance + 100 WHERE kind = 'fees'",
    ),
}


@pytest.mark.parametrize("wrong", IN_BOOKS)
def test_a_wrong_in_the_books_is_found(wrong: str, lived: Lived) -> None:
    expected, statement = IN_BOOKS[wrong]
    found = lived.verdict_with(statement)
    assert any(expected in line for line in found), found
