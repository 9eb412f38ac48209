"""The ledger's calls, in one place. Every one runs in the caller's transaction, commits nothing.

1. A posting's moves each take from one account and give to another: it sums to zero by its form.
2. A refusal is an answer, not an exception: it is stored, and the same key hears it again.
3. The rules live in the database (`sql/*.sql`); the Python is only the way to call them. What
   raises is a mistake of the caller (ValueError) or the database being away (DBAPIError).
4. Keys are UUIDv7 (`keys`); the fingerprint says what was asked with a key.
5. Locks are taken in one order by all: keys sorted, holds by id, accounts by id.
"""

from __future__ import annotations

from app.wallet.accounts import (
    Balance,
    balance,
    balances,
    house_account,
    lock_accounts,
    make_partitions,
    open_account,
    operator_account,
    over_ceiling,
    roll_up,
)
from app.wallet.holds import clear_expiries, clear_expiry, expire_holds, hold, release
from app.wallet.postings import (
    Answer,
    Count,
    Move,
    Posting,
    Reversal,
    approve_bank_line,
    deposit,
    post,
    record_bank_line,
    reverse,
)
from app.wallet.statements import HouseLine, StatementLine, house_statement, statement
from app.wallet.verify import Finding, TrialLine, trial_balance, verify

__all__ = [
    "Answer",
    "Balance",
    "Count",
    "Finding",
    "HouseLine",
    "Move",
    "Posting",
    "Reversal",
    "StatementLine",
    "TrialLine",
    "approve_bank_line",
    "balance",
    "balances",
    "clear_expiries",
    "clear_expiry",
    "deposit",
    "expire_holds",
    "hold",
    "house_account",
    "house_statement",
    "lock_accounts",
    "make_partitions",
    "open_account",
    "operator_account",
    "over_ceiling",
    "post",
    "record_bank_line",
    "release",
    "reverse",
    "roll_up",
    "statement",
    "trial_balance",
    "verify",
]
