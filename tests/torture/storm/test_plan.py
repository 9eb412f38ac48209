"""What a seed draws."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from app.failpoints import NAMES
from tests.torture.storm.linked import OURS, link_names
from tests.torture.storm.plan import EVERYTHING, OUTSIDE, SERVERS, Fault, draw

GREAT = {"lease", "kill_all", "away", "clock", "disk"}


def _drawn(seed: int, seconds: float) -> list[Fault]:
    return draw(random.Random(seed), seconds)


def test_a_seed_draws_the_same_again_and_another_draws_another() -> None:
    assert _drawn(7, 75) == _drawn(7, 75)
    assert _drawn(7, 75) != _drawn(8, 75)


@pytest.mark.parametrize("seed", range(20))
def test_a_short_storm_has_every_great_fault_and_every_sort_of_small_one(seed: int) -> None:
    drawn = _drawn(seed, 75)
    kinds = {fault.kind for fault in drawn}
    assert kinds == GREAT | {"kill", "freeze", "failpoint", "flush", "link", "biller", "sms"}
    assert {fault.target for fault in drawn if fault.kind == "away"} == set(SERVERS)
    assert all(fault.at >= 0 and fault.end <= 75 for fault in drawn)


def test_of_a_sort_of_which_something_is_favoured_only_that_comes_and_oftener() -> None:
    usual, drawn = _drawn(7, 75), draw(random.Random(7), 75, ["http_400", "lost_reply", "flush"])
    assert {fault.facts["kind"] for fault in drawn if fault.kind == "biller"} == {
        "http_400", "lost_reply",
    }  # fmt: skip
    assert {fault.facts["kind"] for fault in drawn if fault.kind == "sms"} == {"lost_reply"}
    for kind in ("biller", "flush"):
        assert sum(fault.kind == kind for fault in drawn) > sum(
            fault.kind == kind for fault in usual
        )
    assert {fault.kind for fault in drawn} == {fault.kind for fault in usual}


def test_nothing_is_hurt_by_two_at_a_time() -> None:
    drawn = [fault for fault in _drawn(3, 180) if fault.kind not in OUTSIDE]
    for one, other in combinations(drawn, 2):
        if one.holds() & other.holds():
            assert one.end < other.at or other.end < one.at


def test_an_hour_kills_and_freezes_everything_at_every_failpoint_and_on_every_link() -> None:
    drawn = _drawn(1, 3600)
    names = {fault.facts["name"] for fault in drawn if fault.kind == "failpoint"}
    links = {(fault.target, fault.facts["mode"]) for fault in drawn if fault.kind == "link"}
    assert names == set(NAMES)
    assert len(links) == 4 * len(link_names())
    assert {fault.target for fault in drawn if fault.kind == "freeze"} == set(EVERYTHING)
    assert {fault.target for fault in drawn if fault.kind == "kill"} == {*EVERYTHING, "sandbox"}
    assert {fault.target for fault in drawn if fault.kind == "clock"} == set(OURS)
