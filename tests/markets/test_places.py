"""The line of every value of a TOML text, however it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from app import markets
from app.markets.places import Place, line_of

ODD = '''\
# a comment with = and [brackets]
plain = 1
"quoted.name" = 2 # not a dotted one
dotted . inside = "a # that is no comment"
when = 1979-05-27 07:32:00
text = """
plain = 'within a text'
[[tables]]
a quote at the end: \\""""""
literal = \'\'\'
x = "1"\'\'\'
lists = [
    1, # one
    [2,
     3],
    { here = 4, "there" = [5, { deep = 6 }] },
    "]}",
    \'\\\',
]

[under."a b"]
x = 1
[[tables]]
x = 1
y.z = 2
[[tables]]
x = 2
[tables.sub]
x = 3
[[tables.sub.more]]
x = 4
  [[tables.sub.more]]
x = 5
'''
LINES: dict[Place, int] = {
    ("plain",): 2,
    ("quoted.name",): 3,
    ("dotted",): 4,
    ("dotted", "inside"): 4,
    ("when",): 5,
    ("text",): 6,
    ("literal",): 10,
    ("lists",): 12,
    ("lists", 0): 13,
    ("lists", 1): 14,
    ("lists", 1, 1): 15,
    ("lists", 2, "here"): 16,
    ("lists", 2, "there", 1, "deep"): 16,
    ("lists", 3): 17,
    ("lists", 4): 18,
    ("under",): 21,
    ("under", "a b", "x"): 22,
    ("tables",): 23,
    ("tables", 0): 23,
    ("tables", 0, "y", "z"): 25,
    ("tables", 1): 26,
    ("tables", 1, "x"): 27,
    ("tables", 1, "sub"): 28,
    ("tables", 1, "sub", "more"): 30,
    ("tables", 1, "sub", "more", 1): 32,
    ("tables", 1, "sub", "more", 1, "x"): 33,
}
ENCLOSING: dict[Place, int] = {
    (): 1,
    ("absent",): 1,
    ("tables", 1, "sub", "absent"): 28,
    ("lists", 2, "absent"): 16,
    ("dotted", "absent", 3): 4,
}


@pytest.mark.parametrize("text", [ODD, ODD.replace("\n", "\r\n")], ids=["LF", "CRLF"])
def test_lines_of_odd_toml(text: str) -> None:
    tomllib.loads(text)
    wanted = LINES | ENCLOSING
    assert {place: line_of(text, place) for place in wanted} == wanted


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*place, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*place, index))
    else:
        yield place


@pytest.mark.parametrize("name", ["demo", "demo_id"])
def test_every_value_of_a_market_stands_on_its_line(name: str) -> None:
    text = (markets.FOLDER / f"{name}.toml").read_text()
    places = list(leaves(tomllib.loads(text)))
    assert len(places) > 150
    for place in places:
        line = text.splitlines()[line_of(text, place) - 1]
        key = next(part for part in reversed(place) if isinstance(part, str))
        assert f"{key} =" in line, place
