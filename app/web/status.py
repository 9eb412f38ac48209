"""`/healthz` the process, `/readyz` whether it may take traffic, `/metrics` for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector

from app import health
from app.errors import DomainError
from app.health import Check
from app.runtime import Runtime
from app.staff.status import Status, read_status
from app.wallet.trust.waiting import WHATS, Waiting, waiting


def blueprint(runtime: Runtime) -> Blueprint:
    """The three status views of one app."""
    views = Blueprint("status", __name__)

    @views.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @views.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = [*_database(runtime), health.probe("redis", runtime.sessions.ping)]
        ready = all(check.ok for check in checks)
        body = {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}
        return jsonify({"ready": ready, "checks": body}), 200 if ready else 503

    @views.get("/metrics")
    def metrics() -> Response:
        registry = REGISTRY
        if runtime.settings.prometheus_multiproc_dir:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        tables = CollectorRegistry()
        tables.register(TableCollector(runtime))
        # Not `mimetype`: Flask would add the charset twice, and Prometheus 3 refuses such a header.
        return Response(
            generate_latest(registry) + generate_latest(tables), content_type=CONTENT_TYPE_LATEST
        )

    return views


class TableCollector(Collector):
    """What the tables know at this moment: due work, open payments, breakers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            status = self._runtime.db.transact(read_status)
            trust = self._runtime.db.transact(
                lambda session: waiting(session, self._runtime.market, datetime.now(UTC))
            )
        except DomainError:
            yield GaugeMetricFamily("kibanda_database_up", "The database answers", value=0)
            return
        yield GaugeMetricFamily("kibanda_database_up", "The database answers", value=1)
        yield from _families(status)
        yield from _pin_families(status, self._runtime.settings.pin_spray_people)
        yield from _trust_families(trust)


def _families(status: Status) -> Iterator[GaugeMetricFamily]:
    overdue = GaugeMetricFamily(
        "kibanda_oldest_due_seconds", "Age of the oldest due row of a queue", labels=["queue"]
    )
    for queue, seconds in status.oldest_due_seconds.items():
        overdue.add_metric([queue], seconds)
    yield overdue
    yield GaugeMetricFamily(
        "kibanda_standby_asynchronous",
        "Standbys that a commit does not wait for",
        value=status.asynchronous_standbys,
    )
    yield GaugeMetricFamily(
        "kibanda_quarantine",
        "1 while a restored database is in quarantine",
        value=float(status.quarantine is not None),
    )
    payments = GaugeMetricFamily("kibanda_payments", "Open payments by state", labels=["state"])
    for state, count in status.open_payments.items():
        payments.add_metric([state], count)
    yield payments
    messages = GaugeMetricFamily("kibanda_messages", "Unsent SMS by state", labels=["state"])
    for state, count in status.open_messages.items():
        messages.add_metric([state], count)
    yield messages
    open_breakers = GaugeMetricFamily(
        "kibanda_breaker_open", "1 while a biller's breaker is open", labels=["biller"]
    )
    for biller in status.billers:
        open_breakers.add_metric([biller.code], float(biller.breaker_open))
    yield open_breakers


def _pin_families(status: Status, spray_people: int) -> Iterator[GaugeMetricFamily]:
    people = status.wrong_pins.people
    yield GaugeMetricFamily(
        "kibanda_pin_wrong_people", "People whose last PIN within ten minutes was wrong", people
    )
    yield GaugeMetricFamily(
        "kibanda_pin_spraying",
        "1 while so many people's PINs are wrong that they are sprayed",
        float(people >= spray_people),
    )


def _trust_families(trust: Sequence[Waiting]) -> Iterator[GaugeMetricFamily]:
    now = datetime.now(UTC)
    oldest = GaugeMetricFamily(
        "kibanda_trust_oldest_seconds",
        "Age of the oldest line, deposit, payout or suspense entry that waits",
        labels=["what"],
    )
    overdue = GaugeMetricFamily(
        "kibanda_trust_overdue", "Those that wait longer than the market allows", labels=["what"]
    )
    for what in WHATS:
        found = [one for one in trust if one.what == what]
        since = min((one.since for one in found), default=now)
        oldest.add_metric([what], max(0.0, (now - since).total_seconds()))
        overdue.add_metric([what], sum(one.overdue for one in found))
    yield oldest
    yield overdue


def _database(runtime: Runtime) -> list[Check]:
    try:
        return runtime.db.transact(health.database_checks)
    except health.Unfit as error:
        return [Check("database", False, str(error))]
    except Exception as error:  # noqa: BLE001 - a failing readiness check is its answer
        return [Check("database", False, type(error).__name__)]
