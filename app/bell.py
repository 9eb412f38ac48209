"""L2: `ring`, the only place outside workers/ that knows RQ.

The tables are the queue; a ring only says "look now". Losing one costs seconds: the schedule
rings for whatever was missed. So ringing is bounded, never raises, and is skipped while a job
still waits: that job starts after our commit and will see our rows.
"""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from app.telemetry import RINGS, log

PAYMENTS = "payments"
MESSAGES = "messages"
JOBS = {PAYMENTS: "workers.jobs.drain_payments", MESSAGES: "workers.jobs.drain_messages"}
RING_TIMEOUT_SECONDS = 0.045  # two round trips stay under the 100 ms that a ring may take
JOB_TIMEOUT_SECONDS = 120
RESULT_TTL_SECONDS = 0
FAILURE_TTL_SECONDS = 3600


class Bell:
    """Rings a queue's workers through RQ."""

    def __init__(self, redis_url: str) -> None:
        redis = Redis.from_url(
            redis_url,
            socket_timeout=RING_TIMEOUT_SECONDS,
            socket_connect_timeout=RING_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._queues = {
            name: Queue(name, connection=redis, serializer=JSONSerializer) for name in JOBS
        }

    def ring(self, queue_name: str) -> None:
        """Ask the workers of a queue to look at their table. At most 100 ms; never raises."""
        queue = self._queues[queue_name]
        try:
            if queue.count:
                RINGS.labels(queue_name, "waiting").inc()
                return
            queue.enqueue(
                JOBS[queue_name],
                job_timeout=JOB_TIMEOUT_SECONDS,
                result_ttl=RESULT_TTL_SECONDS,
                failure_ttl=FAILURE_TTL_SECONDS,
            )
            RINGS.labels(queue_name, "rung").inc()
        except (RedisError, OSError) as error:
            RINGS.labels(queue_name, "lost").inc()
            log.warning("bell_lost", queue=queue_name, error=type(error).__name__)
