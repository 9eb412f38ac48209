"""PIN spraying: few wrong PINs each at many people, which no one person's counter shows.

`pins` keeps when a PIN was last tried, and the count of tries that only a right one clears. So
whoever mistypes and then gets it right is not counted; what is left are people of whom the last
try was wrong. It is committed before the PIN is looked at, like the count.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

WINDOW_SECONDS = 600
COUNTED_MOST = 10_000

_WRONG = text("""
    SELECT count(*), coalesce(sum(attempts), 0) FROM (
        SELECT attempts FROM pins
        WHERE attempts > 0 AND tried_at > clock_timestamp() - make_interval(secs => :seconds)
        ORDER BY tried_at DESC LIMIT :most
    ) AS newest
""")


@dataclass(frozen=True, slots=True)
class WrongPins:
    """Of the last `WINDOW_SECONDS`: whose last PIN was wrong, and how often they tried."""

    people: int
    tries: int


def wrong_pins(session: Session) -> WrongPins:
    """By the database's clock; at most `COUNTED_MOST` people."""
    row = session.execute(_WRONG, {"seconds": WINDOW_SECONDS, "most": COUNTED_MOST}).one()
    return WrongPins(people=int(row[0]), tries=int(row[1]))
