"""The payments worker as a process: it pays, it stops in time, it outlives what it stands on."""

from __future__ import annotations

import json
import signal
import sys
import time
import zlib

import pytest
import redis as redis_client

from app.bell import PAYMENTS, Bell
from tests import forkserver
from tests.workers.conftest import Alone
from tests.world import ROOT, wait_for


def ring(alone: Alone) -> None:
    """What the web process does after a commit."""
    Bell(alone.redis_url).ring(PAYMENTS)


def test_it_pays_when_the_bell_rings_and_leaves_in_order(alone: Alone) -> None:
    alone.started("sandbox", "worker")
    payment = alone.stage.pay()
    ring(alone)
    paid = alone.wait_state(payment, "captured", seconds=5)
    (sale,) = alone.sales()
    assert (sale["ref_id"], sale["token"]) == (paid.biller_ref, paid.token)
    assert alone.heartbeats() == ["payments"]

    began = time.monotonic()
    alone.signal("worker", signal.SIGTERM)
    assert alone.ended("worker", 10) == 0
    assert time.monotonic() - began < 3
    assert alone.heartbeats() == []


def test_a_call_in_flight_is_finished_before_the_stop(alone: Alone) -> None:
    alone.started("sandbox", "worker")
    alone.fault("biller:stima", "slow", times=1, seconds=2)
    sent = alone.stage.pay()
    ring(alone)
    alone.wait_state(sent, "sent")
    alone.signal("worker", signal.SIGTERM)
    held = alone.stage.pay()
    ring(alone)
    assert alone.ended("worker", 10) == 0
    assert alone.stage.view(sent).state == "captured"
    assert alone.stage.view(held).state == "held"


def test_a_silent_biller_does_not_hold_the_stop(alone: Alone) -> None:
    market = alone.folder / "market.toml"
    market.write_text(market.read_text().replace("timeout_seconds = 6", "timeout_seconds = 20"))
    alone.started("sandbox", "worker")
    alone.fault("biller:stima", "no_answer")
    payment = alone.stage.pay()
    ring(alone)
    alone.wait_state(payment, "sent")
    began = time.monotonic()
    alone.signal("worker", signal.SIGTERM)
    assert alone.ended("worker", 11) == 0
    assert time.monotonic() - began < 10
    assert alone.stage.view(payment).state == "sent"


def test_killed_after_the_sale_it_is_settled_once(alone: Alone) -> None:
    alone.start("sandbox")
    alone.start("worker", failpoint="payment.after_biller_answer")
    payment = alone.stage.pay()
    ring(alone)
    assert alone.ended("worker", 20) == -signal.SIGKILL
    assert alone.stage.view(payment).state == "sent"
    alone.started("worker")
    time.sleep(0.5)
    assert alone.stage.view(payment).state == "sent"  # its lease still runs
    alone.stage.run("UPDATE payments SET lease_until = now(), due_at = now()")
    ring(alone)
    paid = alone.wait_state(payment, "captured")
    assert [sale["ref_id"] for sale in alone.sales()] == [paid.biller_ref]
    assert [kind for kind, _ in alone.stage.messages(payment)] == ["payment_paid"]


def test_it_outlives_a_flushed_and_a_stopped_redis(alone: Alone) -> None:
    alone.started("sandbox", "worker")
    pid = alone.pid("worker")
    alone.flush_redis()
    payment = alone.stage.pay()
    ring(alone)
    alone.wait_state(payment, "captured", seconds=5)

    alone.redis.stop()
    payment = alone.stage.pay()
    # No bell can ring: the worker looks by itself after ten seconds of silence.
    alone.wait_state(payment, "captured", seconds=20)

    alone.redis.start()
    payment = alone.stage.pay()

    def rung_and_paid() -> bool:
        ring(alone)
        return alone.stage.view(payment).state == "captured"

    wait_for(rung_and_paid, 8, "the bell to be heard again")
    assert alone.running("worker")
    assert alone.pid("worker") == pid


def test_it_outlives_a_lost_database(alone: Alone) -> None:
    alone.started("sandbox", "worker")
    (name,) = [row[0] for row in alone.stage.run("SELECT current_database()")]
    payment = alone.stage.pay()
    alone.admin(
        f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    ring(alone)
    time.sleep(1.5)
    alone.admin(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")

    def rung_and_paid() -> bool:
        ring(alone)
        return alone.stage.view(payment).state == "captured"

    wait_for(rung_and_paid, 10, "payments to go on")
    assert alone.running("worker")
    assert len(alone.sales()) == 1


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "said"),
    [
        ([], {}, 2, "usage: python -m workers {payments|messages}"),
        (["nothing"], {}, 2, "usage: python -m workers {payments|messages}"),
        (["payments"], {"DATABASE_URL": "owner"}, 1, "DATABASE_URL needs kibanda_app"),
        (
            ["payments"],
            {"BILLER_CREDENTIALS": "{}"},
            1,
            "BILLER_CREDENTIALS has no entry for afya, bando, jiji, king,",
        ),
    ],
)
def test_it_refuses_to_start(
    alone: Alone, arguments: list[str], changes: dict[str, str], code: int, said: str
) -> None:
    if changes.get("DATABASE_URL") == "owner":
        changes = {"DATABASE_URL": alone.migration_database_url}
    command = [sys.executable, "-m", "workers", *arguments]
    done = forkserver.run(command, cwd=ROOT, env=alone.environment | changes, seconds=20)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schedule_rings_in_json_and_within_bounds(alone: Alone) -> None:
    alone.started("schedule")
    redis = redis_client.Redis.from_url(alone.redis_url)
    time.sleep(5)  # more than two sweeps, and no worker lives
    assert redis.llen("rq:queue:messages") == 1
    assert 1 <= redis.llen("rq:queue:payments") <= 2
    for job_id in redis.lrange("rq:queue:payments", 0, -1):
        (data,) = redis.hmget(f"rq:job:{job_id.decode()}", "data")
        assert json.loads(zlib.decompress(data))[0].startswith("workers.jobs.")
    redis.flushdb()
    wait_for(lambda: redis.llen("rq:queue:messages") == 1, 5, "the sweep after a flush")
    redis.close()
    alone.signal("schedule", signal.SIGTERM)
    assert alone.ended("schedule", 10) == 0
    assert alone.heartbeats() == []


def test_the_schedule_ends_with_redis_so_that_it_is_started_again(alone: Alone) -> None:
    alone.started("schedule")
    alone.redis.stop()
    assert alone.ended("schedule", 15) == 1
    assert "Traceback" not in alone.log("schedule")
    alone.redis.start()


def test_the_sweep_finds_what_no_bell_told(alone: Alone) -> None:
    alone.started("sandbox", "worker", "schedule")
    alone.wait_state(alone.stage.pay(), "captured", seconds=6)
