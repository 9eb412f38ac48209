"""One worker_sms process and a gateway that answers after 50 ms: messages a second.

The messages are due before the worker looks; the gateway is a process of its own on the same cores.
The rate is that of the recorded outcomes, by the database's clock, from the first to the last.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import text

from app.bell import MESSAGES
from app.factory import build_runtime
from app.notices import Notice, Recipient, notify_all
from app.runtime import Runtime
from app.settings import Settings
from app.wallet.keys import new_key
from bench.figures import Figure
from bench.processes import cpu_seconds
from launcher.servers import temporary_servers
from tests.gateways.messaging_server import MessagingServer
from tests.people import fresh_msisdn
from tests.ports import free_port
from tests.servers import migrate
from tests.world import World, wait_for

COUNT = int(os.environ.get("BENCH_MESSAGES", "3000"))
GATEWAY_SECONDS = 0.05
TARGET_A_SECOND = 100  # as many as one worker sells, each of which has its receipt
AT_ONCE = 500
SENT_SECONDS = 300.0
FACTS = {
    "amount_minor": 20_000, "fee_minor": 1_000, "total_minor": 21_000,
    "tokens": ["12345678901234567890"], "reference": "7Q4M2XKD", "product": "Stima token",
    "customer_no": "54100234563", "balance_minor": 479_000, "at": "2026-11-22T11:05:00+00:00",
}  # fmt: skip
_SENT = text("SELECT count(*) FROM messages WHERE state = 'sent'")
_TOOK = text(
    "SELECT extract(epoch FROM max(sent_at) - min(sent_at))::float AS seconds,"
    " count(DISTINCT provider_id) AS taken, sum(repeats) AS repeats FROM messages"
)
FORK = multiprocessing.get_context("fork")


def run() -> list[Figure]:
    """Messages a second, and the worker's own CPU for each."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder, _gateway() as url:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        world = World(
            Path(folder), app_url, owner_url, servers.redis_url, extra={"AT_API_URL": url},
            forked=False,
        )  # fmt: skip
        try:
            _owe(parts)
            return _measure(world, parts)
        finally:
            world.stop()
            parts.db.dispose()


def _measure(world: World, parts: Runtime) -> list[Figure]:
    world.start("worker_sms")
    parts.bell.ring(MESSAGES)
    wait_for(lambda: parts.db.transact(lambda s: s.scalar(_SENT)), SENT_SECONDS, "the first")
    began = cpu_seconds(world.pid("worker_sms"))
    wait_for(lambda: parts.db.transact(lambda s: s.scalar(_SENT)) == COUNT, SENT_SECONDS, "all")
    spent = cpu_seconds(world.pid("worker_sms")) - began
    took = parts.db.transact(lambda session: session.execute(_TOOK).one())
    return [
        Figure(
            f"one worker, a gateway of {GATEWAY_SECONDS * 1000:.0f} ms", COUNT / took.seconds,
            "SMS/s", least=TARGET_A_SECOND,
        ),
        Figure("the worker's CPU an SMS", spent / COUNT * 1000, "ms"),
        Figure("SMS lost", COUNT - took.taken, "", most=0, proof=True),
        Figure("SMS sent once more, an answer was lost", took.repeats, ""),
    ]  # fmt: skip


def _owe(parts: Runtime) -> None:
    now = datetime.now(UTC)
    for start in range(0, COUNT, AT_ONCE):
        notices = [
            Notice(new_key(), "payment_paid", new_key(), Recipient(fresh_msisdn(), "en"), FACTS)
            for _ in range(min(AT_ONCE, COUNT - start))
        ]
        parts.db.transact(lambda session, some=notices: notify_all(session, some, now=now))  # type: ignore[misc]


@contextmanager
def _gateway() -> Iterator[str]:
    """The address of a gateway in a process of its own."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_play, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _play(told: Connection) -> None:
    with MessagingServer(free_port(), wait_seconds=GATEWAY_SECONDS).listening() as gateway:
        told.send(gateway.url)
        time.sleep(3600)
