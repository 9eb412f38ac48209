"""The threads beside the worker's loop outlive what their work runs into."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from app import health
from app.db import Database
from tests.workers.conftest import Alone
from tests.world import wait_for
from workers import heartbeat
from workers.heartbeat import Heart, look_out


@pytest.fixture
def guarded(alone: Alone) -> Iterator[Database]:
    """As a worker has it: every new connection proves that it is fit."""
    db = Database(alone.database_url, pool_size=2)
    health.guard(db.engine)
    yield db
    db.dispose()


def test_they_outlive_a_database_that_was_unfit_for_a_while(
    alone: Alone, guarded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.5)
    (name,) = [row[0] for row in alone.stage.run("SELECT current_database()")]
    setting = f"ALTER ROLE kibanda_app IN DATABASE {name} {{}} synchronous_commit"
    alone.admin(setting.format("SET") + " = off")
    tried, drained, stopping = threading.Event(), threading.Event(), threading.Event()

    def drain() -> None:
        tried.set()
        guarded.transact(lambda session: session.execute(text("SELECT 1")))
        drained.set()

    Heart(guarded, "probe").keep_beating(lambda: True, stopping)
    look_out(drain, lambda: float("-inf"), stopping)
    try:
        assert tried.wait(5)
        assert not drained.wait(1.5)
        assert alone.heartbeats() == []
        alone.admin(setting.format("RESET"))
        assert drained.wait(5)
        wait_for(lambda: alone.heartbeats() == ["probe"], 5, "a heartbeat")
    finally:
        stopping.set()
