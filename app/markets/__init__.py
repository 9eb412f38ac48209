"""L1: one TOML file a market. Names, bands, percentages, limits and billers are data.

`model.py` says what a market file may hold, with `rules.py` (people, agents) and `tariffs.py`;
`demo.toml` is the market of `make run`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from app.markets.model import Biller, Market, Product

__all__ = ["Biller", "Market", "MarketError", "Product", "load"]
FOLDER = Path(__file__).parent


class MarketError(ValueError):
    """A market file that cannot be used; the text names the file, the place and the reason."""


def load(name_or_path: str) -> Market:
    """The market of that name in this folder, or of that path. Raises MarketError."""
    named = FOLDER / f"{name_or_path}.toml"
    path = named if named.exists() else Path(name_or_path)
    try:
        with path.open("rb") as file:
            return Market.model_validate(tomllib.load(file))
    except OSError as error:
        raise MarketError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise MarketError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MarketError(f"{path}: {place}: {first['msg']}") from error
