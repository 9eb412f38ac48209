"""The funnel's figures against a naive count, on a real PostgreSQL."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.gateways.wire import UssdEnd
from app.runtime import Runtime
from app.ussd import ends
from app.ussd.ends import Way
from app.ussd.funnel import BY, LOST, ROWS_MOST, STATUSES, Funnel, Question, read
from app.ussd.states import End, Menu

DAY = timedelta(days=1)
BEGAN = datetime(2001, 3, 4, tzinfo=UTC)  # no other test's events are that old
ALL = Question(BEGAN, BEGAN + DAY)
# A little book: two menus and a last screen; `old.gone` is a state of a book before.
STATES = {
    "home": Menu("home", "", ()),
    "bill.meter": Menu("bill.meter", "", ()),
    "bill.amount": Menu("bill.amount", "", ()),
    "bill.paid": End("bill.paid", ""),
    "account": Menu("account", "", ()),
}
NAMES = (*STATES, "old.gone")


@pytest.fixture
def session(runtime: Runtime) -> Iterator[Session]:
    """A transaction that is never committed."""
    with Session(runtime.db.engine) as open_one:
        yield open_one
        open_one.rollback()


def keep(
    session: Session,
    *path: str,
    status: str = "dropped",
    language: str | None = "en",
    network: str = "63902",
    version: str | None = "1",
    at: datetime = BEGAN,
) -> None:
    end = UssdEnd(
        gateway="africastalking",
        session_id=f"ATUid_{secrets.token_hex(8)}",
        msisdn="+254711000001",
        service_code="*384*123#",
        network=network,
        status=status,
        hops=len(path),
        duration_ms=1,
        cost=None,
        error=None,
        hops_metadata=None,
    )
    last = path[-1] if path else None
    way = Way(secrets.token_bytes(16), path or None, last, version, language, True)
    ends.store(session, end, way, at)


def rows(found: Funnel) -> dict[str, tuple[int, int]]:
    """Reached and lost by name, in the order of the rows."""
    return {row.name: (row.reached, row.lost) for row in found.rows}


def test_each_state_is_reached_once_and_left_at_the_last(session: Session) -> None:
    keep(session, "home", "bill.meter", "home", "bill.meter", "bill.amount", "bill.paid",
         status="ended")  # fmt: skip
    keep(session, "home", "bill.meter", "bill.amount")
    keep(session, "home", "bill.meter", status="failed")
    keep(session, "home", "bill.meter", language="sw")
    keep(session, status="unknown", language=None, version=None)
    found = read(session, ALL, STATES)
    assert found.sessions == {"ended": 1, "stopped": 0, "dropped": 2, "failed": 1, "unknown": 1}
    assert (found.all, found.without_path, found.committed, found.cut) == (5, 1, 0, False)
    assert rows(found) == {
        "home": (4, 0),
        "bill.meter": (4, 2),
        "bill.amount": (2, 1),
        "bill.paid": (1, 0),
    }
    meter = found.rows[1]
    assert meter.left == {"ended": 0, "stopped": 0, "dropped": 1, "failed": 1, "unknown": 0}
    assert (meter.reached_percent, meter.lost_percent) == (80.0, 50.0)
    assert [row.name for row in found.rows if row.most_lost] == ["bill.meter"]
    assert [row.name for row in found.rows if row.last] == ["bill.paid"]


def test_an_end_where_something_was_asked_is_ours(session: Session) -> None:
    """Too many tries, a locked PIN, an error: the gateway calls all of it a success."""
    for last in ("bill.paid", "bill.amount", "engine.away", "old.gone"):
        keep(session, "home", last, status="ended")
    found = read(session, ALL, STATES)
    assert (found.sessions["ended"], found.sessions["stopped"]) == (2, 2)
    assert rows(found) == {
        "home": (4, 0),
        "bill.amount": (1, 1),
        "bill.paid": (1, 0),
        "engine.away": (1, 1),
        "old.gone": (1, 0),
    }


def test_a_menu_is_a_funnel_of_its_own_sessions(session: Session) -> None:
    keep(session, "home", "account")
    keep(session, "home", "bill.meter", "home")
    keep(session, "home", "bill.meter", "bill.amount")
    found = read(session, replace(ALL, menu="bill"), STATES)
    assert found.all == 2
    assert rows(found) == {"bill.meter": (2, 0), "bill.amount": (1, 1)}
    assert [row.reached_percent for row in found.rows] == [100.0, 50.0]
    assert rows(read(session, replace(ALL, by="menu"), STATES)) == {
        "home": (3, 1),
        "bill": (2, 1),
        "account": (1, 1),
    }
    assert rows(read(session, replace(ALL, by="language", menu="bill"), STATES)) == {"en": (2, 1)}
    assert rows(read(session, replace(ALL, by="language", state="home"), STATES)) == {"en": (3, 1)}


def test_names_of_other_books_follow_in_order(session: Session) -> None:
    keep(session, "zebra", "account", "old.gone", "home")
    assert list(rows(read(session, ALL, STATES))) == ["home", "account", "old.gone", "zebra"]


def test_the_range_holds_its_beginning_and_not_its_end(session: Session) -> None:
    for at in (BEGAN - timedelta(microseconds=1), BEGAN, BEGAN + DAY):
        keep(session, "home", at=at)
    assert read(session, ALL, STATES).all == 1


def test_nothing_is_an_answer_too(session: Session) -> None:
    found = read(session, replace(ALL, menu="bill'; --"), STATES)
    assert (found.all, found.rows, found.cut) == (0, [], False)
    assert found.sessions == dict.fromkeys(STATUSES, 0)


EVENTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), max_size=7),
        st.sampled_from(["ended", "dropped", "failed", "unknown"]),
        st.sampled_from([None, "en", "sw"]),
        st.sampled_from(["63902", "63903"]),
        st.sampled_from([None, "1", "2"]),
    ),
    max_size=12,
)
QUESTIONS = st.builds(
    Question,
    st.just(BEGAN),
    st.just(BEGAN + DAY),
    by=st.sampled_from(BY),
    menu=st.sampled_from(["", "", "bill", "old"]),
    state=st.sampled_from(["", "", "bill.meter"]),
    language=st.sampled_from(["", "", "en", "unknown"]),
    network=st.sampled_from(["", "", "63902"]),
    version=st.sampled_from(["", "", "1", "unknown"]),
)
Event = tuple[list[str], str, str | None, str, str | None]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=EVENTS, question=QUESTIONS)
def test_the_figures_are_those_of_a_naive_count(
    session: Session, events: list[Event], question: Question
) -> None:
    session.rollback()
    for path, status, language, network, version in events:
        keep(session, *path, status=status, language=language, network=network, version=version)
    found = read(session, question, STATES)
    chosen = [event for event in events if fits(event, question)]
    assert found.all == len(chosen)
    assert found.without_path == sum(not path for path, *_ in chosen)
    expected = {}
    for name in {name for event in chosen for name in names_of(event, question)}:
        reached = [event for event in chosen if name in names_of(event, question)]
        left = [event for event in reached if left_at(event, question) == name]
        expected[name] = (len(reached), sum(is_lost(event) for event in left))
    assert rows(found) == expected


def is_lost(event: Event) -> bool:
    path, status, *_ = event
    stopped = status == "ended" and bool(path) and path[-1] not in ("bill.paid", "old.gone")
    return stopped or status in LOST


def fits(event: Event, question: Question) -> bool:
    path, _, language, network, version = event
    return (
        question.language in ("", language or "unknown")
        and question.network in ("", network)
        and question.version in ("", version or "unknown")
        and (not question.state or question.state in path)
        and (not question.menu or question.menu in {menu(name) for name in path})
    )


def names_of(event: Event, question: Question) -> set[str]:
    """The rows that an event counts in."""
    path, _, language, network, version = event
    mine = [name for name in path if question.menu in ("", menu(name))]
    return {
        "state": set(mine),
        "menu": {menu(name) for name in mine},
        "language": {language or "unknown"},
        "network": {network},
        "version": {version or "unknown"},
    }[question.by]


def left_at(event: Event, question: Question) -> str | None:
    """The row that an event's last state counts in."""
    last = event[0][-1] if event[0] else ""
    if question.by in ("state", "menu"):
        return last if question.by == "state" else menu(last)
    there = question.menu in ("", menu(last)) and question.state in ("", last)
    return next(iter(names_of(event, question))) if there else None


def menu(name: str) -> str:
    return name.partition(".")[0]


def test_too_many_events_are_cut_and_said(session: Session) -> None:
    """The newest are counted, and the answer says that there may be more."""
    session.execute(
        text("""
            INSERT INTO ussd_ends (gateway, session_id, msisdn, service_code, network, status,
                                   received_at, path, last_state)
            SELECT 'g', n::text, '+254711000001', '*1#', '1', 'dropped',
                   cast(:began AS timestamptz) + n * interval '1 ms', '{home,bill.meter}', 'home'
            FROM generate_series(1, :many) AS n
        """),
        {"began": BEGAN, "many": ROWS_MOST + 5},
    )
    found = read(session, ALL, STATES)
    assert (found.all, found.cut) == (ROWS_MOST, True)
    assert rows(found)["home"] == (ROWS_MOST, ROWS_MOST)


def test_a_purge_takes_the_oldest_and_not_too_many(session: Session) -> None:
    hours = list(range(6))
    random.shuffle(hours)
    for hour in hours:
        keep(session, "home", at=BEGAN + timedelta(hours=hour))
    before = BEGAN + timedelta(hours=4)
    assert [ends.purge(session, before, most=3) for _ in range(3)] == [3, 1, 0]
    assert read(session, ALL, STATES).all == 2
    assert read(session, replace(ALL, since=before), STATES).all == 2
