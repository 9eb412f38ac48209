"""The drawing of a book: complete, the same each time, and nothing in it that Mermaid misreads."""

from __future__ import annotations

import re

import pytest

from app.factory import create_app
from app.settings import Settings
from app.text import Catalogues
from app.ussd.graph import SHAPES, mermaid
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.states import Caller, End, Hop, Menu, Option, Resume, Secret, State, Step, targets
from tests.cli.office import said
from tests.ussd import book as played

# What mermaid 11 draws without being told otherwise (`maxTextSize`, `maxEdges`).
CHARACTERS_MOST, ARROWS_MOST = 50_000, 500
BOX = re.compile(
    r"(s_\w+)(\[/|\[\[|\[|\{\{|\{|\(\[|\(|>)\"([^\"]+)\"(/\]|\]\]|\]|\}\}|\}|\]\)|\))\Z"
)
ARROW = re.compile(r"(\w+)(?:\(\(\"[^\"]+\"\)\))? (-->|-\.->)(?:\|\"([^\"]*)\"\|)? (\w+)\Z")
OTHER = re.compile(r"flowchart LR|subgraph g_\w+\[\"[^\"]+\"\]|end")


def who(_: Hop[None]) -> Caller | None:
    return None


def catalogues(**sentences: str) -> Catalogues:
    made = Catalogues(["en", "sw"])
    made._sentences = {language: dict(sentences) for language in made.languages}
    return made


def small(*states: State[None], start: str = "main") -> MenuBook[None]:
    return MenuBook[None](version="g", start=start, home=start, states=states, who=who)


def arrows(drawn: str) -> list[tuple[str, str, str, str]]:
    """Source, arrow, label and target of each arrow."""
    lines = (line.strip() for line in drawn.splitlines())
    return [(m[1], m[2], m[3] or "", m[4]) for m in map(ARROW.match, lines) if m]


def boxes(drawn: str) -> dict[str, tuple[str, str]]:
    """Left and right edge of each state's box, by the state's name."""
    lines = (line.strip() for line in drawn.splitlines())
    return {m[3]: (m[2], m[4]) for m in map(BOX.match, lines) if m}


@pytest.fixture(scope="module")
def drawn() -> str:
    return mermaid(played.book(), played.catalogues())


def test_every_state_has_the_box_of_its_kind(drawn: str) -> None:
    states = played.book().states
    assert boxes(drawn) == {name: SHAPES[type(state)] for name, state in states.items()}
    assert len(set(SHAPES.values())) == len(SHAPES)


def test_every_way_is_drawn_once(drawn: str) -> None:
    """Those of the book, one from the dial, one for each entry of a lost session."""
    book = played.book()
    ways = {(name, target) for name, state in book.states.items() for target in set(targets(state))}
    named = {f"s_{name.replace('.', '__')}": name for name in book.states}
    inner = [(named[a], named[b]) for a, _, _, b in arrows(drawn) if a in named]
    assert set(inner) == ways
    assert len(inner) == len(ways)
    outer = [(a, named[b]) for a, _, _, b in arrows(drawn) if a not in named]
    assert outer == [("e_dial", "enter"), ("e_lost", "outcome")]


def test_it_is_drawn_the_same_each_time(drawn: str) -> None:
    assert mermaid(played.book(), played.catalogues()) == drawn


def test_options_carry_key_and_english_label(drawn: str) -> None:
    labels = {target: label for source, _, label, target in arrows(drawn) if source == "s_main"}
    assert labels["s_amount"] == "1 Pay"
    assert labels["s_terms"] == "3 Terms, 7 Hidden"
    assert labels["s_balance__pin"] == "4 Balance"


def test_a_subject_is_a_frame(drawn: str) -> None:
    frame = re.search(r'subgraph g_balance\["balance"\]\n(.*?)\n    end', drawn, re.DOTALL)
    assert frame
    assert set(boxes(frame[1])) == {"balance.pin", "balance"}
    assert drawn.count("subgraph") == 1


def coded() -> MenuBook[None]:
    states: tuple[State[None], ...] = (
        Step("main", lambda _: "menu", ("menu", "resume")),
        Resume("resume", "text", "on", "again", again="main"),
        Menu("menu", "text", (Option("label", "pin"), Option("label", "end"))),
        Secret("pin", "text", lambda _, __: "end", ("end",), resume="menu"),
        End("end", "text"),
    )
    return small(*states)


WORDS = {"text": "Text", "on": "Go on", "again": "Start again", "label": "Pay {amount} now"}


def test_who_was_cut_off_goes_on_along_a_dotted_arrow() -> None:
    found = arrows(mermaid(coded(), catalogues(**WORDS)))
    assert ("s_pin", "-.->", "cut off", "s_menu") in found
    assert [arrow for _, arrow, _, _ in found].count("-.->") == 1
    assert ("s_resume", "-->", "2 Start again", "s_main") in found


def test_facts_of_a_label_are_left_open() -> None:
    found = arrows(mermaid(coded(), catalogues(**WORDS)))
    assert ("s_menu", "-->", "1 Pay … now", "s_pin") in found


def test_codes_come_in_by_themselves() -> None:
    whole = played.book()
    made = MenuBook[played.Played](
        version="g",
        start=whole.start,
        home="main",
        states=whole.states.values(),
        who=whole.who,
        shortcuts=[Shortcut("51", "main", ("amount",))],
        bad_shortcut="differ",
    )
    drawn = mermaid(made, played.catalogues())
    entries = [line.strip() for line in drawn.splitlines() if line.strip().startswith("e_")]
    assert entries == [
        'e_dial(("dial")) --> s_enter',
        'e_home(("00")) --> s_main',
        'e_code_51(("*51*…#35;")) --> s_amount',
        'e_code_bad(("unfinished code")) --> s_differ',
    ]


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ('Say "yes"', "Say #34;yes#34;"),
        ("Dial *384*1#", "Dial *384*1#35;"),
        ("a < b & c > d", "a #60; b #38; c #62; d"),
        ("`code`; end", "#96;code#96;#59; end"),
        ("two\nlines", "two lines"),
        ("back\\slash", "back#92;slash"),
    ],
)
def test_what_mermaid_would_read_is_written_as_its_code(label: str, written: str) -> None:
    drawn = mermaid(coded(), catalogues(**WORDS | {"label": label}))
    assert ("s_menu", "-->", f"1 {written}", "s_pin") in arrows(drawn)


def test_names_that_look_alike_are_told_apart() -> None:
    names = ("end", "a.b", "a-b", "a b", "é")
    states = [End[None](name, "text") for name in names]
    menu = Menu[None]("main", "text", tuple(Option("on", name) for name in names))
    drawn = mermaid(small(menu, *states), catalogues(**WORDS))
    assert len({target for *_, target in arrows(drawn)}) == len(names) + 1  # and main, by the dial
    assert "s_end" in {target for *_, target in arrows(drawn)}


@pytest.mark.parametrize(
    ("start", "hops", "names"),
    [
        ("pin", 0, {"pin"}),
        ("pin", 1, {"pin", "wait"}),
        ("pin", None, {"pin", "wait", "paid", "late"}),
        ("ask_biller", 1, {"ask_biller", "biller", "crowded"}),
        (None, 1, {"enter", "main"}),
    ],
)
def test_a_part_of_the_book(start: str | None, hops: int | None, names: set[str]) -> None:
    part = mermaid(played.book(), played.catalogues(), start=start, hops=hops)
    assert set(boxes(part)) == names
    ids = {f"s_{name.replace('.', '__')}" for name in names}
    inner = [one for one in arrows(part) if not one[0].startswith("e_")]
    assert all(source in ids and target in ids for source, _, _, target in inner)


def test_without_english_the_markets_first_language_is_drawn() -> None:
    made = Catalogues(["sw"])
    made._sentences = {"sw": WORDS | {"on": "Endelea", "again": "Anza upya"}}
    assert ("s_resume", "-->", "2 Anza upya", "s_main") in arrows(mermaid(coded(), made))


def test_the_products_menus_are_lines_that_mermaid_knows() -> None:
    """Each line is a box, an arrow or a frame, and the whole is small enough to be shown."""
    drawn = said(create_app(Settings()).test_cli_runner().invoke(args=["ussd", "graph"]))
    for line in map(str.strip, drawn.splitlines()):
        assert BOX.match(line) or ARROW.match(line) or OTHER.fullmatch(line), line
    assert len(drawn) < CHARACTERS_MOST
    assert len(arrows(drawn)) < ARROWS_MOST
    ids = {line.strip().split('"')[0].rstrip("[({>/") for line in drawn.splitlines() if '"' in line}
    assert {target for *_, target in arrows(drawn)} <= ids


def test_the_command_draws_a_part_and_knows_no_other_state() -> None:
    runner = create_app(Settings()).test_cli_runner()
    part = said(runner.invoke(args=["ussd", "graph", "--start", "account", "--hops", "0"]))
    assert part == 'flowchart LR\n    s_account["account"]\n'
    lost = said(runner.invoke(args=["ussd", "graph", "--start", "acount"]), code=2)
    assert "no state is named 'acount'" in lost
