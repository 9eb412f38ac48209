"""Numbers, tokens, quotes and market rules: what is refused before any money moves."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.billers import catalogue, tokens
from app.billers.quotes import WalkIn, quote
from app.errors import DomainError
from app.markets.billers import Biller
from app.markets.model import Market

METER = "54100234563"
NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("73786976294838206463", "73786976294838206463"),
        ("7378-6976-2948-3820-6463", "73786976294838206463"),
        ("0000 0000 0000 0000 0001", "00000000000000000001"),
        ("73786976294838206464", None),
        ("99999999999999999999", None),
        ("7378697629483820646", None),
        ("7378-69762948-3820-6463", None),
        ("٧٣٧٨٦٩٧٦٢٩٤٨٣٨٢٠٦٤٦٣", None),
        ("73786976294838206463\n", None),
        ("", None),
    ],
)
def test_a_token_is_twenty_digits_of_66_bits(written: str, digits: str | None) -> None:
    assert tokens.parse(written) == digits


def test_a_token_is_shown_in_groups() -> None:
    assert tokens.grouped("73786976294838206463") == "7378-6976-2948-3820-6463"


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [
        ("5410023456", "customer_number_length"),
        ("541002345630", "customer_number_length"),
        ("", "customer_number_length"),
        ("5410023456x", "customer_number_length"),
        ("５4100234563", "customer_number_length"),
        ("54100234564", "customer_number_check"),
        ("51400234563", "customer_number_check"),
    ],
)
def test_a_wrong_meter_number_has_a_named_reason(demo: Market, typed: str, refusal: str) -> None:
    _, _, product = catalogue.find(demo, "stima_token")
    with pytest.raises(DomainError) as raised:
        catalogue.customer_number(product, typed, "KE")
    assert raised.value.code == refusal


def test_a_meter_number_may_be_typed_in_groups(demo: Market) -> None:
    _, _, product = catalogue.find(demo, "stima_token")
    assert catalogue.customer_number(product, "5410-0234 563", "KE") == METER


def test_a_quote_names_every_part(demo: Market) -> None:
    priced = quote(demo, "stima_token", METER, "GRACE KAMAU", 50_000, at=NOW)
    assert (priced.amount_minor, priced.fee_minor, priced.total_minor) == (50_000, 1_000, 51_000)
    assert (priced.tax_minor, priced.commission_minor) == (130, 0)
    customer = WalkIn(UUID(int=7), 7, has_super_agent=True, msisdn="+254711000002")
    by_agent = quote(demo, "stima_token", METER, "GRACE KAMAU", 50_000, at=NOW, walk_in=customer)
    assert (by_agent.tax_minor, by_agent.commission_minor) == (130, 435)
    assert (by_agent.earned_minor, by_agent.super_agent_minor) == (435, 87)
    assert by_agent.fingerprint != priced.fingerprint
    dearer = quote(demo, "stima_token", METER, "GRACE KAMAU", 50_100, at=NOW)
    assert priced.fingerprint != dearer.fingerprint
    renamed = quote(demo, "stima_token", METER, "G. KAMAU", 50_000, at=NOW)
    assert priced.fingerprint == renamed.fingerprint


@pytest.mark.parametrize(
    ("amount_minor", "refusal", "facts"),
    [
        (4_900, "amount_too_small", {"least": "KES 50.00"}),
        (5_000_100, "amount_too_large", {"most": "KES 50,000.00"}),
        (5_050, "amount_step", {"step": "KES 1.00"}),
        (0, "amount_too_small", {"least": "KES 50.00"}),
    ],
)
def test_an_amount_outside_the_rules_has_a_named_reason(
    demo: Market, amount_minor: int, refusal: str, facts: dict[str, str]
) -> None:
    with pytest.raises(DomainError) as raised:
        quote(demo, "stima_token", METER, "GRACE KAMAU", amount_minor, at=NOW)
    assert (raised.value.code, raised.value.facts) == (refusal, facts)


@pytest.mark.parametrize(
    "rules",
    [
        {"manual_after_seconds": 2_592_000},
        {"refused_codes": ("00",)},
        {"refused_codes": ("03", "02")},
        {"refused_first_codes": ("03",)},
        {"refused_first_codes": ("49",)},
        {"refused_codes": ("49",)},
        {"refused_first_codes": ("02",)},
        {"timeout_seconds": 25},
    ],
)
def test_a_biller_file_that_could_buy_twice_is_refused(demo: Market, rules: object) -> None:
    with pytest.raises(ValidationError):
        Biller.model_validate(demo.billers["stima"].model_dump() | rules)  # type: ignore[operator]
