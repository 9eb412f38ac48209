"""verify finds it: one rule of the trust account broken at a time, by the owner, rolled back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import verify
from launcher.postgres import OWNER
from launcher.servers import Servers
from tests.servers import database_of_its_own
from tests.wallet.trust.conftest import stage_over
from tests.wallet.trust.stage import Stage

OWN_RULES = ("statements", "matches", "in_transit")
# Rule, what breaks it, and the other rules that see the same. BK-1 cleared a deposit, BK-2 is a
# payout that left, BK-3 is the operator's, BK-4 waits, BK-5 and BK-6 a payout that came back.
BREAKS: list[tuple[str, str, set[str]]] = [
    ("statements", "UPDATE bank_statements SET lines = lines + 1", set()),
    ("statements", "UPDATE bank_statements SET closing_minor = closing_minor + 1", set()),
    ("statements", "UPDATE bank_statements SET covered_minor = covered_minor + 1", set()),
    (
        "statements",
        "UPDATE bank_statements SET opening_minor = 1 WHERE previous_id IS NOT NULL",
        set(),
    ),
    ("statements", "UPDATE statement_lines SET balance_minor = 1 WHERE line_id = 'BK-4'", set()),
    ("statements", "DELETE FROM statement_lines WHERE line_id = 'BK-4'", set()),
    ("statements", "UPDATE bank_lines SET amount_minor = 1 WHERE id = 'BK-4'", set()),
    (
        "matches",
        "UPDATE bank_matches SET posting_id = 1000000 WHERE line_id = 'BK-3'",
        set(),
    ),
    (
        "matches",
        """UPDATE bank_matches SET confirmed_at = NULL, checker = NULL, posting_id = NULL
        WHERE line_id = 'BK-3'""",
        set(),
    ),
    (
        "matches",
        "UPDATE deposit_notices SET amount_minor = 1 WHERE state = 'cleared'",
        set(),
    ),
    ("matches", "UPDATE deposit_notices SET ended_by = 1000000 WHERE state = 'cleared'", set()),
    (
        "matches",
        """UPDATE deposit_notices SET state = 'on_way', ended_by = NULL, ended_at = NULL
        WHERE state = 'cleared'""",
        {"in_transit"},
    ),
    (
        "matches",
        "UPDATE transfers SET amount_minor = 1 WHERE reversed_at IS NOT NULL",
        set(),
    ),
    (
        "in_transit",
        """UPDATE transfers SET reversed_at = now(), reversed_minor = 1, reversal_id = 1
        WHERE kind = 'float_payout' AND amount_minor = 250""",
        set(),
    ),
    (
        "in_transit",
        """UPDATE deposit_notices SET state = 'cancelled', ended_by = 1, ended_at = now(),
        cancel_maker = 'a', cancel_checker = 'b' WHERE state = 'on_way'""",
        set(),
    ),
]


@pytest.fixture(scope="module")
def owner_url(
    servers: Servers, own_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A trust account in which everything has happened once."""
    with database_of_its_own(servers, own_name) as name:
        with stage_over(servers, name, tmp_path_factory.mktemp("files")) as stage:
            everything(stage)
        yield servers.url(OWNER, name)


def everything(stage: Stage) -> None:
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    notice = stage.expect(agent, 900)
    out, back = stage.pay_out(agent, 300), stage.pay_out(agent, 200)
    stage.expect(agent, 40)
    stage.pay_out(agent, 250)
    for amount, reference in ((900, notice.reference), (-300, out.reference), (70, ""), (80, "")):
        stage.line(amount, reference)
    for amount in (-200, 200):
        stage.paper.line(amount, back.reference)
    stage.put_paper()
    stage.assign("BK-3", None)
    for line_id in ("BK-1", "BK-2", "BK-3", "BK-5", "BK-6"):
        stage.confirm(line_id)
    stage.check()


@pytest.mark.parametrize(("rule", "statement", "others"), BREAKS)
def test_verify_finds_it(owner_url: str, rule: str, statement: str, others: set[str]) -> None:
    owner = Database(owner_url, pool_size=1)
    with owner.engine.connect() as connection, Session(connection) as session:
        assert verify.findings(session) == []
        session.execute(text(statement))
        found = {finding.rule for finding in verify.findings(session)}
        session.rollback()
    owner.dispose()
    assert found == {rule} | others


def test_every_rule_is_broken_above() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(OWN_RULES)
