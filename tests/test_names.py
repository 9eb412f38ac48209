"""Names on screens: no mark of a name costs a screen half its room, and no name is lost."""

from __future__ import annotations

import pytest

from app.text.names import shown
from app.text.width import is_gsm7


@pytest.mark.parametrize(
    ("name", "wide", "expected"),
    [
        ("Juma O", False, "Juma O"),
        ("Ngũgĩ W", False, "Ngugi W"),
        ("አበበ ቢ", False, "አበበ ቢ"),
        ("አበበ ቢ", True, "አበበ ቢ"),
        ("Ngũgĩ W", True, "Ngũgĩ W"),
        ("W" * 30, False, "W" * 19 + "."),
    ],
)
def test_a_name_is_written_for_its_screen(name: str, wide: bool, expected: str) -> None:
    assert shown(name, 20, wide=wide) == expected


def test_a_screen_keeps_its_alphabet() -> None:
    assert is_gsm7(shown("Šárka Ĝ. Ngũgĩ", 20, wide=False))
