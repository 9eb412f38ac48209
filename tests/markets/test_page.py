"""`docs/markets.md`, tried as written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from app import markets
from app.factory import build_runtime
from app.markets import Market, MarketError
from app.markets.tariffs import Operation
from app.settings import Settings
from app.sms import receipts
from app.ussd.check import check
from tests.world import ROOT

PAGE = (ROOT / "docs" / "markets.md").read_text()
NAME = "uganda.toml"


@pytest.fixture
def uganda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of the demo with the lines of the page instead of its own."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    head, currency = block.split("[currency]\n")
    text = (markets.FOLDER / "demo.toml").read_text()
    for line in head.split("\n"):
        text = put(text, line) if line else text
    before, begins, after = text.partition("[currency]\n")
    for line in currency.strip().split("\n"):
        after = put(after, line)
    (tmp_path / NAME).write_text(before + begins + after)
    monkeypatch.chdir(tmp_path)
    return tmp_path / NAME


def put(text: str, line: str) -> str:
    """The line instead of the first that gives the same name a value."""
    key = line.partition(" = ")[0]
    changed, count = re.subn(rf"^{key} = .*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    assert count == 1, key
    return changed


@pytest.mark.usefixtures("uganda")
def test_the_market_of_the_page_has_no_problems() -> None:
    parts = build_runtime(Settings(kibanda_market=NAME))
    assert parts.market.currency.format(5_000) == "UGX 5,000"
    books = [*parts.engine.books.values()]
    for book in books:
        assert check(book, parts.market, parts.catalogues, besides=books) == []
    assert list(receipts.faults(parts.catalogues, parts.market)) == []
    parts.db.dispose()


def test_its_mistake_is_refused_as_the_page_says(uganda: Path) -> None:
    uganda.write_text(uganda.read_text().replace("dormant_days", "dorman_days"))
    with pytest.raises(MarketError) as refusal:
        markets.load(NAME)
    said = re.escape(re.sub(r":\d+:", ":LINE:", str(refusal.value))).replace("LINE", r"\d+")
    assert re.search(f"^    {said}$", PAGE, re.MULTILINE)


def test_the_page_names_every_table_and_operation() -> None:
    tables = {key for key, value in markets.load("demo").model_dump().items() if nested(value)}
    tables -= {"currency_table", "retired_shortcuts"}
    assert {name for name in tables if not re.search(rf"\[{name}[.\]]", PAGE)} == set()
    assert {name for name in get_args(Operation) if f"`{name}`" not in PAGE} == set()


def nested(value: object) -> bool:
    """Whether it is a table, or a list of tables."""
    return isinstance(value, dict) or (
        isinstance(value, tuple) and any(isinstance(one, dict) for one in value)
    )


def test_the_other_market_shown_is_there() -> None:
    (name,) = re.findall(r"KIBANDA_MARKET=(\w+) make run", PAGE)
    assert isinstance(markets.load(name), Market)
