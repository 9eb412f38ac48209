"""L2: how much room a text takes on the air: GSM-7 septets or UCS-2 (3GPP TS 23.038)."""

from __future__ import annotations

from collections.abc import Collection

GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")
SMS_SEPTETS, SMS_SEPTETS_PART = 160, 153
SMS_UCS2, SMS_UCS2_PART = 70, 67
_SIMPLE = frozenset(
    " !#%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\n\""
)
_REPLACED = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


def is_gsm7(text: str) -> bool:
    return _SIMPLE.issuperset(text) or all(
        char in GSM7_BASIC or char in GSM7_EXTENSION for char in text
    )


def is_wide(sentences: Collection[str]) -> bool:
    """Whether GSM-7 cannot write the language: most of its sentences need UCS-2.

    Most, not one: a language's name in its own letters stands in every catalogue, and a sentence
    with a stray accent is to be found, not allowed more room.
    """
    return 2 * sum(not is_gsm7(sentence) for sentence in sentences) > len(sentences)


def septets(text: str) -> int:
    """GSM-7 septets; an extension character costs two. Raises ValueError where UCS-2 is needed."""
    if _SIMPLE.issuperset(text):
        return len(text)
    if not is_gsm7(text):
        raise ValueError("the text needs UCS-2")
    return sum(2 if char in GSM7_EXTENSION else 1 for char in text)


def ucs2_units(text: str) -> int:
    """16-bit units; characters outside the basic plane cost two."""
    return len(text.encode("utf-16-be")) // 2


def fits(text: str, limit_septets: int, limit_ucs2: int) -> bool:
    """Whether one message of a channel with these limits carries the text."""
    if is_gsm7(text):
        return septets(text) <= limit_septets
    return ucs2_units(text) <= limit_ucs2


def sms_parts(text: str) -> int:
    """How many SMS the text costs. A pair that does not fit a part is carried over whole."""
    if is_gsm7(text):
        sizes = [2 if char in GSM7_EXTENSION else 1 for char in text]
        return _parts(sizes, SMS_SEPTETS, SMS_SEPTETS_PART)
    return _parts([ucs2_units(char) for char in text], SMS_UCS2, SMS_UCS2_PART)


def clip(text: str, most: int) -> str:
    """At most `most` characters, in characters that GSM-7 has where the text nearly is GSM-7.

    Names come from billers and people; they must never push a screen over its limit.
    """
    cleaned = " ".join(text.translate(_REPLACED).split())
    return cleaned if len(cleaned) <= most else cleaned[: most - 1].rstrip() + "."


def _parts(sizes: list[int], single: int, part: int) -> int:
    if sum(sizes) <= single:
        return 1
    parts, room = 1, part
    for size in sizes:
        if size > room:
            parts, room = parts + 1, part
        room -= size
    return parts
