"""Every kind in every language: GSM-7 and one part, or three of UCS-2; the same facts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app import markets
from app.sms import receipts
from app.sms.receipts import ReceiptError, render, sentences
from app.text import Catalogues
from app.text.names import lettered, plain
from app.text.width import is_gsm7, sms_parts
from tests.sms.conftest import PAID

MARKET = markets.load("demo")
LANGUAGES = MARKET.languages
BOOK = Catalogues(LANGUAGES)
KINDS = [name for name in sentences(BOOK) if name not in receipts._VARIANTS]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_fits(kind: str, language: str, count: int) -> None:
    longest = receipts.longest_facts(MARKET, kind)
    facts = {**longest, "tokens": longest["tokens"][:count]}
    text = render(BOOK, MARKET, kind, language, facts)
    assert is_gsm7(text) is (language != "am")
    assert sms_parts(text) <= (3 if language == "am" else 1), text


def test_a_usual_receipt_in_amharic_is_two_parts() -> None:
    assert sms_parts(render(BOOK, MARKET, "payment_paid", "am", PAID)) == 2


def test_the_catalogues_have_no_fault() -> None:
    assert list(receipts.faults(BOOK, MARKET)) == []


@pytest.mark.parametrize(
    ("language", "sentence", "fault"),
    [
        ("sw", None, "there is no sentence"),
        ("sw", "PIN {minutes}", "other facts than in en"),
        ("fr", "PIN changé {at} {care} ”", "not GSM-7"),
        ("fr", "Reçu {at} {care}", "not GSM-7"),
        ("sw", "PIN {at} {care} " + "a" * 160, "187 septets"),
        ("am", "ፒን {at} {care} " + "ሀ" * 176, "4 parts of 3"),
        ("am", "ፒን {at}", "other facts than in en"),
    ],
)
def test_a_fault_is_found(language: str, sentence: str | None, fault: str) -> None:
    book = Catalogues(LANGUAGES)
    sentences = dict(book._sentences[language])
    sentences.pop("sms.pin_changed")
    if sentence is not None:
        sentences["sms.pin_changed"] = sentence
    book._sentences = {**book._sentences, language: sentences}
    assert list(receipts.faults(book, MARKET)) == [f"sms.pin_changed in {language}: {fault}"]


def test_three_parts_are_no_fault_where_gsm_7_does_not_do() -> None:
    book = Catalogues(LANGUAGES)
    long = "ፒን {at} {care} " + "ሀ" * 175
    book._sentences["am"] = {**book._sentences["am"], "sms.pin_changed": long}
    assert list(receipts.faults(book, MARKET)) == []


END = "Ref 7Q4M2XKD 22/11 14:05"
MWISHO = "Kumb. 7Q4M2XKD 22/11 14:05"
PAID_EN = (
    "Paid KES 200.00 for Stima token 54100234563. Token 1234-5678-9012-3456-7890."
    f" Fee KES 10.00. Bal KES 4,790.00. {END}"
)
PAID_SW = (
    "Umelipa KES 200.00 Stima token 54100234563. Tokeni 1234-5678-9012-3456-7890."
    f" Ada KES 10.00. Salio KES 4,790.00. {MWISHO}"
)
REFUSED_EN = (
    "Stima token 54100234563 was not paid. KES 210.00 is back in your wallet."
    f" Bal KES 4,790.00. {END}"
)
REFUSED_SW = (
    "Stima token 54100234563 haikulipwa. KES 210.00 imerudi kwenye akaunti yako."
    f" Salio KES 4,790.00. {MWISHO}"
)
MANUAL_EN = (
    "We are checking your payment of KES 210.00 for Stima token. Your money is safe."
    " We will SMS you. Ref 7Q4M2XKD. Help: 0711000999"
)
PAID_FR = (
    "Payé KES 200.00 Stima token 54100234563. Recharge 1234-5678-9012-3456-7890."
    " Frais KES 10.00. Solde KES 4,790.00. Réf 7Q4M2XKD 22/11 14:05"
)
REFUSED_AM = (
    "Stima token 54100234563 አልተከፈለም። KES 210.00 ወደ ሂሳብዎ ተመልሷል።"
    " ቀሪ KES 4,790.00። ማጣቀሻ 7Q4M2XKD 22/11 14:05"
)
WRITTEN = [
    ("payment_paid", "en", PAID_EN),
    ("payment_paid", "sw", PAID_SW),
    ("payment_refused", "en", REFUSED_EN),
    ("payment_refused", "sw", REFUSED_SW),
    ("payment_manual", "en", MANUAL_EN),
    ("payment_paid", "fr", PAID_FR),
    ("payment_refused", "am", REFUSED_AM),
]


@pytest.mark.parametrize(("kind", "language", "text"), WRITTEN)
def test_what_a_person_reads(kind: str, language: str, text: str) -> None:
    assert render(BOOK, MARKET, kind, language, PAID) == text


def test_several_tokens_stand_in_their_order() -> None:
    facts = {**PAID, "tokens": ["1" * 20, "2" * 20]}
    text = render(BOOK, MARKET, "payment_paid", "en", facts)
    assert text.endswith("Tokens 1111-1111-1111-1111-1111 2222-2222-2222-2222-2222")


def test_a_single_token_may_come_without_a_list() -> None:
    facts = {**PAID, "token": PAID["tokens"][0]}
    del facts["tokens"]
    assert render(BOOK, MARKET, "payment_paid", "en", facts) == PAID_EN


def test_a_language_that_was_dropped_becomes_the_default() -> None:
    assert render(BOOK, MARKET, "payment_paid", "rw", PAID) == PAID_EN


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("no_such_kind", PAID),
        ("payment_paid_tokens", PAID),
        ("payment_paid", {}),
        ("payment_paid", {**PAID, "at": "yesterday"}),
        ("payment_paid", {**PAID, "amount_minor": "200"}),
        ("payment_paid", {**PAID, "tokens": None}),
        ("payment_paid", {**PAID, "tokens": [None]}),
        ("payment_paid", {**PAID, "at": None}),
        ("payment_paid", {**PAID, "amount_minor": float("inf")}),
        ("payment_paid", [PAID]),
        ("pin_changed", {}),
    ],
)
def test_what_cannot_be_written_says_so(kind: str, facts: Any) -> None:
    with pytest.raises(ReceiptError) as raised:
        render(BOOK, MARKET, kind, "en", facts)
    assert not re.search(r"yesterday|\d{4}", str(raised.value)), "facts are nobody else's business"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Amina Wanjiru", "Amina Wanjiru"),
        ("Wanjikũ wa Thiong’o", "Wanjiku wa Thiong'o"),
        ("Zoë Ängström", "Zoe Ängström"),
        ("Juma 🙂  [Otieno]", "Juma Otieno"),
        ("A" * 40, "A" * 19 + "."),
        ("أمينة", ""),
    ],
)
def test_a_name_never_leaves_gsm_7(name: str, written: str) -> None:
    assert plain(name, 20) == written
    text = render(BOOK, MARKET, "registered", "en", {"name": name, "service_code": "*384*123#"})
    assert is_gsm7(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("አበበ ቢቂላ", "አበበ ቢቂላ"),
        ("Wanjikũ wa Thiong’o", "Wanjikũ wa Thiong'o"),
        ("አበበ 🙂 \u202eቢቂላ", "አበበ ቢቂላ"),
        ("ሀ" * 40, "ሀ" * 19 + "."),
    ],
)
def test_a_wide_language_keeps_the_letters_of_a_name(name: str, written: str) -> None:
    assert lettered(name, 20) == written
    text = render(BOOK, MARKET, "registered", "am", {"name": name, "service_code": "*384*123#"})
    assert f" {written}! " in text
