"""What the system says is read back: every sentence of an SMS gives its facts again."""

from __future__ import annotations

import pytest

from app.text import Catalogues
from tests.torture.storm.wording import Wording, minor

ENGLISH = Catalogues(["en"])
KEYS = sorted(key for key in ENGLISH.keys("en") if key.startswith("sms."))
# Two kinds each, with one wording.
TWINS = {
    "sms.voucher_received", "sms.send_received", "sms.payment_stands", "sms.bill_stands_by_you",
}  # fmt: skip
FACTS = {
    "amount": "KES 1,200.50", "fee": "KES 29.00", "total": "KES 1,229.50", "balance": "KES 0.00",
    "received": "KES 1,171.50", "float": "KES 19,900.00", "held": "KES 5.00",
    "once": "KES 50,000.00", "day": "KES 100,000.00", "reference": "7Q4M2XKD",
    "at": "27/11 04:20", "until": "28/11 04:20", "by": "27/11 18:00", "code": "12345678",
    "token": "1234-5678-9012-3456-7890", "tokens": "1234-5678-9012-3456-7890", "minutes": "30",
    "customer_no": "54100234563", "to": "0711000002", "name": "Juma O", "product": "Stima token",
    "agent": "123455", "service_code": "*384*123#", "care": "0711000999",
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_sentence_is_read_back(key: str) -> None:
    text = ENGLISH.say("en", key, FACTS)
    said = Wording(ENGLISH, ("sms.",), "en").read(text)
    assert said is not None
    assert ENGLISH.say("en", said.key, said.facts) == text
    if key not in TWINS:
        assert said.key == key
        assert said.facts == {name: FACTS[name] for name in said.facts}


def test_another_sentence_is_not_read() -> None:
    assert Wording(ENGLISH, ("sms.",), "en").read("Sent {amount} to nobody") is None


def test_amounts_are_minor_units() -> None:
    assert minor("KES 1,200.50") == 120_050
    assert minor("KES 0.05") == 5
