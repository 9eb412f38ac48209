"""An engine over this process' own Redis, in a database of its own there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.ussd.phone import Bench, Phone


@pytest.fixture(scope="session")
def session_redis_url(redis_url: str) -> str:
    assert "db=0" in redis_url
    return redis_url.replace("db=0", "db=5")


@pytest.fixture
def redis(session_redis_url: str) -> Iterator[Redis]:
    """The engine's Redis, to look into and to flush."""
    client = Redis.from_url(session_redis_url)
    yield client
    client.close()


@pytest.fixture
def bench(session_redis_url: str, redis: Redis) -> Bench:
    redis.flushdb()
    return Bench(session_redis_url)


@pytest.fixture
def phone(bench: Bench) -> Phone:
    return bench.phone()
