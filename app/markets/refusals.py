"""L1: what is wrong with a market file, in one sentence that a person can act on."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from app.markets.places import Place, line_of
from app.markets.tables import Fault, Table

_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")

# By pydantic's names of what it refuses; the facts in braces are its own.
_REASONS = {
    "bool_type": "must be true or false",
    "date_from_datetime_inexact": "must be a day, such as 2026-01-01",
    "date_from_datetime_parsing": "must be a day, such as 2026-01-01",
    "date_parsing": "must be a day, such as 2026-01-01",
    "date_type": "must be a day, such as 2026-01-01",
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "model_type": "must be a table",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text, in quotes",
    "time_parsing": "must be a time of day, such as 18:00:00",
    "time_type": "must be a time of day, such as 18:00:00",
    "finite_number": "must be a number",
    "too_short": "must have at least {min_length} of its kind",
    "tuple_type": "must be a list, in [ ]",
}


def of_syntax(text: str, error: tomllib.TOMLDecodeError) -> str:
    """`LINE: reason` of a text that is no TOML."""
    message = str(error)
    found = _AT_LINE.search(message)
    line = found[1] if found and found[1] else text.count("\n") + 1
    return f"{line}: this is no TOML: {_AT_LINE.sub('', message)}"


def of_values(text: str, error: ValidationError) -> list[str]:
    """`LINE: place: reason` of every fault, from the top.

    Where there are names that nobody knows, only those: what they should have been is missing too.
    A list whose items are refused counts as empty, which is told where there is nothing else.
    """
    errors = error.errors(include_url=False)
    faults = [_fault(one) for one in errors if one["type"] != "too_short"]
    faults = faults or [_fault(one) for one in errors]
    unknown = [fault for fault in faults if fault[0]]
    placed = [(line_of(text, place), place, reason) for _, place, reason in unknown or faults]
    return [of_place(*one) for one in sorted(placed, key=lambda one: one[0])]


def of_place(line: int, place: Place, reason: str) -> str:
    """The place by its names alone: which of several tables it is, the line says."""
    names = ".".join(part for part in place if isinstance(part, str))
    return f"{line}: {names}: {reason}" if names else f"{line}: {reason}"


def _fault(error: Any) -> tuple[bool, Place, str]:
    """Whether a name is unknown, the place and the reason of one of pydantic's errors."""
    kind, place, facts = error["type"], tuple(error["loc"]), error.get("ctx", {})
    if place and place[-1] == "[key]":  # a name that is chosen freely, or from a list
        place = place[:-1]
    if kind == "extra_forbidden":
        return True, place, f"there is no such name here{_perhaps(str(place[-1]))}"
    if kind == "value_error":
        wrong = facts["error"]
        return False, (*place, *(wrong.place if isinstance(wrong, Fault) else ())), str(wrong)
    reason = _REASONS.get(kind)
    return False, place, reason.format_map(facts) if reason else error["msg"]


def _perhaps(name: str) -> str:
    close = difflib.get_close_matches(name, set(_names(Table)), n=1)
    return f"; perhaps {close[0]}" if close else ""


def _names(table: type[Table]) -> Iterator[str]:
    """Every name of every table of a market file."""
    for one in table.__subclasses__():
        yield from (field.alias or name for name, field in one.model_fields.items())
        yield from _names(one)
