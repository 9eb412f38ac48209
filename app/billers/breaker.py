"""Each biller's pause, breaker and deposit: one row in PostgreSQL, so that all processes agree.

    closed ──failures in a row──▶ open ──time──▶ half open: one probe ──answer──▶ closed
                                    ▲─────────────────────────────silence─────────┘

A failure is a call without an answer in the biller's own format; a refusal is an answer. The times
are the database's clock. A pause stops new payments; what was sent before it is still asked about,
because people's money hangs on the answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import CursorResult, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.billers.models import BillerState
from app.db import Database
from app.errors import DomainError
from app.markets.billers import Biller

VIEW_SECONDS = 1.0
DEPOSIT_EVERY_SECONDS = 10
Calls = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Standing:
    """`paused`: no new payment leaves. `breaker` open: nothing leaves; half open: one call does."""

    paused: bool
    breaker: Calls


HEALTHY = Standing(paused=False, breaker="closed")
_STANDING = text("""
    SELECT biller, paused_at IS NOT NULL AS paused, CASE
        WHEN open_until IS NULL THEN 'closed'
        WHEN open_until > clock_timestamp() OR probe_until > clock_timestamp() THEN 'open'
        ELSE 'half_open' END AS breaker
    FROM biller_states
""")
_FAILED = text("""
    UPDATE biller_states SET failures = failures + 1, probe_until = NULL,
        open_until = CASE WHEN failures + 1 >= :most OR open_until IS NOT NULL
            THEN clock_timestamp() + make_interval(secs => :open_seconds) END
    WHERE biller = :biller
    RETURNING failures, open_until IS NOT NULL AS is_open
""")
_ANSWERED = text("""
    UPDATE biller_states SET failures = 0, open_until = NULL, probe_until = NULL
    WHERE biller = :biller AND (failures > 0 OR open_until IS NOT NULL)
""")
_INQUIRY_ANSWERED = text("""
    UPDATE biller_states SET failures = 0, open_until = NULL, probe_until = NULL
    WHERE biller = :biller AND open_until <= clock_timestamp()
""")
_DEPOSIT = text("""
    UPDATE biller_states SET deposit_minor = :deposit, deposit_at = clock_timestamp()
    WHERE biller = :biller
      AND coalesce(deposit_at < clock_timestamp() - make_interval(secs => :every), true)
""")
_PROBE = text("""
    UPDATE biller_states SET probe_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE biller = :biller
""")


def ensure_rows(session: Session, billers: Iterable[str]) -> None:
    """A row for every biller of the market; called when a process starts."""
    for biller in sorted(billers):
        session.execute(insert(BillerState).values(biller=biller).on_conflict_do_nothing())


def standings(session: Session) -> dict[str, Standing]:
    """How every biller stands at this moment; one without a row is healthy."""
    return {row[0]: Standing(row.paused, row.breaker) for row in session.execute(_STANDING)}


def refuse_unless_open_for_business(session: Session, biller: str) -> None:
    """Raises DomainError `biller_paused` or `biller_down`: nothing may be promised now."""
    refuse(standings(session).get(biller, HEALTHY))


def refuse(standing: Standing) -> None:
    """Raises DomainError `biller_paused` or `biller_down` where nothing new may be begun."""
    if standing.paused:
        raise DomainError("biller_paused")
    if standing.breaker == "open":
        raise DomainError("biller_down")


def take_probe(session: Session, biller: str, seconds: int) -> None:
    """Half open: this transaction, which locks the biller's row, sends the one probe."""
    session.execute(_PROBE, {"biller": biller, "seconds": seconds})


def inquiry_answered(session: Session, biller: str) -> None:
    """A biller that names customers may still be silent about payments: this closes a breaker that
    has opened, and forgives no failure of one that is closed."""
    session.execute(_INQUIRY_ANSWERED, {"biller": biller})


def answered(session: Session, biller: str, deposit_minor: int | None = None) -> bool:
    """Count an answer; True when this closed or calmed the breaker.

    Locks the biller's row only when there is something to change, so that a healthy biller's
    payments never queue here.
    """
    result = session.execute(_ANSWERED, {"biller": biller})
    assert isinstance(result, CursorResult)
    if deposit_minor is not None:
        values = {"biller": biller, "deposit": deposit_minor, "every": DEPOSIT_EVERY_SECONDS}
        session.execute(_DEPOSIT, values)
    return result.rowcount > 0


def failed(session: Session, biller: str, rules: Biller) -> bool:
    """Count a failure; True when the breaker is open after it."""
    values = {
        "biller": biller,
        "most": rules.breaker_failures,
        "open_seconds": rules.breaker_open_seconds,
    }
    row = session.execute(_FAILED, values).first()
    return row is not None and bool(row.is_open)


def set_paused(session: Session, biller: str, *, paused: bool) -> bool:
    """Staff stops new payments to a biller, or lets them go on; False when it was so already."""
    ensure_rows(session, [biller])
    row = session.get_one(BillerState, biller, with_for_update=True, populate_existing=True)
    if (row.paused_at is not None) == paused:
        return False
    row.paused_at = func.clock_timestamp() if paused else None
    session.flush()
    return True


@dataclass(slots=True)
class _View:
    at: float
    standings: dict[str, Standing]


class BreakerView:
    """For inquiries: the standings as they were at most a second ago."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._view = _View(float("-inf"), {})

    def standing(self, biller: str) -> Standing:
        """Raises what `Database.transact` raises when the view is old and cannot be renewed."""
        with self._lock:
            view = self._view
        if time.monotonic() - view.at > VIEW_SECONDS:
            view = _View(time.monotonic(), self._db.transact(standings, name="breaker.view"))
            with self._lock:
                self._view = view
        return view.standings.get(biller, HEALTHY)
