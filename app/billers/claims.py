"""Taking payments to work on: at most a biller's cap in flight, each by one worker at a time.

The biller's row is locked while its due payments are chosen, so the cap, the pause and the breaker
hold over all processes. A claim is a lease by the database's clock and a fence that only rises.
What was claimed is committed as `sent`, its hold without an expiry, before the first byte leaves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.billers import breaker, hours, models, orders, settlement
from app.billers.breaker import Standing
from app.billers.protocols.answers import Order
from app.billers.settlement import Claim
from app.billers.states import State
from app.markets.billers import Biller
from app.markets.model import Market
from app.wallet import ledger

LEASE_SECONDS = 30

# One probe of the index a biller: the many that wait for an answer by file are never read here.
_DUE_BILLERS = text("""
    SELECT each.biller FROM unnest(CAST(:callable AS text[])) AS each (biller)
    LEFT JOIN biller_states b ON b.biller = each.biller
    WHERE coalesce(b.open_until <= clock_timestamp(), true)
      AND coalesce(b.probe_until <= clock_timestamp(), true)
      AND EXISTS (
        SELECT FROM payments p WHERE p.biller = each.biller AND p.due_at <= clock_timestamp()
          AND (p.state <> 'held' OR (p.expires_at > clock_timestamp() AND b.paused_at IS NULL)))
""")
_LOCK_BILLER = text("SELECT biller FROM biller_states WHERE biller = :biller FOR UPDATE")
_IN_FLIGHT = text("""
    SELECT count(*) FROM payments WHERE biller = :biller AND lease_until > clock_timestamp()
""")
# Past its bound nobody asks any more: house-keeping makes those manual. So it is with what was sent
# to another family or account than the market file names by now.
_DUE = text("""
    SELECT id, state, hold_id, send_again FROM payments
    WHERE biller = :biller AND product = ANY (:products) AND due_at <= clock_timestamp()
      AND family = :family AND account = :account
      AND (lease_until IS NULL OR lease_until <= clock_timestamp())
      AND CASE WHEN state = 'held' THEN :takes AND expires_at > clock_timestamp()
          ELSE coalesce(asked_from, first_sent_at)
                   > clock_timestamp() - make_interval(secs => :manual_after)
               AND first_sent_at > :asked_since END
    ORDER BY due_at LIMIT :most
    FOR UPDATE SKIP LOCKED
""")
# The lease's end is also when the row is due again: that is how a dead worker's claim comes back.
_CLAIM = text("""
    WITH claimed AS (
        UPDATE payments p SET
            state = 'sent', came_from = 'held', requests = 1, fence = fence + 1,
            first_sent_at = clock_timestamp(),
            lease_until = clock_timestamp() + make_interval(secs => :lease),
            due_at = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (:fresh) AND state = 'held'
        RETURNING p.*
    ), events AS (
        INSERT INTO payment_events (payment_id, at, from_state, to_state, what, facts)
        SELECT id, :now, 'held', 'sent', 'claimed', '{}' FROM claimed
    ), again AS (
        UPDATE payments p SET
            requests = requests + 1, fence = fence + 1, send_again = false,
            reversing_at = CASE WHEN :reverse THEN coalesce(reversing_at, clock_timestamp())
                ELSE reversing_at END,
            lease_until = clock_timestamp() + make_interval(secs => :lease),
            due_at = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (:asked) AND state IN ('sent', 'unknown')
        RETURNING p.*
    )
    SELECT claimed.*, true AS buys FROM claimed
    UNION ALL
    SELECT again.*, id = ANY (:absent) AS buys FROM again
""")


@dataclass(frozen=True, slots=True)
class Work:
    """One call to make. `buys`: it sends the purchase; else it ends the doubt about one sent."""

    claim: Claim
    order: Order
    buys: bool


def due_billers(session: Session, callable_ones: Collection[str]) -> list[str]:
    """Of these billers those with a payment that somebody should look at now; reads only."""
    values = {"callable": sorted(callable_ones)}
    return sorted(session.scalars(_DUE_BILLERS, values))


def claim(session: Session, market: Market, biller: str, most: int, now: datetime) -> list[Work]:
    """Up to `most` due payments of a biller, `sent` and leased once the caller has committed."""
    rules = market.billers[biller]
    standing = _lock(session, biller)
    room = _room(session, biller, rules, standing, most)
    due = _due(session, market, biller, standing, room, now) if room > 0 else []
    fresh = _leaving(session, market, [row for row in due if row.state == State.HELD], now)
    asked = [row.id for row in due if row.state != State.HELD]
    if not fresh and not asked:
        return []
    takes = _takes(market, biller, standing, now)
    if standing.breaker == "half_open":
        breaker.take_probe(session, biller, LEASE_SECONDS)
    values = {
        "fresh": fresh,
        "asked": asked,
        # A purchase that was not had leaves as a new one does: a paused or closed biller is asked.
        "absent": [row.id for row in due if row.send_again and takes],
        "reverse": rules.silence_policy == "reverse",
        "lease": LEASE_SECONDS,
        "now": now,
    }
    return [_work(market, row) for row in session.execute(_CLAIM, values)]


def _lock(session: Session, biller: str) -> Standing:
    """From here on this transaction alone claims payments of this biller."""
    if session.scalar(_LOCK_BILLER, {"biller": biller}) is None:
        breaker.ensure_rows(session, [biller])
        session.execute(_LOCK_BILLER, {"biller": biller})
    return breaker.standings(session)[biller]


def _room(session: Session, biller: str, rules: Biller, standing: Standing, most: int) -> int:
    if standing.breaker == "half_open":
        return min(1, most)
    if standing.breaker == "open":
        return 0
    in_flight = session.scalar(_IN_FLIGHT, {"biller": biller}) or 0
    return min(rules.concurrency - in_flight, most)


def _due(
    session: Session, market: Market, biller: str, standing: Standing, room: int, now: datetime
) -> Sequence[Row[Any]]:
    rules = market.billers[biller]
    values = {
        "biller": biller,
        "takes": _takes(market, biller, standing, now),
        "family": rules.family,
        "account": rules.credentials or biller,
        # A product that left the market file stays due, and shows in `status`; the rest goes on.
        "products": [product.code for product in rules.products],
        "manual_after": rules.manual_after_seconds,
        "asked_since": hours.asked_since(rules, market.zone, now),
        "most": room,
    }
    return session.execute(_DUE, values).all()


def _takes(market: Market, biller: str, standing: Standing, now: datetime) -> bool:
    """Whether a purchase may leave now."""
    return not standing.paused and hours.is_open(market.billers[biller], market.zone, now)


def _leaving(
    session: Session, market: Market, held: Sequence[Row[Any]], now: datetime
) -> list[UUID]:
    """The held payments that may be sent: their holds are there and will not expire any more."""
    if not held:
        return []
    kept = ledger.clear_expiries(session, [row.hold_id for row in held])
    for row in held:
        if row.hold_id not in kept:
            settlement.cancel(session, market, models.lock(session, row.id), now=now)
    return [row.id for row in held if row.hold_id in kept]


def _work(market: Market, row: Row[Any]) -> Work:
    claim = Claim(row.id, row.reference, row.fence, row.requests)
    return Work(claim, orders.order_of(market, row), row.buys)
