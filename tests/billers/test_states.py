"""The state machine: every edge that exists, and the refusal of every edge that does not."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.billers import models
from app.billers.states import CLAIMABLE, OPEN, TRANSITIONS, State
from tests.billers.stage import Stage, now

EDGES = {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_the_database_has_the_same_table(stage: Stage) -> None:
    for constraint in ("payments_step", "payment_events_step"):
        (row,) = stage.run(
            "SELECT pg_get_constraintdef(oid) AS rule FROM pg_constraint WHERE conname = :name",
            name=constraint,
        )
        rows = re.findall(r"ROW\('(\w+)'::text, '(\w+)'::text\)", row.rule)
        pairs = rows or re.findall(r"\(\w+ = '(\w+)'::text\) AND \(\w+ = '(\w+)'::text\)", row.rule)
        assert set(pairs) == EDGES


def test_the_states_of_a_diagram() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {target for _, target in EDGES} == set(State) - {State.HELD}
    assert set(CLAIMABLE) < set(OPEN)
    assert not any(target in CLAIMABLE for target in TRANSITIONS[State.MANUAL])


@pytest.mark.parametrize("target", [s for s in State if (State.HELD, s) not in EDGES])
def test_code_refuses_a_step_that_is_not_in_the_table(stage: Stage, target: State) -> None:
    payment = stage.pay()
    with pytest.raises(ValueError, match="never goes"):
        stage.db.transact(
            lambda s: models.shift(s, models.lock(s, payment.id), target, "test", now=now())
        )


@pytest.mark.parametrize("source", list(State))
@pytest.mark.parametrize("target", list(State))
def test_the_database_refuses_it_too(stage_once: Stage, source: State, target: State) -> None:
    """A row that says it made a step, and an event of it: allowed exactly for the edges."""
    values = {"source": source, "target": target}
    unsent = target in (State.HELD, State.CANCELLED)
    row = (
        "UPDATE payments SET came_from = :source, state = :target, lease_until = NULL,"
        f" due_at = {'now()' if target in CLAIMABLE else 'NULL'},"
        f" first_sent_at = {'NULL' if unsent else 'now()'}, requests = {int(not unsent)},"
        f" settled_at = {'NULL' if target in OPEN else 'now()'}"
        " WHERE id = (SELECT id FROM payments LIMIT 1)"
    )
    event = (
        "INSERT INTO payment_events (payment_id, at, from_state, to_state, what)"
        " SELECT id, now(), :source, :target, 'test' FROM payments LIMIT 1"
    )
    assert outcome_of(stage_once, row, values) == ((source, target) in EDGES)
    assert outcome_of(stage_once, event, values) == ((source, target) in EDGES or source == target)


def outcome_of(stage: Stage, statement: str, values: dict[str, State]) -> bool:
    """Whether the database lets the statement pass; it is undone in any case."""
    with stage.db.engine.connect() as connection:
        try:
            connection.execute(text(statement), values)
        except DBAPIError as error:
            if "_step" not in str(error):
                raise
            return False
        finally:
            connection.rollback()
    return True


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment_events SET what = 'other'",
        "DELETE FROM payment_events",
        "DELETE FROM payments",
        "DELETE FROM payment_resolutions",
    ],
)
def test_what_happened_is_not_changed(stage_once: Stage, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        stage_once.run(statement)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'cancelled', came_from = 'held', due_at = NULL", "payments_settled"),
        ("due_at = NULL", "payments_due"),
        ("lease_until = now()", "payments_lease"),
        ("requests = 1", "payments_sent"),
        ("first_sent_at = now()", "payments_sent"),
        ("tax_minor = fee_minor + 1", "payments_fee_parts"),
        ("reference = 'ILOU0000'", "payments_reference_check"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(
    stage: Stage, change: str, constraint: str
) -> None:
    payment = stage.pay()
    with pytest.raises(DBAPIError, match=constraint):
        stage.run(f"UPDATE payments SET {change} WHERE id = :id", id=payment.id)
