"""Paying a bill at its widest has room in a session: an agent, long names, a redial before."""

from __future__ import annotations

from typing import Any

import pytest

from app import markets
from app.text import Catalogues
from app.ussd.live import SEEN_MOST, SESSION_BYTES, STACK_MOST, Live
from app.ussd.menus import book
from app.ussd.menus.amount import LABEL_MOST, LINES_MOST
from app.ussd.worst import Context, samples

MARKET = markets.load("demo")
CATALOGUES = Catalogues(MARKET.languages)
NAME, REF, UUID_TEXT = "W" * 20, "inq_" + "0" * 32, "0" * 32
EPOCH_SECONDS, TOP_MINOR = 1_795_737_566, 5_000_000
WAY = ["agent", "bill.category", "bill.product", "bill.number", "bill.phone", "bill.owed"]
ARRIVED: dict[str, Any] = {
    "product": "afya_premium",
    "customer_no": "5" * 11,
    "name": NAME,
    "bill": [TOP_MINOR, REF, UUID_TEXT, 31],
    "walkin": [UUID_TEXT, 1_000_000, True, "+254711000001"],
}
LINE = ["W" * LABEL_MOST, TOP_MINOR, TOP_MINOR]
AT_OWED = ARRIVED | {"lines": [99, *[LINE] * LINES_MOST]}
AT_CONFIRM = ARRIVED | {
    "amount": TOP_MINOR,
    "priced": EPOCH_SECONDS,
    "intent": UUID_TEXT,
    "shown": UUID_TEXT,
    "deadline": EPOCH_SECONDS,
}
TRIED = AT_CONFIRM | {"tried": UUID_TEXT}


def said(language: str, *keys: str) -> str:
    """Sentences at their worst, no longer than a message: 182 septets, or 80 characters."""
    context = Context(MARKET, CATALOGUES, language)
    lines = [
        CATALOGUES.say(language, key, samples(context, CATALOGUES.placeholders(language, key)))
        for key in keys
    ]
    most = 80 if CATALOGUES.wide(language) else 182
    return "\n".join(lines)[:most]


def kiosk(language: str) -> str:
    return "ሱ" * 8 if CATALOGUES.wide(language) else NAME


@pytest.mark.parametrize("language", MARKET.languages)
@pytest.mark.parametrize(
    ("state", "data", "keys"),
    [
        ("bill.owed", AT_OWED, ("menus.bill.owed",)),
        ("bill.confirm", AT_CONFIRM, ("menus.bill.confirm",)),
        ("bill.confirm", TRIED, ("refusals.pin_wrong", "menus.bill.confirm_again", "engine.back")),
    ],
)
def test_it_has_room(language: str, state: str, data: dict[str, Any], keys: tuple[str]) -> None:
    assert {state, *WAY} <= set(book(MARKET).states)
    live = Live(
        "4",
        "+254711000001",
        state,
        language,
        revision=20,
        person=[UUID_TEXT, "", ""],
        stack=WAY[-STACK_MOST:],
        data={"agent": ["482910", kiosk(language), True, True], **data},
        seen=[182, "wd0SjEunW+4="] * SEEN_MOST,
        led="wd0SjEunW+4=",
        reply=said(language, *keys),
        answered_ms=EPOCH_SECONDS * 1000,
        path=[199] * (14),
    )
    assert len(live.encode()) <= SESSION_BYTES
