"""Long screens cut into pages: tables of edges, and what holds for every text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text import Catalogues
from app.text.width import fits, septets, ucs2_units
from app.ussd.paging import Limits, Page, paginate
from app.ussd.screens import footer as screen_footer

AT = Limits(septets=182, ucs2_units=80)
TINY = Limits(septets=20, ucs2_units=12)
AMHARIC = Catalogues(["am"])


def footer(page: int, more: bool) -> str:
    return " ".join(["0 Back"] * (page > 0) + ["98 More"] * more)


def none(page: int, more: bool) -> str:
    return ""


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("", 0),
        ("a" * 182, 182),
        ("Åäö\n@", 5),
        ("[x]", 5),  # extension characters cost two
        ("€", 2),
    ],
)
def test_septets(text: str, wide: int) -> None:
    assert septets(text) == wide


@pytest.mark.parametrize(("text", "units"), [("ţ", 1), ("ţ😀", 3)])
def test_ucs2_units(text: str, units: int) -> None:
    assert ucs2_units(text) == units


def test_exactly_one_message_is_one_page() -> None:
    assert paginate("a" * 182, (), none, AT) == [Page("a" * 182, ())]


def test_one_septet_more_is_two_pages() -> None:
    pages = paginate("a" * 182 + " b", (), none, AT)
    assert [page.text for page in pages] == ["a" * 182, "b"]


def test_one_character_outside_gsm7_makes_it_ucs2() -> None:
    assert len(paginate("a" * 79 + "ţ", (), none, AT)) == 1
    assert len(paginate("a" * 79 + " ţ", (), none, AT)) == 2


def test_the_footer_is_counted() -> None:
    pages = paginate("aaaa bbbb cccc dddd e", (), footer, TINY)
    assert [page.text for page in pages] == ["aaaa bbbb\n98 More", "cccc dddd e\n0 Back"]


def test_rows_stay_whole_and_say_where_they_begin() -> None:
    pages = paginate("List", ("1 first one", "2 second"), footer, TINY)
    assert pages == [
        Page("List\n98 More", ()),
        Page("1\n0 Back 98 More", (0,)),
        Page("first\n0 Back 98 More", ()),
        Page("one\n2 second\n0 Back", (1,)),
    ]
    wide = paginate("List", ("1 first one", "2 second"), none, TINY)
    assert wide == [Page("List\n1 first one", (0,)), Page("2 second", (1,))]


def test_a_word_longer_than_a_page_is_torn() -> None:
    pages = paginate("x" * 45, (), none, TINY)
    assert [page.text for page in pages] == ["x" * 20, "x" * 20, "x" * 5]


def test_line_breaks_inside_a_page_stay() -> None:
    assert (
        paginate("one\ntwo\n\nthree four five", (), none, TINY)[0].text == "one\ntwo\n\nthree four"
    )


def test_a_page_ends_with_a_whole_line_where_it_stays_mostly_full() -> None:
    pages = paginate("one two three\nfour five six", (), none, TINY)
    assert [page.text for page in pages] == ["one two three", "four five six"]


def test_a_page_is_not_left_half_empty_for_a_line_break() -> None:
    pages = paginate("one two\nthree four five", (), none, TINY)
    assert [page.text for page in pages] == ["one two\nthree four", "five"]


def test_a_footer_without_room_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room"):
        paginate("some text here please", (), lambda _page, _more: "f" * 20, TINY)


def test_an_endless_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="pages"):
        paginate("word " * 400, (), footer, TINY)


def test_an_amount_is_never_torn() -> None:
    pages = paginate("aaaa bbbb cccc KES 10.00", (), none, TINY)
    assert [page.text for page in pages] == ["aaaa bbbb cccc", "KES 10.00"]


ETHIOPIC = st.characters(min_codepoint=0x1200, max_codepoint=0x137C, categories=["Lo", "Po"])
GATEWAYS = st.sampled_from([AT, Limits(septets=160, ucs2_units=70)])


@settings(max_examples=150, deadline=None)
@given(
    limits=GATEWAYS,
    words=st.lists(
        st.text(ETHIOPIC, min_size=1, max_size=30) | st.from_regex(r"KES [0-9]{1,9}\Z"),
        min_size=1,
        max_size=60,
    ),
    gaps=st.lists(st.sampled_from([" ", "\n"]), min_size=60, max_size=60),
    options=st.lists(st.text(ETHIOPIC, min_size=1, max_size=25), max_size=9),
    end=st.booleans(),
    back=st.booleans(),
    home=st.booleans(),
)
def test_every_page_of_a_wide_text_fits_with_the_keys_that_it_needs(
    limits: Limits,
    words: list[str],
    gaps: list[str],
    options: list[str],
    end: bool,
    back: bool,
    home: bool,
) -> None:
    """Each page in 80 units, its keys in its last line, nothing of the text lost or moved."""
    head = "".join(word + gap for word, gap in zip(words, gaps, strict=False)).rstrip()
    rows = [] if end else [f"{number} {one}" for number, one in enumerate(options, 1)]
    line = screen_footer(AMHARIC, "am", end=end, back=back, home=home)
    pages = paginate(head, rows, line, limits)
    shown = ""
    for number, page in enumerate(pages):
        assert ucs2_units(page.text) <= limits.ucs2_units
        last = number == len(pages) - 1
        keys = line(number, not last)
        assert ("98" in keys) is not last
        assert ("0 ተመለስ" in keys) is ((back or number > 0) and not (end and last))
        assert ("00 ዋና" in keys) is (home and not end)
        assert page.text.endswith(f"\n{keys}" if keys else "")
        shown += page.text.removesuffix(keys)
    assert "".join(shown.split()) == "".join("".join([head, *rows]).split())
    assert [row for page in pages for row in page.rows] == list(range(len(rows)))
    amounts = [word for word in words if word.startswith("KES ")]
    assert [amount for amount in amounts if amount not in shown] == []


WORDS = st.lists(st.text("abcdeţ€", min_size=1, max_size=12), max_size=30)


@settings(max_examples=150, deadline=None)
@given(head=WORDS, rows=st.lists(st.text("abcţ[", min_size=1, max_size=30), max_size=9))
def test_nothing_is_lost_and_every_page_fits(head: list[str], rows: list[str]) -> None:
    limits = Limits(septets=40, ucs2_units=25)
    pages = paginate(" ".join(head), rows, footer, limits)
    shown = ""
    for number, page in enumerate(pages):
        assert fits(page.text, limits.septets, limits.ucs2_units)
        shown += page.text.removesuffix(footer(number, number < len(pages) - 1))
    assert "".join(shown.split()) == "".join([*head, *rows])
    assert [row for page in pages for row in page.rows] == list(range(len(rows)))
