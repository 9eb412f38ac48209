"""verify finds it: one rule of orders broken at a time, by the superuser, rolled back."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import verify
from tests.billers.reconciliation.desk import DAY, Desk
from tests.billers.reconciliation.test_orders import Bank

OWN_RULES = ("orders",)
# What breaks it, and the other rules that see the same. One order is paid, of another day.
BREAKS: list[tuple[str, set[str]]] = [
    ("UPDATE settlement_orders SET amount_minor = amount_minor + 1", set()),
    ("UPDATE settlement_order_days SET net_minor = net_minor + 1", set()),
    ("DELETE FROM settlement_order_days", set()),
    ("UPDATE settlement_order_days SET starts_at = starts_at + interval '1 day'", set()),
    ("UPDATE settlement_orders SET state = 'ordered', ended_at = NULL", set()),
    ("UPDATE settlement_orders SET state = 'came_back'", set()),
    (
        """UPDATE bank_matches SET confirmed_at = NULL, checker = NULL, posting_id = NULL
        WHERE kind = 'settlement'""",
        set(),
    ),
]


@pytest.fixture
def paid(desk: Desk) -> Desk:
    """A desk whose only order was paid; made once."""
    if not desk.rows("SELECT 1 FROM settlement_orders"):
        bank = Bank(desk, DAY)
        bank.owe(50_000)
        bank.confirm(bank.line_of(bank.order()))
        bank.check()
    return desk


@pytest.mark.parametrize(("statement", "others"), BREAKS)
def test_verify_finds_it(paid: Desk, statement: str, others: set[str]) -> None:
    superuser = Database(paid.admin_url, pool_size=1)
    with superuser.engine.connect() as connection, Session(connection) as session:
        session.execute(text(statement))
        found = {finding.rule for finding in verify.findings(session)}
        session.rollback()
    superuser.dispose()
    assert found == {*OWN_RULES} | others
