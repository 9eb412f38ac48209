"""What a flood writes to the log is bounded, and says how much it left out."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from app import telemetry
from app.telemetry import Seldom
from app.web.strangers import ADDRESSES_MOST, Strangers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, moved on at will."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def said(logs: list[Any]) -> list[tuple[object, int]]:
    return [(line["kind"], line["unsaid"]) for line in logs]


def test_a_line_a_minute_and_kind(clock: list[float]) -> None:
    seldom = Seldom("flood")
    with capture_logs() as logs:
        for kind in ("a", "a", "b", "a"):
            seldom.error(kind, kind=kind)
        clock[0] += 59
        seldom.error("a", kind="a")
        clock[0] += 1
        seldom.error("a", kind="a")
        seldom.warning("a", kind="a")
    assert said(logs) == [("a", 0), ("b", 0), ("a", 3)]
    assert {line["log_level"] for line in logs} == {"error"}


def test_kinds_are_bounded(clock: list[float]) -> None:
    seldom = Seldom("flood")
    with capture_logs() as logs:
        for kind in range(telemetry.SELDOM_KINDS_MOST + 500):
            seldom.warning(kind, kind=kind)
    assert len(logs) == telemetry.SELDOM_KINDS_MOST + 1, "the rest are one kind together"


def test_strangers_by_address_and_minute(clock: list[float]) -> None:
    strangers = Strangers(2)
    assert [strangers.tried("10.0.0.1") for _ in range(3)] == [False, False, True]
    assert not strangers.tried("10.0.0.2")
    assert strangers.tried("::ffff:10.0.0.1"), "the same, written otherwise"
    assert [strangers.tried(f"2001:db8::{end}") for end in (1, 2, 3)] == [False, False, True]
    assert not strangers.tried("2001:db8:0:1::1")
    assert [strangers.tried(odd) for odd in (None, "", "unknown")] == [False, False, True]
    clock[0] += 60
    assert not strangers.tried("10.0.0.1")


def test_the_addresses_that_are_remembered_are_bounded(clock: list[float]) -> None:
    strangers = Strangers(1)
    strangers.tried("10.0.0.1")
    for place in range(ADDRESSES_MOST):
        strangers.tried(f"2001:db8:{place:x}::1")
    assert len(strangers._seen) == ADDRESSES_MOST
    assert not strangers.tried("10.0.0.1"), "the one that was longest silent was forgotten"
