"""Every refusal of the counter has a sentence in every language that fits one screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import markets
from app.text import Catalogues
from app.text.width import fits
from app.ussd.worst import Context, samples
from app.wallet import counter

MARKETS = [markets.load(name) for name in ("demo", "demo_id")]
LANGUAGES = sorted({language for market in MARKETS for language in market.languages})
COUNTER = Path(counter.__file__).parent
CODES = sorted(
    {
        code
        for path in COUNTER.glob("*.py")
        for code in re.findall(r'DomainError\(\s*"(\w+)"', path.read_text())
    }
    | {"agent_code_wrong", "agent_suspended", "agent_unknown"}
)


def test_there_are_codes() -> None:
    assert {"withdrawal_open", "float_request_gone", "own_code", "customer_suspended"} <= set(CODES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_it_says_what_to_do(code: str, language: str) -> None:
    book = Catalogues(LANGUAGES)
    key = f"refusals.{code}"
    for market in MARKETS:
        facts = samples(Context(market, book, language), book.placeholders(language, key))
        assert fits(book.say(language, key, facts), 160, 80), (market.code, code)
