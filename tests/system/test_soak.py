"""A small soak of every biller, under faults: what was sold is what was captured, and was told."""

from __future__ import annotations

from pathlib import Path

from bench import soak
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.redis import Redis
from launcher.servers import Servers

PAYMENTS, SEED = 120, 29
DOUBT_SECONDS = 15


def test_what_the_billers_sold_is_what_the_ledger_captured(
    servers: Servers, own_name: str, tmp_path: Path
) -> None:
    database = f"kibanda_soak_{own_name}"
    servers.postgres.create_database(database, template=DATABASE)
    redis = Redis(servers.places, servers.programs, f"redis_soak_{own_name}")
    redis.start()
    own = soak.Servers(
        servers.url(APPLICATION, database), servers.url(OWNER, database), redis.url()
    )
    try:
        verdict = soak.play(tmp_path, own, PAYMENTS, SEED, doubt_seconds=DOUBT_SECONDS)
    finally:
        redis.stop()
    assert verdict.faults == [], "\n".join(verdict.lines)
