"""L1: one TOML file a market. Names, bands, percentages, limits and billers are data.

`model.py` says what a market file may hold, with `rules.py` (people, agents), `billers.py` and
`tariffs.py`;
`demo.toml` is the market of `make run`, `demo_id.toml` another country's. What is wrong with a file
is told by its line: `places.py` finds it, `refusals.py` says why.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.markets import refusals
from app.markets.billers import Biller, Product
from app.markets.model import Market
from app.markets.places import line_of

__all__ = ["Biller", "Market", "MarketError", "Product", "load"]
FOLDER = Path(__file__).parent


class MarketError(ValueError):
    """A market file that cannot be used; the text names the file, the line and the reason.

    `problems` are all that were found, each such a text, in the order of the file.
    """

    def __init__(self, first: str, *others: str) -> None:
        super().__init__(first)
        self.problems = (first, *others)


def load(name_or_path: str, known: Mapping[str, Collection[str]] | None = None) -> Market:
    """The market of that name in this folder, or of that path. Raises MarketError.

    `known`: what exists of the things that a market lists, such as its gateways and languages.
    """
    path = _path(name_or_path)
    text = _text(path)
    told, written = _told(path, text)
    _refuse_unknown(path, text, told, known or {})
    try:
        return Market.model_validate_json(written, strict=True)
    except ValidationError as error:
        raise MarketError(*(f"{path}:{one}" for one in refusals.of_values(text, error))) from error


def _told(path: Path, text: str) -> tuple[dict[str, Any], str]:
    """What a file says, and that as JSON, which pydantic reads strictly: text in quotes is never a
    number. Raises MarketError.
    """
    try:
        told = tomllib.loads(text)
        return told, json.dumps(told, default=str)
    except tomllib.TOMLDecodeError as error:
        raise MarketError(f"{path}:{refusals.of_syntax(text, error)}") from error
    except RecursionError as error:
        raise MarketError(f"{path}: tables or lists are nested too deep in it") from error
    except ValueError as error:  # Python's own bound on the digits of a number
        raise MarketError(f"{path}: a number in it is too long") from error


def _refuse_unknown(
    path: Path, text: str, told: Mapping[str, Any], known: Mapping[str, Collection[str]]
) -> None:
    for key, names in known.items():
        listed = told.get(key)
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str) and name not in names:
                reason = f"there is no {name!r}, only {', '.join(sorted(names))}"
                line = line_of(text, (key, index))
                raise MarketError(f"{path}:{refusals.of_place(line, (key,), reason)}")


def _path(name_or_path: str) -> Path:
    named = FOLDER / f"{name_or_path}.toml"
    path = named if named.exists() else Path(name_or_path)
    if not path.exists():
        names = ", ".join(sorted(one.stem for one in FOLDER.glob("*.toml")))
        raise MarketError(
            f"KIBANDA_MARKET is {name_or_path!r}: no market has this name, only {names}, "
            "and no file is there"
        )
    return path


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise MarketError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise MarketError(f"{path}:{line}: this is no UTF-8 text") from error
