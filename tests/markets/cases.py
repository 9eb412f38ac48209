"""What a case of a wrong market file is made of."""

from __future__ import annotations

from typing import NamedTuple

from app import markets

DEMO = (markets.FOLDER / "demo.toml").read_text()


class Case(NamedTuple):
    """`old` becomes `new`; the line that is named begins with `line`, by default that of `new`."""

    old: str
    new: str
    reason: str
    line: str | None = None
