"""L1: the file in which a biller tells what it sold in a day, as data.

[billers.stima.report]                       [billers.maji.report]
format = "csv"                               format = "fixed"
delimiter = ";"                              header_lines = 1
amount = "major"                             amount = "minor"
day_format = "%d/%m/%Y"                      day_format = "%Y%m%d"
sold = ["OK"]                                sold = ["S"]
reversed = ["REV"]                           reversed = ["R"]
ignored = ["PENDING"]                        positions.reference = { start = 2, width = 20 }
columns.reference = "ref"                    positions.amount = { start = 22, width = 12 }
columns.amount = "value"                     positions.day = { start = 34, width = 8 }
columns.day = "date"                         positions.status = { start = 42, width = 1 }
columns.status = "state"                     trailer_positions.mark = "T"
trailer = { mark = "SUM", count = 2 }        trailer_positions.count = { start = 2, width = 9 }
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.markets.tables import Fault, Table, written

_DAY_PARTS = re.compile(r"(?:%[YmdyHMS]|[^%A-Za-z0-9]|T)+", re.ASCII)
Word = Annotated[str, Field(min_length=1, max_length=40)]


class Span(Table):
    """Where a value stands in a line; the first character is 1."""

    start: int = Field(ge=1, le=4000)
    width: int = Field(ge=1, le=200)


class Columns(Table):
    """Heads of the columns of a CSV; without a status every line is a sale."""

    reference: Word
    amount: Word
    day: Word
    status: Word | None = None


class Positions(Table):
    """The same of a file of fixed widths."""

    reference: Span
    amount: Span
    day: Span
    status: Span | None = None


class Trailer(Table):
    """The last line of a CSV begins with `mark`; `count` and `total` are the numbers of its cells.

    They are of all lines of the file, whatever their status.
    """

    mark: Word
    count: int | None = Field(None, ge=2, le=100)
    total: int | None = Field(None, ge=2, le=100)


class TrailerPositions(Table):
    """The same of a file of fixed widths."""

    mark: Word
    count: Span | None = None
    total: Span | None = None


class Report(Table):
    """How to read a biller's daily file.

    `sold`, `reversed` and `ignored` are all the words that its status may have; a file with another
    one is refused. Days are the market's own. `midnight_minutes`: how far a sale near midnight may
    stand on the neighbouring day.
    """

    format: Literal["csv", "fixed"]
    amount: Literal["major", "minor"]
    decimal_mark: Literal[".", ","] = "."
    day_format: str
    midnight_minutes: int = Field(30, ge=0, le=720)
    sold: tuple[Word, ...] = ()
    reversed: tuple[Word, ...] = ()
    ignored: tuple[Word, ...] = ()
    delimiter: Annotated[str, written(r"[,;|\t]", "one of , ; | and a tab")] = ","
    columns: Columns | None = None
    trailer: Trailer | None = None
    header_lines: int = Field(0, ge=0, le=20)
    positions: Positions | None = None
    trailer_positions: TrailerPositions | None = None

    @model_validator(mode="after")
    def _of_its_format(self) -> Self:
        is_csv = self.format == "csv"
        if is_csv != (self.columns is not None):
            raise Fault("belongs to the format 'csv', and only to it", "columns")
        if is_csv == (self.positions is not None):
            raise Fault("belongs to the format 'fixed', and only to it", "positions")
        if not is_csv and self.trailer:
            raise Fault("is for 'csv'; 'fixed' has trailer_positions", "trailer")
        if is_csv and (self.trailer_positions or self.header_lines):
            raise Fault("is for 'fixed'; 'csv' has one header and trailer", "trailer_positions")
        return self

    @model_validator(mode="after")
    def _words_say_one_thing(self) -> Self:
        layout = self.columns or self.positions
        words = (*self.sold, *self.reversed, *self.ignored)
        if layout is not None and (layout.status is not None) != bool(self.sold):
            raise Fault("belongs to a status, and a status needs it", "sold")
        if words and not self.sold:
            raise Fault("without a status no line is reversed or ignored", "sold")
        if len(set(words)) < len(words):
            raise Fault("a word stands there twice", "sold")
        return self

    @model_validator(mode="after")
    def _has_a_day(self) -> Self:
        form = self.day_format
        has_all = "%d" in form and "%m" in form and ("%Y" in form or "%y" in form)
        if not has_all or not _DAY_PARTS.fullmatch(form):
            raise Fault(
                "must be made of %Y %m %d, and %H %M %S where there is a time", "day_format"
            )
        return self
