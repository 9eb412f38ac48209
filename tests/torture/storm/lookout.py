"""Looks every second, by lines of its own, at what lives and at what waits too long.

Nothing is judged here. Each look is a record: which processes are gone or stopped, whether the
servers answer, which faults the outside world has, and the rows that are overdue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import redis
import requests

from app.runtime import Runtime
from tests.torture.storm.journal import Journal
from tests.world import World

EVERY_SECONDS = 1.0
OVERDUE_SECONDS = 5.0
SENTINEL = "storm:sentinel"
SHOWN_MOST = 5
STOP_SECONDS = 30.0
# What a worker may take now and could have taken for five seconds. Not waited for: a biller that is
# cut off or was just now, one whose cap is full, who is paid by file, and what is past its bound.
PAYMENTS = """
    SELECT p.reference FROM payments p LEFT JOIN biller_states b ON b.biller = p.biller
    WHERE p.due_at <= clock_timestamp() - %(late)s * interval '1 second'
      AND p.biller = ANY (%(callable)s) AND b.paused_at IS NULL
      AND coalesce(b.open_until <= clock_timestamp() - %(late)s * interval '1 second', true)
      AND coalesce(b.probe_until <= clock_timestamp() - %(late)s * interval '1 second', true)
      AND CASE WHEN p.state = 'held' THEN p.expires_at > clock_timestamp()
          ELSE p.first_sent_at > clock_timestamp() - (%(bounds)s::jsonb ->> p.biller)::float
               * interval '1 second' END
      AND (SELECT count(*) FROM payments f WHERE f.biller = p.biller
           AND f.lease_until > clock_timestamp()) < (%(caps)s::jsonb ->> p.biller)::int
    ORDER BY p.due_at"""
MESSAGES = """
    SELECT kind || ' ' || id FROM messages
    WHERE due_at <= clock_timestamp() - %(late)s * interval '1 second' ORDER BY due_at"""


class Lookout:
    """A thread that writes a record `look` every second between `start` and `stop`."""

    def __init__(self, world: World, parts: Runtime, journal: Journal) -> None:
        self._world, self._journal = world, journal
        self._url = parts.settings.database_url
        billers = parts.market.billers.items()
        self._values: dict[str, Any] = {
            "late": OVERDUE_SECONDS,
            "callable": [code for code, rules in billers if rules.silence_policy != "wait"],
            "bounds": _json({code: rules.manual_after_seconds for code, rules in billers}),
            "caps": _json({code: rules.concurrency for code, rules in billers}),
        }
        self._redis = redis.Redis.from_url(
            parts.settings.redis_url, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._line: psycopg.Connection[Any] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def start(self) -> None:
        self._redis.set(SENTINEL, 1)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        assert not self._thread.is_alive(), "a look has no end"
        self._redis.close()
        self._hang_up()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self._journal.write("look", **self._look())
            self._stopping.wait(max(0.0, began + EVERY_SECONDS - time.monotonic()))

    def _look(self) -> dict[str, Any]:
        down = self._down()
        answer = self._redis_answers()
        if answer:
            down.append(answer)
        faults = self._faults()
        if faults is None:
            down.append("sandbox")
        payments: list[str] = []
        messages: list[str] = []
        try:
            payments, messages = self._overdue(PAYMENTS), self._overdue(MESSAGES)
        except psycopg.Error:
            self._hang_up()
            down.append("postgres")
        return {"down": down, "faults": faults or [], "payments": payments, "messages": messages}

    def _down(self) -> list[str]:
        """Processes of the system that have ended, or are stopped."""
        running = dict(self._world._running)
        return [name for name, process in running.items() if not _lives(process.pid)]

    def _redis_answers(self) -> str:
        """What is wrong with Redis; "" for nothing."""
        try:
            kept = self._redis.get(SENTINEL)
            if kept is None:
                self._redis.set(SENTINEL, 1)
        except redis.RedisError:
            return "redis"
        return "" if kept else "redis was flushed"

    def _faults(self) -> list[str] | None:
        try:
            found = requests.get(f"{self._world.sandbox_url}/faults", timeout=2).json()
        except (requests.RequestException, ValueError):
            return None
        listed = found["faults"] if isinstance(found, dict) else found
        return sorted({f"{one['target']} {one['kind']}" for one in listed})

    def _overdue(self, statement: str) -> list[str]:
        """The first few rows that wait too long."""
        if self._line is None:
            self._line = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            self._line.execute("SET statement_timeout = '2s'")
        return [row[0] for row in self._line.execute(statement, self._values).fetchmany(SHOWN_MOST)]

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _lives(pid: int) -> bool:
    """Whether a process is there, and runs: neither stopped nor dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("T", "t", "Z", "X")


def _json(values: Mapping[str, float]) -> str:
    pairs = (f'"{name}": {value}' for name, value in values.items())
    return "{" + ", ".join(pairs) + "}"
