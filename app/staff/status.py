"""One look at the whole system: what is due and how late, what is open, who is alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import health, quarantine
from app.quarantine import Quarantine
from app.wallet.sprays import WrongPins, wrong_pins

_DUE = {
    "payments": """
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)
        FROM payments WHERE due_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    """,
    "messages": """
        SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)
        FROM messages WHERE due_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    """,
}
_OPEN_PAYMENTS = """
    SELECT state, count(*) FROM payments
    WHERE state IN ('held', 'sent', 'unknown', 'manual', 'returned', 'paid_late')
      AND refunded_at IS NULL
    GROUP BY state
"""
_OPEN_MESSAGES = "SELECT state, count(*) FROM messages WHERE state <> 'sent' GROUP BY state"
_BILLERS = """
    SELECT biller, paused_at IS NOT NULL AS paused,
           coalesce(open_until > clock_timestamp(), false) AS breaker_open, failures, deposit_minor
    FROM biller_states ORDER BY biller
"""
_HEARTBEATS = """
    SELECT name, queue, round(extract(epoch FROM clock_timestamp() - at)::numeric, 1)::float AS age
    FROM worker_heartbeats WHERE at > clock_timestamp() - interval '1 hour' ORDER BY queue, name
"""


@dataclass(frozen=True, slots=True)
class BillerStatus:
    """`deposit_minor` is what the biller last said is left of our prefunded deposit with it."""

    code: str
    paused: bool
    breaker_open: bool
    failures: int
    deposit_minor: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """Seconds are by the database's clock; 0 where nothing is due."""

    oldest_due_seconds: dict[str, float]
    open_payments: dict[str, int]
    open_messages: dict[str, int]
    billers: tuple[BillerStatus, ...]
    heartbeats: tuple[dict[str, Any], ...]
    wrong_pins: WrongPins
    quarantine: Quarantine | None
    asynchronous_standbys: int


def read_status(session: Session) -> Status:
    """The status now, from the tables alone."""
    return Status(
        oldest_due_seconds={
            queue: float(session.scalar(text(query)) or 0) for queue, query in _DUE.items()
        },
        open_payments=_counts(session, _OPEN_PAYMENTS),
        open_messages=_counts(session, _OPEN_MESSAGES),
        billers=tuple(BillerStatus(*row) for row in session.execute(text(_BILLERS))),
        heartbeats=tuple(
            dict(row) for row in session.execute(text(_HEARTBEATS)).mappings()
        ),
        wrong_pins=wrong_pins(session),
        quarantine=quarantine.standing(session),
        asynchronous_standbys=health.asynchronous_standbys(session),
    )  # fmt: skip


def _counts(session: Session, query: str) -> dict[str, int]:
    return {str(state): int(count) for state, count in session.execute(text(query))}
