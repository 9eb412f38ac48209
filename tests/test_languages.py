"""Every language says everything, with the same facts, also one that no demo market offers."""

from __future__ import annotations

import pytest

from app.text import Catalogues, known_languages
from app.text.width import is_gsm7

ALL = Catalogues(known_languages())
WIDE = {"am"}
OWN_NAME = "languages.am"  # in its own letters everywhere


def test_the_languages_that_there_are() -> None:
    assert ALL.languages == ("am", "en", "fr", "id", "sw")


@pytest.mark.parametrize("language", ALL.languages)
def test_it_says_what_english_says(language: str) -> None:
    assert ALL.keys(language) ^ ALL.keys("en") == set()
    for key in ALL.keys("en"):
        assert ALL.placeholders(language, key) == ALL.placeholders("en", key), key


@pytest.mark.parametrize("language", sorted(set(ALL.languages) - WIDE))
def test_it_is_written_in_gsm_7(language: str) -> None:
    keys = ALL.keys(language) - {OWN_NAME}
    assert [key for key in keys if not is_gsm7(ALL.say(language, key))] == []


@pytest.mark.parametrize("language", ALL.languages)
def test_its_name_stands_in_every_language(language: str) -> None:
    assert len({ALL.say(other, f"languages.{language}") for other in ALL.languages}) == 1
