"""L1: the kinds of values that a market file is made of."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Fault(ValueError):
    """A rule that the values of a table break together; `place` leads from it to the wrong one."""

    def __init__(self, reason: str, *place: str | int) -> None:
        super().__init__(reason)
        self.place = place


def written(pattern: str, like: str) -> AfterValidator:
    """Text of that form; the refusal tells what it is like, and spares people the pattern."""
    form = re.compile(pattern, re.ASCII)

    def refuse_other(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"must be {like}, not {text!r}")
        return text

    return AfterValidator(refuse_other)


def unlike(refused: str, reason: str) -> Callable[[str], str]:
    """Refuses one text that has the right form."""

    def refuse(text: str) -> str:
        if text == refused:
            raise ValueError(reason)
        return text

    return refuse


def one_line(text: str) -> str:
    """Refuses what would break a screen, an SMS or a file in two."""
    if not text.isprintable() or text != " ".join(text.split()):
        raise ValueError("must be one line of text, without spaces at its ends")
    return text


def _of_the_market(at: time) -> time:
    if at.tzinfo is not None or at.microsecond:
        raise ValueError("must be a time of the market's day, such as 18:00:00")
    return at


LocalTime = Annotated[time, AfterValidator(_of_the_market)]
Code = Annotated[
    str,
    written(r"[a-z][a-z0-9_]{1,30}", "2 to 31 small letters, digits and _, a letter first"),
]
Minor = Annotated[int, Field(ge=0)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    """A table of a market file: every name known, nothing changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
