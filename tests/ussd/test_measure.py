"""How many messages a screen may take: one, three in a wide language; last words always one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import markets
from app.gateways import africastalking
from app.text import Catalogues
from app.text.width import is_wide
from app.ussd.measure import Measure
from app.ussd.states import Ask, End, State
from tests.ussd.checked import go, no_items, sound

MARKET = markets.load("demo")
WIDE_FOOTER = len("\n0 ተመለስ 00 ዋና 98 ቀጣይ")
PAGE = 80 - WIDE_FOOTER
QUESTION = Ask[None, str]("ask", "menus.c.ask", lambda _, typed: typed, go, ("wait",), ("odd",))


def measured(
    state: State[None], language: str = "am", *, first: bool = False, **said: str
) -> list[str]:
    """What is said of a state; `said` are sentences of its room, `odd` its refusal."""
    catalogues = Catalogues(["am", "fr"])
    given = {f"menus.c.{name}": text for name, text in said.items()}
    catalogues._sentences[language] = {
        **catalogues._sentences[language],
        "menus.c.pay": "ክፈል",
        "menus.c.list": "ዝርዝር",
        "menus.c.line": "{day} {amount}",
        "refusals.odd": said.get("odd", "አይሆንም።"),
        **given,
    }
    measure = Measure(MARKET, catalogues, language, africastalking.GATEWAY)
    return list(measure.state(state, first=first))


def lines(count: int, width: int = PAGE) -> str:
    return "\n".join(["ሀ" * width] * count)


def test_which_languages_are_wide() -> None:
    catalogues = Catalogues(MARKET.languages)
    wide = [language for language in MARKET.languages if catalogues.wide(language)]
    assert wide == ["am"]


def test_one_stray_letter_makes_no_language_wide() -> None:
    assert not is_wide(["Recu", "Reçu", "Payé"])
    assert is_wide(["ተከፍሏል", "ቀሪ", "OK"])
    assert not is_wide([])


@pytest.mark.parametrize("state", [sound()["pin"], QUESTION], ids=["secret", "ask"])
def test_a_wide_language_may_take_three_pages(state: State[None]) -> None:
    state = replace(state, refusals=(), again="menus.c.list")
    room = state.text.removeprefix("menus.c.")
    assert measured(state, **{room: lines(3)}) == []
    assert measured(state, **{room: lines(4)}) == [f"{state.text}: 4 pages of 3"]


def test_another_language_may_not() -> None:
    assert measured(QUESTION, "fr", ask="x" * 157, odd="Non.") == []
    assert measured(replace(QUESTION, refusals=()), "fr", ask="x" * 163) == [
        "menus.c.ask: 183 septets of 182"
    ]
    assert measured(replace(QUESTION, refusals=()), "fr", ask="ê" * 61) == [
        "menus.c.ask: 81 UCS-2 units of 80"
    ]


def test_the_question_behind_a_refusal_counts_too() -> None:
    assert measured(QUESTION, ask=lines(3), odd="ሀ" * 30) == [
        "refusals.odd and question: 4 pages of 3"
    ]


def test_a_first_screen_turns_pages_too() -> None:
    """It has no footer, but its second page has a way back."""
    main = sound()["main"]
    title = 80 - len("\n1 ክፈል\n2 ዝርዝር")
    assert measured(main, first=True, main="ሀ" * title) == []
    back = len("\n0 ተመለስ 98 ቀጣይ")
    head = f"{'ሀ' * (80 - len('98 ቀጣይ') - 1)}\n{'ለ' * (80 - back)}\n"
    rows = len("\n1 ክፈል\n2 ዝርዝር") + len("\n0 ተመለስ")
    assert measured(main, first=True, main=head + "ሐ" * (80 - rows)) == []
    assert measured(main, first=True, main=head + "ሐ" * (81 - rows)) == [
        "menus.c.main: 4 pages of 3"
    ]


def test_pages_that_a_state_declares_are_not_counted() -> None:
    state = End[None]("help", "menus.c.help", pages=True)
    assert measured(state, help=lines(9)) == []
    assert measured(replace(state, pages=False), help=lines(9))[0].endswith(" pages of 3")
    endless = measured(state, help=lines(40))
    assert endless == ["menus.c.help: a text of more than 30 pages"]


def test_last_words_have_one_message_in_every_language() -> None:
    too_many = len("\nብዙ ሞክረዋል። እንደገና ይደውሉ። እርዳታ፦ 0711000999")
    ends = replace(QUESTION, refusals=(), ends=("odd",))
    assert measured(ends, ask="?", odd="ሀ" * 80) == []
    assert measured(ends, ask="?", odd="ሀ" * 81) == ["refusals.odd: 81 UCS-2 units of 80"]
    assert measured(QUESTION, ask="?", odd="ሀ" * (80 - too_many)) == []
    assert measured(QUESTION, ask="?", odd="ሀ" * (81 - too_many)) == [
        "refusals.odd and engine.too_many: 81 UCS-2 units of 80"
    ]


def test_last_words_behind_a_list_too() -> None:
    state = replace(sound()["list"], items=no_items, refusals=("odd",))
    assert measured(state, odd="ሀ" * 60) == [
        "refusals.odd and engine.too_many: 99 UCS-2 units of 80"
    ]


@pytest.mark.parametrize("key", ["choose", "changed", "no_match"])
def test_the_engine_s_own_words_are_measured_behind_the_third_mistake(key: str) -> None:
    catalogues = Catalogues(["am"])
    whole = {**catalogues._sentences["am"], f"engine.{key}": "ሀ" * 60}
    catalogues._sentences["am"] = whole
    measure = Measure(MARKET, catalogues, "am", africastalking.GATEWAY)
    assert list(measure.engine([f"engine.{key}"])) == [
        f"engine.{key} and engine.too_many: 99 UCS-2 units of 80"
    ]
