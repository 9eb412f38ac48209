"""`python -m workers.schedule`: the sweep, by RQ's own cron scheduler.

CronScheduler keeps the times, the signals and its record in Redis; how a job is put on its queue is
ours: JSON and never pickle, and not while one still waits, so that nothing piles up where no worker
lives. It does not outlive a lost Redis: the process then ends with 1, and whoever supervises it
starts it again. A flushed Redis it does not even notice.
"""

from __future__ import annotations

import sys

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.cron import CronJob, CronScheduler
from rq.serializers import JSONSerializer
from rq.utils import now

from app import health
from app.bell import (
    FAILURE_TTL_SECONDS,
    JOB_TIMEOUT_SECONDS,
    MESSAGES,
    PAYMENTS,
    RESULT_TTL_SECONDS,
)
from app.telemetry import log
from workers import jobs, process
from workers.heartbeat import Heart

SWEEP_SECONDS = 2
KEEP_HOUSE_SECONDS = 30
KEEP_HOUSE_WAITING_MOST = 3
QUEUE_NAME = "schedule"  # the name of this process among the heartbeats


class Schedule(CronScheduler):
    """CronScheduler that enqueues within bounds and beats in PostgreSQL."""

    def __init__(self, connection: Redis, heart: Heart) -> None:
        super().__init__(connection=connection)
        self._heart = heart
        self.register(jobs.drain_payments, PAYMENTS, interval=SWEEP_SECONDS)
        self.register(jobs.drain_messages, MESSAGES, interval=SWEEP_SECONDS)
        self.register(jobs.keep_house, PAYMENTS, interval=KEEP_HOUSE_SECONDS)

    def enqueue_jobs(self) -> list[CronJob]:
        """Enqueue what is due, unless it still waits from the last time; what was enqueued."""
        enqueued = []
        for job in self.get_jobs():
            if job.should_run():
                if self._enqueue(job):
                    enqueued.append(job)
                job.set_enqueue_time(now())
        return enqueued

    def heartbeat(self) -> None:
        super().heartbeat()
        self._heart.beat()

    def _enqueue(self, job: CronJob) -> bool:
        queue = Queue(job.queue_name, connection=self.connection, serializer=JSONSerializer)
        keeps_house = job.func is jobs.keep_house
        if queue.count > (KEEP_HOUSE_WAITING_MOST if keeps_house else 0):
            return False
        queue.enqueue(
            job.func_name,
            job_timeout=JOB_TIMEOUT_SECONDS,
            result_ttl=RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
        )
        return True


def main() -> int:
    try:
        runtime = process.current().runtime
        health.check_role_and_durability(runtime.db.engine)
    except (ValueError, health.Unfit) as error:
        sys.stderr.write(f"schedule: {error}\n")
        return 1
    heart = Heart(runtime.db, QUEUE_NAME)
    redis = Redis.from_url(
        runtime.settings.redis_url, socket_timeout=5, socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    try:
        Schedule(redis, heart).start()  # type: ignore[no-untyped-call]  # RQ left it untyped
    except (RedisError, OSError) as error:
        log.error("schedule_without_redis", error=type(error).__name__)
        return 1
    heart.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
