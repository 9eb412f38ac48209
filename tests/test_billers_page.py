"""docs/billers.md is tried as it is written: its blocks make a biller that is checked and paid."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from app import markets
from app.factory import build_runtime, create_app
from app.markets.billers import CATEGORIES, Biller, Product
from app.markets.customer_numbers import CustomerNumber
from app.markets.families import FAMILIES, Policy
from app.markets.tables import Table
from app.settings import Settings
from app.ussd.check import check
from launcher.postgres import DATABASE
from launcher.servers import Servers
from tests.billers import test_every_market
from tests.cli.office import refusal, said
from tests.world import ROOT

PAGE = (ROOT / "docs" / "billers.md").read_text()
TUTORIAL = PAGE.split("\n## A new biller in ten minutes\n")[1].split("\n## ")[0]
FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)


def blocks(kind: str) -> list[str]:
    """What stands in the tutorial's blocks of that kind, in order."""
    return [block for found, block in FENCE.findall(TUTORIAL) if found == kind]


def command(number: int) -> list[str]:
    """The arguments of one of the tutorial's commands."""
    return blocks("sh")[number].strip().removeprefix(".venv/bin/flask --app app.factory ").split()


def masked(text: str) -> str:
    """Without what differs from day to day: lines, months, seconds."""
    text = re.sub(r"mine\.toml:\d+:", "mine.toml:LINE:", text)
    return re.sub(r"\d\.\d\d s\b", "0.02 s", re.sub(r"\d\d/20\d\d", "MM/YYYY", text))


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the tutorial, in the current folder."""
    copy, source, name = blocks("sh")[0].split()
    assert copy == "cp"
    (block,) = blocks("toml")
    (tmp_path / name).write_text((ROOT / source).read_text() + block)
    monkeypatch.chdir(tmp_path)
    return tmp_path / name


def checked(*arguments: str, code: int = 0) -> list[str]:
    runner = create_app(Settings()).test_cli_runner()
    return said(runner.invoke(args=arguments), code=code).splitlines()


@pytest.mark.usefixtures("followed")
def test_the_file_of_the_tutorial_has_no_problems() -> None:
    told = checked(*command(1))
    assert told[-1] == blocks("text")[0].strip()
    assert all(line.endswith(": 0 problems") for line in told)
    parts = build_runtime(Settings(kibanda_market="mine.toml"))
    books = [*parts.engine.books.values()]
    for book in books:
        assert check(book, parts.market, parts.catalogues, besides=books) == []
    parts.db.dispose()


def test_its_mistake_is_refused_as_the_page_says(followed: Path) -> None:
    (code,) = re.findall(r"^Write `(.*?)` into `refused_codes` and check", TUTORIAL, re.MULTILINE)
    head, safi, rest = followed.read_text().partition("[billers.safi]")
    followed.write_text(head + safi + rest.replace('["37"]', f'["37", {code}]', 1))
    told = checked(*command(1), code=1)
    assert [masked(line) for line in told] == [blocks("text")[1].strip()]


@pytest.fixture
def database(servers: Servers, own_name: str) -> Iterator[str]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    yield name
    servers.postgres.drop_database(name)


def test_it_is_tried_and_paid_at_the_sandbox(
    followed: Path, servers: Servers, database: str, tmp_path: Path
) -> None:
    """Steps 4 and 5, of this biller alone."""
    paid_in = test_every_market.paid_in
    with paid_in(servers, str(followed), database, tmp_path / "sandbox", only="safi") as country:
        runner = create_app(country.settings).test_cli_runner()
        told = said(runner.invoke(args=command(2)))
        assert masked(told) == masked(blocks("text")[2])
        nothing, nobody = re.findall(r"`(\d{8})` (?:owes nothing|nobody knows)", TUTORIAL)
        for number, reason in ((nothing, "nothing_owed"), (nobody, "customer_unknown")):
            refusal(runner.invoke(args=["billers", "try", "safi", number]), reason)
        test_every_market.judge(country, "safi", country.market.billers["safi"].products[0])


def test_the_rest_of_the_tutorial_is_true(followed: Path) -> None:
    market = markets.load(str(followed))
    (dialled,) = re.findall(r"dial\s+`(.*?)`", TUTORIAL)
    shortcut = market.product("safi_bill")[2].shortcut
    assert dialled == f"{market.service_codes[0].removesuffix('#')}*{shortcut}*20000015#"
    variable, test = re.findall(r"^(\w+)=mine.toml .* (tests/\S+)$", blocks("sh")[3], re.MULTILINE)[
        0
    ]
    assert f'"{variable}"' in (ROOT / test).read_text()
    (credentials,) = blocks("json")
    assert Settings(biller_credentials=json.loads(credentials)).biller_credentials["safi"].url
    assert len(blocks("sh")) == 4, "every command of the page is tried here"


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    under = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\|(.*)\|$", under, re.MULTILINE)[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in table]


@pytest.mark.parametrize(
    ("heading", "table"),
    [("A biller", Biller), ("A product", Product), ("A customer number", CustomerNumber)],
)
def test_every_key_has_its_row(heading: str, table: type[Table]) -> None:
    named = [name for row in rows(heading) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(table.model_fields)


def test_the_table_of_families_is_that_of_the_code() -> None:
    told = [row[:4] for row in rows("Families and their traps")]
    assert told == [
        [
            f"`{name}`",
            ", ".join(traits.policies),
            ", ".join(traits.pays),
            "yes" if traits.sells_tokens else "no",
        ]
        for name, traits in FAMILIES.items()
    ]


def test_every_policy_category_and_family_is_told() -> None:
    assert [row[0].strip("`") for row in rows("When a biller is silent")] == [*get_args(Policy)]
    assert all(f"`{category}`" in PAGE for category in CATEGORIES)
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([a-z-]+)\)", PAGE)) <= anchors
