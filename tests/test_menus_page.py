"""docs/menus.md is tried as it is written: its blocks make a menu that is checked and dialled."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from app.cli.demo import DemoPerson, add
from app.factory import build_runtime, create_app
from app.settings import Settings
from app.ussd import states
from app.ussd.problems import REPAIRS
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.cli.office import said
from tests.conftest import PIN
from tests.journeys.transcript import play
from tests.people import fresh_msisdn
from tests.world import ROOT, World

PAGE = (ROOT / "docs" / "menus.md").read_text()
TUTORIAL = PAGE.split("\n## A new menu in ten minutes\n")[1].split("\n## ")[0]
COPIED = ("app", "workers", "sandbox", "migrations", "gunicorn.conf.py", "tests/journeys")
PATH = r"`(?P<path>[^`]+)`"
FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)
EDIT = re.compile(
    rf"(?:Make|In|At the end of)\s{PATH}(?:,\s(?P<how>below|instead of)\s`(?P<line>[^`]+)`)?:\n\n"
    r"```\w+\n(?P<block>.*?)```\n",
    re.DOTALL,
)


def follow(tree: Path) -> list[str]:
    """Do in `tree` what the tutorial says; the blocks that were used."""
    used = []
    for step in EDIT.finditer(TUTORIAL):
        path, block = tree / step["path"], step["block"]
        used.append(block)
        if step[0].startswith("Make"):
            assert not path.exists(), path
            path.write_text(block)
        elif step[0].startswith("At"):
            path.write_text(path.read_text() + block)
        else:
            path.write_text(_edited(path.read_text(), step["how"], step["line"], block))
    return used


def _edited(text: str, how: str, line: str, block: str) -> str:
    lines = text.splitlines(keepends=True)
    (at,) = [number for number, one in enumerate(lines) if one.strip() == line]
    lines[at : at + 1] = [lines[at], block] if how == "below" else [block]
    return "".join(lines)


def copied(tree: Path) -> Path:
    """What a running system needs of the project, and its transcripts."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def followed(
    tmp_path_factory: pytest.TempPathFactory, servers: Servers, own_name: str, redis_url: str
) -> Iterator[World]:
    """A world of its own, whose tree is a copy in which the tutorial was followed."""
    tree = copied(tmp_path_factory.mktemp("tree"))
    follow(tree)
    name = f"kibanda_{own_name}_menus"
    servers.postgres.create_database(name, template=DATABASE)
    application, owner = servers.url(APPLICATION, name), servers.url(OWNER, name)
    redis = redis_url.replace("db=0", "db=6")
    world = World(tmp_path_factory.mktemp("followed"), application, owner, redis, root=tree)
    yield world
    world.stop()
    servers.postgres.drop_database(name)


def command(number: int) -> list[str]:
    """The arguments of the tutorial's commands, in order."""
    lines = [block.strip() for kind, block in FENCE.findall(TUTORIAL) if kind == "sh"]
    assert len(lines) == 2, "every command of the page is tried here"
    return lines[number].removeprefix(".venv/bin/flask --app app.factory ").split()


def test_every_block_of_the_tutorial_is_tried(tmp_path: Path) -> None:
    used = follow(copied(tmp_path))
    tried = {"sh", "mermaid"}  # by the tests below
    assert used == [block for kind, block in FENCE.findall(TUTORIAL) if kind not in tried]


def test_every_language_has_its_sentences_in_the_tutorial() -> None:
    languages = {path.name for path in (ROOT / "app" / "text").iterdir() if path.is_dir()}
    written = {found[1] for found in re.finditer(r"`app/text/(\w+)/menus.toml`:", TUTORIAL)}
    assert written == languages - {"__pycache__"}


def test_the_menu_of_the_tutorial_passes_the_check(followed: World) -> None:
    done = followed.flask(*command(0))
    assert done.stdout.endswith(", 0 problems\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_the_graph_of_the_tutorial_is_as_printed(followed: World) -> None:
    drawn = followed.flask(*command(1)).stdout
    assert [drawn] == [block for kind, block in FENCE.findall(TUTORIAL) if kind == "mermaid"]


def test_the_transcript_of_the_tutorial_is_played(followed: World) -> None:
    followed.start()
    followed.wait_ready()
    runtime = build_runtime(Settings(database_url=followed.database_url))

    def add_person(language: str, balance_minor: int) -> str:
        person = DemoPerson(fresh_msisdn(), "Amina Wanjiru", language, "customer", balance_minor)
        add(runtime.db, runtime.pins, runtime.market, person, datetime.now(UTC), PIN)
        return person.msisdn

    (path,) = re.findall(r"`(tests/journeys/\w+\.txt)`:", TUTORIAL)
    try:
        play(followed, followed.root / path, add_person)
    finally:
        runtime.db.dispose()


def test_a_sentence_that_was_left_out_is_found(followed: World) -> None:
    """`Leave out a sentence and see.`"""
    sentences = followed.root / "app" / "text" / "sw" / "menus.toml"
    whole = sentences.read_text()
    sentences.write_text(whole.replace('slow = "{product} haijibu', 'slo = "{product} haijibu'))
    try:
        done = followed.flask(*command(0))
    finally:
        sentences.write_text(whole)
    assert done.returncode == 1
    assert "meter.slow: no_sentence: menus.meter.slow in sw\n" in done.stdout
    assert f"no_sentence: {REPAIRS['no_sentence']}\n" in done.stdout


def test_the_table_of_problems_is_that_of_the_code() -> None:
    rows = [f"| `{kind}` | {repair} |" for kind, repair in REPAIRS.items()]
    assert "\n".join(["| kind | how to repair it |", "|---|---|", *rows, ""]) in PAGE


def test_the_table_of_kinds_has_every_kind() -> None:
    kinds = [getattr(kind, "__origin__", kind).__name__ for kind in get_args(states.State)]
    table = PAGE.split("\n## Kinds of states\n")[1].split("\n- ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == kinds


def test_the_page_of_the_graph_is_the_graph(tmp_path: Path) -> None:
    """The command of the page, on a copy, changes nothing."""
    (line,) = re.findall(r"flask --app app.factory (ussd graph --write .*)", PAGE)
    *arguments, page = line.split()
    copy = tmp_path / "page.md"
    copy.write_text((ROOT / page).read_text())
    runner = create_app(Settings()).test_cli_runner()
    assert said(runner.invoke(args=[*arguments, str(copy)])) == ""
    assert copy.read_text() == (ROOT / page).read_text(), f"run: flask --app app.factory {line}"


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Not a graph\n")
    runner = create_app(Settings()).test_cli_runner()
    refused = said(runner.invoke(args=["ussd", "graph", "--write", str(page)]), code=1)
    assert refused.startswith("Error: the page needs the lines <!-- graph begins -->")
    assert page.read_text() == "# Not a graph\n"
