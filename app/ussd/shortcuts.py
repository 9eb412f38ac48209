"""L6: codes that are dialled whole, such as `*384*123*51*54100234563*200#`.

The first text of a session is read as a shortcut only when it is one wholly: its number, and as
many answers as it has, all of digits. Everything else is an ordinary dial: after a lost Redis a
mid-session text looks much the same, and must never be walked.
"""

from __future__ import annotations

import re
from typing import Any

from app.ussd.menubook import MenuBook, Shortcut

_DIALLED = re.compile(r"[0-9]{1,24}(?:\*[0-9]{1,24})*\Z")


def dialled(book: MenuBook[Any], text: str) -> tuple[Shortcut, list[str]] | None:
    """The shortcut that a first text begins with and what follows its number; None for no
    shortcut. The count of answers may be wrong.
    """
    if not book.shortcuts or not _DIALLED.match(text):
        return None
    number, *answers = text.split("*")
    shortcut = book.shortcuts.get(number)
    return None if shortcut is None else (shortcut, answers)
