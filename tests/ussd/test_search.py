"""Lists that are searched by first letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text.width import fits
from app.ussd.menubook import MenuBook
from app.ussd.states import End, Hop, Item, Pick
from tests.ussd.phone import AT, Bench, Phone

SCHOOLS = [
    "Alliance Girls", "Baraka Academy", "Bidii Primary", "City Primary", "Daraja School",
    "Elimu Academy", "Furaha Nursery", "Garissa Girls", "Heshima School", "Imani Primary",
    "Jamhuri High", "Kilimo College", "Lenana School", "Maisha Academy", "Ñandi Hills",
]  # fmt: skip
TEXTS = {
    "en": {
        "menus.l.title": "Which school?",
        "menus.l.line": "{school}",
        "menus.l.chosen": "You chose {school}",
        "menus.l.none": "Nothing",
    }
}
TEXTS["sw"] = TEXTS["en"]
HINT = "Or type first letters."


def schools(hop: Hop[Any]) -> list[Item]:
    return [Item(name, {"school": name}) for name in hop.services]


def choose(hop: Hop[Any], school: str) -> str:
    hop.data["school"] = school
    return "chosen"


def towns(hop: Hop[Any]) -> list[Item]:
    return [Item(town, {"school": town}) for town in ("Nairobi", "Garissa")]


def headings(version: str) -> MenuBook[Any]:
    """A list of two headings; letters look among what stands below them."""
    made = book(version)
    listed = made.states["list"]
    assert isinstance(listed, Pick)
    states = [replace(listed, items=towns, among=schools), *list(made.states.values())[1:]]
    return MenuBook(version=version, start="list", home="list", states=states, who=lambda _: None)


def book(version: str) -> MenuBook[Any]:
    return MenuBook(
        version=version,
        start="list",
        home="list",
        states=(
            Pick(
                "list",
                text="menus.l.title",
                item="menus.l.line",
                items=schools,
                accept=choose,
                goes=("chosen",),
                empty="none",
                search=True,
            ),
            End("chosen", text="menus.l.chosen", facts=lambda hop: {"school": hop.data["school"]}),
            End("none", text="menus.l.none"),
        ),
        who=lambda _: None,
    )


@pytest.fixture
def phone(session_redis_url: str) -> Phone:
    return at(session_redis_url, list(SCHOOLS))


def at(redis_url: str, names: list[str]) -> Phone:
    return Bench(redis_url, played=names, book=book, texts=TEXTS).phone()


def test_a_long_list_says_that_it_can_be_searched(phone: Phone) -> None:
    assert phone.dial().startswith(f"Which school?\n{HINT}\n1 Alliance Girls\n")
    assert phone.screen.text.endswith("98 More")


def test_a_short_list_does_not(session_redis_url: str) -> None:
    phone = at(session_redis_url, SCHOOLS[:3])
    assert phone.dial() == "Which school?\n1 Alliance Girls\n2 Baraka Academy\n3 Bidii Primary"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("ba", ["Baraka Academy"]),
        ("b", ["Baraka Academy", "Bidii Primary"]),
        ("PRI", ["Bidii Primary", "City Primary", "Imani Primary"]),
        (" girls ", ["Alliance Girls", "Garissa Girls"]),
        ("city pri", ["City Primary"]),
        ("ñan", ["Ñandi Hills"]),
    ],
)
def test_letters_keep_the_lines_with_a_word_that_begins_so(
    phone: Phone, typed: str, shown: list[str]
) -> None:
    phone.dial()
    lines = [f"{number} {name}" for number, name in enumerate(shown, 1)]
    assert phone.reply(typed) == "\n".join(["Which school?", *lines])
    assert phone.reply(str(len(shown))) == f"You chose {shown[-1]}"


def test_nothing_begins_so(phone: Phone) -> None:
    phone.dial()
    assert phone.reply("zz").startswith("Nothing begins with that. Choose from the list.\n")
    assert "1 Alliance Girls" in phone.screen.text
    phone.reply("zz")
    assert "Too many tries" in phone.reply("zz")
    assert not phone.screen.open, "the third wrong try ends the session"


def test_back_shows_the_whole_list_again(phone: Phone) -> None:
    phone.dial()
    phone.reply("b")
    assert phone.reply("0").startswith(f"Which school?\n{HINT}\n1 Alliance Girls")


def test_a_number_means_the_line_on_the_screen_when_the_list_has_changed(phone: Phone) -> None:
    phone.dial()
    phone.reply("girls")
    phone.bench.played.remove("Alliance Girls")
    phone.bench.played.insert(0, "Zawadi Girls")
    assert phone.reply("2") == "You chose Garissa Girls"


def test_letters_look_among_what_stands_below_the_headings(session_redis_url: str) -> None:
    bench = Bench(session_redis_url, played=list(SCHOOLS), book=headings, texts=TEXTS)
    phone = bench.phone()
    shown = f"Which school?\n{HINT}\n1 Nairobi\n2 Garissa"
    assert phone.dial() == shown, "it says so though it is short"
    assert phone.reply("girls") == f"Which school?\n{HINT}\n1 Alliance Girls\n2 Garissa Girls"
    assert phone.reply("nairobi").startswith("Nothing begins with that."), "it is but a heading"
    assert phone.reply("0") == shown
    phone.reply("girls")
    assert phone.reply("1") == "You chose Alliance Girls"
    phone.dial()
    assert phone.reply("2") == "You chose Garissa"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text("abcdefgh ", min_size=1, max_size=18).filter(str.strip),
        min_size=1,
        max_size=40,
        unique=True,
    ),
    st.text("abcdefgh", min_size=1, max_size=3),
)
def test_any_list_any_letters(session_redis_url: str, names: list[str], typed: str) -> None:
    """Every line found begins a word so, none is missed, and every page fits."""
    phone = at(session_redis_url, names)
    phone.dial()
    expected = [name for name in names if f" {typed}" in f" {name}"]
    if phone.reply(typed).endswith("98 More") and not expected:
        phone.reply("98")  # the whole list, without the refusal
    found, page = [], phone.screen.text
    while True:
        assert fits(page, AT.septets, AT.ucs2_units)
        *lines, keys = page.splitlines() if "98 More" in page else [*page.splitlines(), ""]
        found += [
            name.strip()
            for number, _, name in map(cut, lines)
            if number.isdigit() and number != "0"
        ]
        if not keys:
            break
        page = phone.reply("98")
    if expected:
        assert found == [name.strip() for name in expected]
    else:
        assert found == [name.strip() for name in names], "the whole list"


def cut(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


def test_a_hop_reads_a_list_once(session_redis_url: str) -> None:
    class Counted(list[str]):
        reads = 0

        def __iter__(self) -> Iterator[str]:
            self.reads += 1
            return super().__iter__()

    names = Counted(SCHOOLS)
    phone = at(session_redis_url, names)
    for count, act in enumerate(
        (phone.dial, lambda: phone.reply("98"), lambda: phone.reply("0")), 1
    ):
        act()
        assert names.reads == count
