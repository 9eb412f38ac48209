"""Holds: money set aside in its account until it is captured, released or expires.

    held ─┬─▶ captured   a posting that names it (`post`), whole or part; the rest is given back
          ├─▶ released   `release`
          └─▶ expired    `expire_holds`, only while the hold has an expiry

Every end locks the hold and acts on `held` only, so the first one wins and the others do nothing.
Limits count when the money is held; an end gives back to exactly the counters that were raised.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet.calls import array, call, rows
from app.wallet.postings import Answer, Count, count_columns, fingerprint

HOLD = """SELECT o_refusal, o_replayed FROM hold_v1(
    %s, %s, %s, %s::bigint, %s::bigint, %s::timestamptz, %s,
    %s::bigint[], %s::text[], %s::date[], %s::bigint[], %s::bigint[])"""
RELEASE = "SELECT release_v1(%s, %s, %s)"
CLEAR_EXPIRY = "SELECT clear_expiry_v1(%s)"
CLEAR_EXPIRIES = "SELECT id FROM unnest(%s::uuid[]) AS each (id) WHERE clear_expiry_v1(id)"
EXPIRE = "SELECT expire_v1(%s, %s::int)"


def hold(
    session: Session,
    *,
    key: UUID,
    account_id: int,
    amount_minor: int,
    expires_at: datetime | None,
    reference: str,
    counts: Sequence[Count] = (),
    now: datetime,
) -> Answer:
    """Set money aside; the hold's id is `key`. The answer never carries a posting.

    Refusals: key_reused, key_expired, account_unknown, amount_not_positive, limit_<name>,
    insufficient_funds.
    """
    asked = fingerprint(
        "hold",
        account_id,
        amount_minor,
        reference,
        [
            (count.account_id, count.name, count.period.isoformat(), count.amount_minor)
            for count in counts
        ],
    )
    refusal, replayed = call(
        session,
        HOLD,
        (
            now,
            key,
            asked,
            account_id,
            amount_minor,
            expires_at,
            reference,
            *count_columns(counts),
            array([count.cap_minor for count in counts]),
        ),
    )
    return Answer(key, None, refusal, replayed)


def clear_expiry(session: Session, hold_id: UUID) -> bool:
    """From now on the hold cannot expire; False if it is not `held` any more."""
    return bool(call(session, CLEAR_EXPIRY, (hold_id,))[0])


def clear_expiries(session: Session, hold_ids: Collection[UUID]) -> set[UUID]:
    """The same of many, in one call: those that are `held`, and cannot expire any more."""
    return {row[0] for row in rows(session, CLEAR_EXPIRIES, (array(sorted(hold_ids)),))}


def release(session: Session, hold_id: UUID, *, reason: str, now: datetime) -> bool:
    """Give the money back to its account; False if the hold was not in state `held`."""
    return bool(call(session, RELEASE, (hold_id, reason, now))[0])


def expire_holds(session: Session, *, now: datetime, limit: int = 100) -> list[UUID]:
    """End up to `limit` holds whose time has come, and say which."""
    return list(call(session, EXPIRE, (now, limit))[0])
