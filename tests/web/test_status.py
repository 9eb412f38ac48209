"""`/healthz`, `/readyz`, `/metrics`: what a supervisor, a balancer and Prometheus are told."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from flask.testing import FlaskClient

from app.factory import create_app
from app.runtime import Runtime
from app.settings import Settings
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.servers import Servers
from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.web.posting import metric
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
QUEUES = ("payments", "messages", "schedule")
AddPerson = Callable[..., str]


@dataclass
class Alone:
    """A web app over a database of its own in which nobody works."""

    ask: Callable[[], Any]
    owner_url: str

    def owner(self, statement: str) -> None:
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def beat(self, *queues: str, seconds_ago: int = 0) -> None:
        for queue in queues:
            self.owner(
                "INSERT INTO worker_heartbeats (name, queue, pid, at) VALUES"
                f" ('{queue}@test', '{queue}', 1, now() - interval '{seconds_ago} s')"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at"
            )

    def failing(self) -> list[str]:
        """The sorted names of the checks that fail; the status code must say the same."""
        answer = self.ask()
        checks = answer.json["checks"]
        failing = sorted(name for name, check in checks.items() if not check["ok"])
        assert all(check["detail"] for check in checks.values())
        assert answer.json["ready"] is not failing
        assert (answer.status_code, answer.json["ready"]) == (
            (503, False) if failing else (200, True)
        )
        return failing


@contextmanager
def web(database_url: str, redis_url: str) -> Iterator[FlaskClient]:
    """A web app in this process over the given servers."""
    app = create_app(Settings(database_url=database_url, redis_url=redis_url))
    parts: Runtime = app.extensions["kibanda"]
    try:
        yield app.test_client()
    finally:
        parts.sessions.close()
        parts.db.dispose()


@pytest.fixture
def alone(servers: Servers, own_name: str, redis_url: str) -> Iterator[Alone]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with web(servers.url(APPLICATION, name), redis_url) as client:
            yield Alone(lambda: client.get("/readyz"), servers.url(OWNER, name))
    finally:
        servers.postgres.drop_database(name)


def test_the_running_world_is_healthy_and_ready(world: World) -> None:
    health = requests.get(f"{world.url}/healthz", timeout=5)
    assert (health.status_code, health.text) == (200, "ok\n")
    ready = requests.get(f"{world.url}/readyz", timeout=5)
    assert ready.status_code == 200, ready.text
    assert ready.json()["ready"] is True
    assert set(ready.json()["checks"]) == {
        "database",
        "migrations",
        "quarantine",
        "redis",
        *(f"worker:{queue}" for queue in QUEUES),
    }


def test_each_missing_or_silent_worker_is_named(alone: Alone) -> None:
    assert alone.failing() == sorted(f"worker:{queue}" for queue in QUEUES)
    alone.beat(*QUEUES)
    assert alone.failing() == []
    for queue in QUEUES:
        alone.beat(queue, seconds_ago=25)
        assert alone.failing() == [f"worker:{queue}"]
        alone.beat(queue)
    alone.owner(
        "INSERT INTO worker_heartbeats VALUES ('dead', 'payments', 2, now() - interval '1 h')"
    )
    assert alone.failing() == [], "one that died does not hide one that lives"


def test_a_database_behind_the_release_is_named(alone: Alone) -> None:
    alone.beat(*QUEUES)
    alone.owner("UPDATE alembic_version SET version_num = '0001'")
    assert alone.failing() == ["migrations"]
    assert "at 0001" in alone.ask().json["checks"]["migrations"]["detail"]


def test_an_unfit_role_is_named(servers: Servers, own_database: str, redis_url: str) -> None:
    for role in (OWNER, SUPERUSER):
        with web(servers.url(role, own_database), redis_url) as client:
            answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "DATABASE_URL needs kibanda_app" in answer.json["checks"]["database"]["detail"]


@pytest.mark.parametrize("away", ["database", "redis"])
def test_what_is_away_is_named(
    database_url: str, redis_url: str, tmp_path: Path, away: str
) -> None:
    if away == "database":
        database_url = f"postgresql://kibanda_app@/kibanda?host={tmp_path}"
    else:
        redis_url = f"unix://{tmp_path}/none.sock?db=0"
    with web(database_url, redis_url) as client:
        ready, metrics = client.get("/readyz"), client.get("/metrics")
    assert ready.status_code == 503
    checks = {name: ready.json["checks"][name]["ok"] for name in ("database", "redis")}
    assert checks == {"database": away == "redis", "redis": away == "database"}
    assert metrics.status_code == 200, "what is away must not take the metrics with it"
    assert f"kibanda_database_up {int(away == 'redis')}.0" in metrics.text


def test_metrics_are_those_of_the_runbook_and_name_nobody(
    world: World, add_person: AddPerson
) -> None:
    session = Session(world, add_person("en", 0))
    session.dial()
    session.reply("6", "1111")
    requests.post(f"{world.url}/callbacks/africastalking/ussd", timeout=5)
    answer = requests.get(f"{world.url}/metrics", timeout=5)
    assert answer.headers["Content-Type"].count("charset") == 1, "Prometheus refuses two of them"
    named = set(re.findall(r"kibanda_[a-z_]+", (ROOT / "docs" / "runbook.md").read_text()))
    named -= {"kibanda_app", "kibanda_owner"}
    assert len(named) > 4
    for name in named:
        assert re.search(rf"^# TYPE {name} ", answer.text, re.MULTILINE), name
    assert re.search(
        r'^kibanda_ussd_hops_total\{.*result="input"\} [1-9]', answer.text, re.MULTILINE
    )
    assert session.msisdn[1:] not in answer.text
    names = re.sub(r" \S+$", "", answer.text, flags=re.MULTILINE)  # a value may look like anything
    assert not re.search(r"254\d{6}", names)


def test_each_hop_is_counted_once_by_its_state(world: World, add_person: AddPerson) -> None:
    session = Session(world, add_person("en", 100_000))
    samples = {
        'kibanda_ussd_hops_total{gateway="africastalking",result="input"}': 4,
        'kibanda_ussd_hop_seconds_count{gateway="africastalking"}': 5,
        'kibanda_ussd_state_hops_total{result="new",state="home"}': 1,
        'kibanda_ussd_state_hops_total{result="input",state="bill.number"}': 2,
        'kibanda_ussd_state_seconds_count{state="bill.number"}': 2,
        'kibanda_ussd_refusals_total{reason="customer_number_check",state="bill.number"}': 1,
    }
    before = {sample: metric(world, sample) for sample in samples}
    session.dial()
    meter = fresh_meter()
    mistyped = f"{meter[:-1]}{(int(meter[-1]) + 1) % 10}"
    session.reply("1", "1", "1", mistyped)
    counted = {sample: metric(world, sample) - before[sample] for sample in samples}
    assert counted == samples
    shown = requests.get(f"{world.url}/metrics", timeout=5).text
    assert mistyped not in shown


def test_the_states_of_a_metric_are_bounded() -> None:
    """In a process of its own: what is counted stays as long as the process."""
    script = """
from prometheus_client import generate_latest
from app.telemetry import LABELS_MOST, observe, refused
for number in range(LABELS_MOST + 2):
    observe("g", "input", f"s{number}", 0.1)
    refused(f"s{number}", "no")
lines = generate_latest().decode().splitlines()
for metric in ("kibanda_ussd_state_hops_total", "kibanda_ussd_state_seconds_count",
               "kibanda_ussd_refusals_total"):
    found = [line for line in lines if line.startswith(metric + "{")]
    assert len(found) == LABELS_MOST + 1, (metric, len(found))
    assert [line.split()[-1] for line in found if 'state="other"' in line] == ["2.0"], metric
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
