"""`python -m workers <queue>`: one RQ worker for one queue.

Refuses to start (exit 1, one line) as the owner of the tables, over a database that would not keep
a success through a power cut, or without credentials for a biller.
"""

from __future__ import annotations

import os
import sys
import time

from app import health
from app.bell import MESSAGES, PAYMENTS
from app.billers.protocols import refuse_missing_credentials
from app.telemetry import log
from workers import jobs, process
from workers.heartbeat import Heart, look_out
from workers.worker import STOP_SECONDS, Loop

DRAINS = {PAYMENTS: jobs.drain_payments, MESSAGES: jobs.drain_messages}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in DRAINS:
        sys.stderr.write(f"usage: python -m workers {{{'|'.join(DRAINS)}}}\n")
        return 2
    try:
        here = process.current()
        refuse_missing_credentials(here.runtime.market, here.runtime.settings)
        health.check_role_and_durability(here.runtime.db.engine)
    except (ValueError, health.Unfit) as error:
        sys.stderr.write(f"workers: {error}\n")
        return 1
    here.fulfilment.introduce()
    return _serve(arguments[0], here)


def _serve(queue: str, here: process.Process) -> int:
    loop = Loop(queue, here.runtime.settings.redis_url, here.stopping)
    heart = Heart(here.runtime.db, queue)
    heart.keep_beating(lambda: loop.is_well, here.stopping)
    look_out(DRAINS[queue], lambda: here.looked_at, here.stopping)
    log.info("worker_started", queue=queue, pid=os.getpid())
    loop.run()
    stopped_at = time.monotonic()
    finished = here.fulfilment.finish(STOP_SECONDS)
    heart.leave()
    log.info("worker_stopped", queue=queue, seconds=round(time.monotonic() - stopped_at, 2))
    sys.stderr.flush()
    if not finished:
        # A biller that is still silent must not hold the stop; its payments' leases end soon.
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
