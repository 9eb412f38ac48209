"""A round of house-keeping: each row that is due ends in a transaction of its own.

A row that cannot be ended is left for the next round: it never stands in the way of the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.telemetry import log

ROUND_SECONDS = 3.0  # several chores share one job, behind which payments wait
PAGE = 100
Due = Callable[[Session, set[UUID], int], Sequence[UUID]]
EndOne = Callable[[Session, UUID], bool]


def end_due(db: Database, what: str, due: Due, end_one: EndOne) -> int:
    """End what is due until none is left or the round is over; how many.

    `due(session, left_out, most)` are ids; `end_one` locks its row, looks at it again and says
    whether it ended it.
    """
    done, left_out = 0, set[UUID]()
    deadline = time.monotonic() + ROUND_SECONDS
    while page := db.transact(lambda session: due(session, left_out, PAGE)):
        for row_id in page:
            if time.monotonic() >= deadline:
                return done
            if _is_ended(db, what, end_one, row_id):
                done += 1
            else:
                left_out.add(row_id)
    return done


def _is_ended(db: Database, what: str, end_one: EndOne, row_id: UUID) -> bool:
    try:
        return db.transact(lambda session: end_one(session, row_id), idempotent=True)
    except DomainError as error:
        # Somebody holds what it needs, or the database is away: the next round is soon.
        log.warning("row_not_ended_yet", what=what, error=error.code)
    except Exception as error:  # noqa: BLE001 - one broken row must not keep the others open
        log.error("row_not_ended", what=what, error=type(error).__name__, exc_info=True)
    return False
