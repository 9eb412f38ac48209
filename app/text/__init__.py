"""L2: the catalogues and how wide their sentences are.

A folder a language, a file a room: the sentence `[home] title` of `en/menus.toml` has the key
`menus.home.title`. A room that grew is a folder beside its file, whose files all belong to it:
`en/menus/send.toml`. A sentence takes named facts in braces.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from app.text.width import is_wide

FOLDER = Path(__file__).parent


class Catalogues:
    """The sentences of every language of a market."""

    def __init__(self, languages: Iterable[str]) -> None:
        self.languages = tuple(languages)
        self._sentences = {language: _load(language) for language in self.languages}
        self._wide: dict[str, bool] = {}

    def say(self, language: str, key: str, facts: Mapping[str, object] | None = None) -> str:
        """The sentence in that language. Raises KeyError for an unknown key or a missing fact."""
        sentence = self._sentences[language][key]
        return sentence.format_map(facts) if facts else sentence

    def has(self, language: str, key: str) -> bool:
        return key in self._sentences[language]

    def keys(self, language: str) -> set[str]:
        return set(self._sentences[language])

    def wide(self, language: str) -> bool:
        """Whether the language is written in UCS-2."""
        if language not in self._wide:  # every receipt asks
            self._wide[language] = is_wide(self._sentences[language].values())
        return self._wide[language]

    def placeholders(self, language: str, key: str) -> set[str]:
        """Names of the facts that a sentence takes."""
        parts = string.Formatter().parse(self._sentences[language][key])
        return {name for _, name, _, _ in parts if name}


def known_languages() -> list[str]:
    """The languages that have a catalogue."""
    return sorted(path.parent.name for path in FOLDER.glob("*/menus.toml"))


@cache
def _load(language: str) -> dict[str, str]:
    sentences: dict[str, str] = {}
    home = FOLDER / language
    for path in sorted([*home.glob("*.toml"), *home.glob("*/*.toml")]):
        room = path.relative_to(home).parts[0].removesuffix(".toml")
        with path.open("rb") as file:
            for key, sentence in _flatten(tomllib.load(file), f"{room}."):
                if key in sentences:
                    raise ValueError(f"{path}: {key} stands in another file too")
                sentences[key] = sentence
    return sentences


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, str):
            yield prefix + name, value
        else:
            yield from _flatten(value, f"{prefix}{name}.")
