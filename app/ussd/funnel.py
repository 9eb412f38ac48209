"""Where people stop: end events counted by state, menu, language, network or menu version.

1. Only sessions with an end event are counted. A gateway that sends none, or an event that was
   lost, leaves nothing here; the metrics of hops count those.
2. A session *reached* each state whose screen it was shown, once however often, and *left* at its
   last one. `ended` is a last screen of the menus; where the gateway says so of another state we
   have `stopped` the session there: too many tries, a refusal that ends, an error of ours. Left by
   `stopped`, `dropped` or `failed` is *lost*: the person was not done.
3. Where a session's way is not known (see `ends`) it counts among the sessions and at no state.
4. One statement, so all figures are of one instant; it reads the newest ROWS_MOST events of the
   range and says so when there may be more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.ussd.states import End, State

By = Literal["state", "menu", "language", "network", "version"]
BY: tuple[By, ...] = ("state", "menu", "language", "network", "version")
STATUSES = ("ended", "stopped", "dropped", "failed", "unknown")
LOST = ("stopped", "dropped", "failed")
ROWS_MOST = 100_000

_COUNT = text("""
    WITH newest AS (
        SELECT CASE WHEN status = 'ended' AND (last_state = ANY (:asking)
                                               OR starts_with(last_state, 'engine.'))
                    THEN 'stopped' ELSE status END AS status,
               committed, registered, coalesce(path, '{}') AS path, last_state,
               coalesce(language, 'unknown') AS language, network,
               coalesce(menu_version, 'unknown') AS version
        FROM ussd_ends WHERE received_at >= :since AND received_at < :until
        ORDER BY received_at DESC LIMIT :most
    ), chosen AS MATERIALIZED (
        SELECT *, CASE :by WHEN 'language' THEN language WHEN 'network' THEN network
                           WHEN 'version' THEN version END AS part
        FROM newest
        WHERE (:language = '' OR language = :language) AND (:network = '' OR network = :network)
          AND (:version = '' OR version = :version) AND (:state = '' OR :state = ANY (path))
          AND (:menu = '' OR EXISTS (
               SELECT FROM unnest(path) AS name WHERE split_part(name, '.', 1) = :menu))
    ), steps AS (
        SELECT part AS name FROM chosen WHERE part IS NOT NULL
        UNION ALL
        SELECT step.name FROM chosen CROSS JOIN LATERAL (
            SELECT DISTINCT CASE :by WHEN 'menu' THEN split_part(name, '.', 1) ELSE name END
            FROM unnest(path) AS name WHERE :menu = '' OR split_part(name, '.', 1) = :menu
        ) AS step (name)
        WHERE part IS NULL
    ), left_at AS (
        SELECT coalesce(part, CASE :by WHEN 'menu' THEN split_part(last_state, '.', 1)
                              ELSE last_state END) AS name, status
        FROM chosen
        WHERE part IS NULL OR (:menu = '' OR split_part(last_state, '.', 1) = :menu)
                              AND (:state = '' OR last_state = :state)
    )
    SELECT 'read' AS what, '' AS name, '' AS status, count(*) AS sessions FROM newest
    UNION ALL SELECT 'session', '', status, count(*) FROM chosen GROUP BY status
    UNION ALL SELECT 'committed', '', '', count(*) FROM chosen WHERE committed
    UNION ALL SELECT 'registered', '', '', count(*) FROM chosen WHERE registered
    UNION ALL SELECT 'without_path', '', '', count(*) FROM chosen WHERE path = '{}'
    UNION ALL SELECT 'reached', name, '', count(*) FROM steps GROUP BY name
    UNION ALL SELECT 'left', name, status, count(*) FROM left_at
              WHERE name IS NOT NULL GROUP BY name, status
""")


@dataclass(frozen=True, slots=True)
class Question:
    """End events received from `since` until before `until`, one row a `by`.

    The others keep only sessions with that language, network or version, or that reached that
    state or menu; "" keeps all. Rows of languages, networks and versions then count what left at
    that state or menu.
    """

    since: datetime
    until: datetime
    by: By = "state"
    menu: str = ""
    state: str = ""
    language: str = ""
    network: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One state, menu, language, network or version. `left` counts sessions by their status.

    `last`: the menus' own end, where nothing more is asked. `most_lost`: no state or menu lost
    more sessions.
    """

    name: str
    reached: int
    reached_percent: float
    left: Mapping[str, int]
    lost: int
    lost_percent: float
    last: bool = False
    most_lost: bool = False


@dataclass(frozen=True, slots=True)
class Funnel:
    """`sessions` by status; `reached_percent` of a row is of all of them, `lost_percent` of those
    that reached it. `cut`: the range may hold more than the ROWS_MOST events that were read.
    """

    sessions: Mapping[str, int]
    all: int
    committed: int
    registered: int
    without_path: int
    cut: bool
    rows: Sequence[Row]


def read(session: Session, question: Question, states: Mapping[str, State[Any]]) -> Funnel:
    """Count. Rows stand in the order of `states`, those of a book; names of others follow."""
    counts: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    asked: dict[str, object] = {name: getattr(question, name) for name in Question.__slots__}
    asked["asking"] = [name for name, state in states.items() if not isinstance(state, End)]
    for what, name, status, number in session.execute(_COUNT, {**asked, "most": ROWS_MOST}):
        counts[what][name, status] = number
    sessions = {status: counts["session"]["", status] for status in STATUSES}
    return Funnel(
        sessions=sessions,
        all=sum(sessions.values()),
        committed=counts["committed"].total(),
        registered=counts["registered"].total(),
        without_path=counts["without_path"].total(),
        cut=counts["read"].total() >= ROWS_MOST,
        rows=_rows(counts, states, question.by),
    )


def percent(part: int, whole: int) -> float:
    """With one decimal; 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def _rows(
    counts: Mapping[str, Counter[tuple[str, str]]], states: Mapping[str, State[Any]], by: By
) -> list[Row]:
    reached, left, sessions = counts["reached"], counts["left"], counts["session"].total()
    order = _order(states, by)
    names = sorted((name for name, _ in reached), key=lambda name: (order.get(name, 1_000), name))
    lost = {name: sum(left[name, status] for status in LOST) for name in names}
    most = max(lost.values(), default=0)
    return [
        Row(
            name=name,
            reached=reached[name, ""],
            reached_percent=percent(reached[name, ""], sessions),
            left={status: left[name, status] for status in STATUSES},
            lost=lost[name],
            lost_percent=percent(lost[name], reached[name, ""]),
            last=by == "state" and isinstance(states.get(name), End),
            most_lost=by in ("state", "menu") and 0 < lost[name] == most,
        )
        for name in names
    ]


def _order(states: Iterable[str], by: By) -> dict[str, int]:
    names = [name.partition(".")[0] for name in states] if by == "menu" else states
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
