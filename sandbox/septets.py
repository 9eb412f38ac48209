"""How much room a text takes on the air: GSM 03.38 septets, or UCS-2 if they do not suffice."""

from typing import NamedTuple

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")

USSD_SEPTETS = 182
USSD_UCS2 = 80


class Room(NamedTuple):
    """The units that a text needs, their alphabet, and how many of them one USSD screen has."""

    units: int
    encoding: str
    limit: int


def measure(text: str) -> Room:
    """Room on a USSD screen: 182 septets, or 80 UTF-16 units if a character is not GSM-7."""
    if all(char in _BASIC or char in _EXTENDED for char in text):
        return Room(sum(_septets(char) for char in text), "GSM-7", USSD_SEPTETS)
    return Room(sum(_ucs2(char) for char in text), "UCS-2", USSD_UCS2)


def cut(text: str) -> str:
    """The part of the text that fits one USSD message; the network carries no more."""
    room = measure(text)
    width = _septets if room.encoding == "GSM-7" else _ucs2
    used = 0
    for index, char in enumerate(text):
        used += width(char)
        if used > room.limit:
            return text[:index]
    return text


def sms_parts(text: str) -> int:
    """Parts that an SMS is billed as: 160 septets or 70 units alone, 153 or 67 in a chain."""
    room = measure(text)
    single, chained = (160, 153) if room.encoding == "GSM-7" else (70, 67)
    return 1 if room.units <= single else -(-room.units // chained)


def _septets(char: str) -> int:
    return 2 if char in _EXTENDED else 1


def _ucs2(char: str) -> int:
    return 2 if ord(char) > 0xFFFF else 1
