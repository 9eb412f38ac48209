"""Start times: the web from exec to its first answered hop, a worker from exec to its first claim.

Warm is a start as usual. Cold is the first one after an installation: nothing is compiled yet, so
Python compiles everything that it imports. The files themselves are in the system's cache in both.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from sqlalchemy import text

from app.factory import build_runtime
from app.notices import Notice, Recipient, notify_all
from app.runtime import Runtime
from app.settings import Settings
from app.wallet.keys import new_key
from bench.callers import Hop, Session, play
from bench.figures import Figure
from bench.person import READS
from bench.sms import FACTS
from bench.web import add_people, hop_request, new_session_id
from launcher.servers import Servers, temporary_servers
from tests.people import fresh_msisdn
from tests.servers import migrate
from tests.world import World, wait_for

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
STARTED_SECONDS = 60.0
_CLAIMED = text("SELECT count(*) FROM messages WHERE id = :id AND attempts > 0")


def run() -> list[Figure]:
    """Seconds, medians of the rounds."""
    figures = []
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        migrate(servers.url("kibanda_owner"))
        parts = build_runtime(
            Settings(database_url=servers.url("kibanda_app"), redis_url=servers.redis_url)
        )
        measured: dict[str, Callable[[World, Runtime], float]] = {
            "web, exec to its first answered hop": _web,
            "worker, exec to its first claim": _worker,
        }
        for name, measure in measured.items():
            warm, cold = [], []
            for turn in range(ROUNDS):
                place = Path(folder) / f"{measure.__name__}{turn}"
                warm.append(_started(servers, place / "warm", parts, measure, cold=False))
                cold.append(_started(servers, place / "cold", parts, measure, cold=True))
            figures.append(Figure(f"{name}, warm", median(warm), "s"))
            beside = f"warm: {median(warm):.2f} s"
            ratio = median(cold) / median(warm)
            figures.append(Figure(f"{name}, cold", median(cold), "s", beside, ratio))
        parts.db.dispose()
    return figures


def _started(
    servers: Servers, folder: Path, parts: Runtime, measure: Callable[[World, Runtime], float],
    *, cold: bool,
) -> float:  # fmt: skip
    folder.mkdir(parents=True)
    extra = {"PYTHONPYCACHEPREFIX": str(folder / "compiled")} if cold else {}
    world = World(
        folder, servers.url("kibanda_app"), servers.url("kibanda_owner"), servers.redis_url,
        extra=extra, forked=False,
    )  # fmt: skip
    try:
        return measure(world, parts)
    finally:
        world.stop()


def _web(world: World, parts: Runtime) -> float:
    (msisdn,) = add_people(parts, 1, 100_000, "en")
    began = time.monotonic()
    world.start("web")
    wait_for(lambda: _answers(world.port, msisdn), STARTED_SECONDS, "the first hop")
    return time.monotonic() - began


def _answers(port: int, msisdn: str) -> bool:
    """A first hop, of which nothing is counted but that it was answered rightly."""
    bodies = []

    def dial() -> Session:
        body = yield Hop(hop_request(new_session_id(), msisdn, ""), READS)
        bodies.append(body)

    with suppress(OSError):  # nobody listens yet
        play(port, [[dial()]])
    return bool(bodies) and bodies[0].startswith("CON ")


def _worker(world: World, parts: Runtime) -> float:
    """What is due is seen by the ring that waits in the queue."""
    message = new_key()
    notice = Notice(message, "payment_paid", new_key(), Recipient(fresh_msisdn(), "en"), FACTS)
    parts.db.transact(lambda session: notify_all(session, [notice], now=datetime.now(UTC)))
    began = time.monotonic()
    world.start("worker_sms")
    wait_for(
        lambda: parts.db.transact(lambda session: session.scalar(_CLAIMED, {"id": message})),
        STARTED_SECONDS,
        "the first claim",
    )
    return time.monotonic() - began
