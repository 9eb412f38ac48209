"""Patterns of customer numbers: what is in the language, and that nothing in it can hang."""

from __future__ import annotations

import itertools
import re
import time

import pytest

from app.markets.patterns import lengths


@pytest.mark.parametrize(
    ("pattern", "letters", "found"),
    [
        ("[A-Z]{2}[0-9]{6}", True, {8}),
        ("[A-Z]{2}[0-9]{6}", False, set()),
        ("[a-z]{8}", True, set()),
        (r"\d{11}|0\d{9}", False, {10, 11}),
        ("(5|6[0-4])[^0]{3,4}", False, {4, 5, 6}),
        ("1?2?3?", False, {0, 1, 2, 3}),
        ("A?[0-9]{4}", False, {4}),
        ("[0-9]{15}[0-9]{10}", False, set()),
        ("", False, {0}),
    ],
)
def test_lengths_that_match(pattern: str, letters: bool, found: set[int]) -> None:
    assert lengths(pattern, letters=letters) == found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("1+", "repeats without end; write {1,20} for +"),
        ("(1*)*", "repeats without end; write {1,20} for *"),
        ("(12){3}", "repeats a group; write the group out as often as it may come"),
        ("1{2}{3}", "repeats what is repeated already"),
        ("1??", "repeats what is repeated already"),
        ("1{21}", "repeats {21}; at most 20, the smaller first"),
        ("1{3,2}", "repeats {3,2}; at most 20, the smaller first"),
        ("1?2?3?4?", "has more than 3 parts of varying length"),
        ("(1", "has a ( that nothing closes"),
        ("1)", "has a ) that opens nothing"),
        ("[9-0]", "has a range 9-0 that runs backwards"),
        ("(?:1)", "has a (? that is not known here"),
        ("^1$", "has a ^ that is not known here"),
        (r"\w{3}", r"has a \w that is not known here"),
        ("[", "has a [ that is not known here"),
    ],
)
def test_what_is_not_in_the_language(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError) as refusal:
        lengths(pattern, letters=False)
    assert str(refusal.value).startswith(reason)


def test_what_it_says_is_what_the_real_reader_finds() -> None:
    """Every number of up to four signs that matches has a length that was told."""
    numbers = ["".join(one) for n in range(5) for one in itertools.product("01A", repeat=n)]
    parts = ["0", "[01]", "A?", "(0|1A)", r"\d{1,2}", "[^A]", "1{2}"]
    for chosen in itertools.chain(itertools.permutations(parts, 2), itertools.product(parts, "|1")):
        pattern = "".join(chosen)
        found = {len(one) for one in numbers if re.fullmatch(pattern, one)}
        assert found == {n for n in lengths(pattern, letters=True) if n < 5}, pattern


@pytest.mark.parametrize(
    "pattern",
    ["[0-9]{0,20}" * 3 + "A", "(0|0)" * 11 + "A", r"\d{0,20}(0|0|0)" * 3 + "A", "(0?|0?|0?)00A"],
)
def test_the_worst_patterns_cost_nothing(pattern: str) -> None:
    lengths(pattern, letters=True)
    started = time.perf_counter()
    for long in range(21):
        assert re.fullmatch(pattern, "0" * long) is None
    assert time.perf_counter() - started < 0.5
