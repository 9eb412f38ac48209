"""A wrong market file is refused with file, line and reason: one edit of `demo.toml` a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import markets
from app.markets import MarketError
from tests.markets.biller_cases import ENDS, LAST_OF_STIMA, SOLD, TWICE
from tests.markets.cases import DEMO, Case

KNOWN = {"gateways": {"africastalking"}, "languages": {"am", "en", "fr", "sw"}}
FIRST_LINE = DEMO.splitlines()[0]
FREE = "bands = [{ up_to_minor = 1_000_000_000, fee_minor = 0 }]"
FLOAT_MOVE = f"[[tariffs.float_move]]\neffective_from = 2026-01-01\ntax_in_fee_bps = 0\n{FREE}\n"
BAND = "{ up_to_minor = 100_000, fee_minor = 1_000 },"
OTHER_PRODUCT = """
[[billers.stima.products]]
code = "other"
sku = "other"
category = "electricity"
name = "Other"
pay = "any"
sells = "token"
min_minor = 5_000
max_minor = 5_000_000
step_minor = 100
customer = { least = 11, most = 11, hint = { en = "No", sw = "Na", fr = "No", am = "ቁጥር" } }
"""


SYNTAX = {
    "a quote missing": Case(
        'name = "Kibanda Demo"',
        'name = "Kibanda Demo',
        "this is no TOML: Illegal character '\\n'",
    ),
    "a key twice": Case(
        "otps_per_hour = 5",
        "otps_per_hour = 6\notps_per_hour = 5",
        "this is no TOML: Cannot overwrite a value",
        "otps_per_hour = 5",
    ),
    "an end too soon": Case(
        DEMO[DEMO.index(FREE) :], "bands = [", "this is no TOML: Invalid value"
    ),
}
NAMES = {
    "a letter missing": Case(
        "dormant_days = 180",
        "dorman_days = 180",
        "people.dorman_days: there is no such name here; perhaps dormant_days",
    ),
    "nothing like it": Case(
        "[stops]", "[stops]\nxyz = 1", "stops.xyz: there is no such name here", "xyz = 1"
    ),
    "in an inline table": Case(
        BAND,
        "{ up_to_minor = 100_000, fee_minr = 1_000 },",
        "tariffs.bill_payment.bands.fee_minr: there is no such name here; perhaps fee_minor",
    ),
    "a table in the wrong place": Case(
        "[vouchers]",
        "[people.vouchers]",
        "people.vouchers: there is no such name here; perhaps vouchers",
    ),
    "an operation that is none": Case(
        "[[tariffs.send]]",
        "[[tariffs.sending]]",
        "tariffs.sending: must be 'bill_payment', 'agent_bill', 'send', 'voucher', 'cash_in', "
        "'cash_out' or 'float_move'",
    ),
    "a code with a capital": Case(
        "[billers.stima]",
        "[billers.Kplc]",
        "billers.Kplc: must be 2 to 31 small letters, digits and _, a letter first, not 'Kplc'",
    ),
}
MISSING = {
    "a key": Case(
        "default_tier = ", "# default_tier = ", "default_tier: is missing", line=FIRST_LINE
    ),
    "a key of a table": Case(
        "lock_seconds = 1800", "", "pin.lock_seconds: is missing", line="[pin]"
    ),
    "a key of an inline table": Case(
        BAND,
        "{ up_to_minor = 100_000 },",
        "tariffs.bill_payment.bands.fee_minor: is missing",
    ),
    "a table": Case("[stops]", "[zzz.stops]", "zzz: there is no such name here", "[zzz.stops]"),
    "an operation": Case(
        FLOAT_MOVE, "", "tariffs.float_move: is missing", line="[[tariffs.bill_payment]]"
    ),
}
KINDS = {
    "a number in quotes": Case(
        "per_day_minor = 10_000_000",
        'per_day_minor = "10000000"',
        "tiers.tier0.per_day_minor: must be a whole number",
    ),
    "a fraction": Case(
        "low_float_minor = 500_000",
        "low_float_minor = 500.5",
        "agents.low_float_minor: must be a whole number",
    ),
    "no quotes": Case(
        'care_number = "0711000999"',
        "care_number = 711000999",
        "care_number: must be text, in quotes",
    ),
    "yes": Case("demo = true", 'demo = "yes"', "demo: must be true or false"),
    "one instead of a list": Case(
        'service_codes = ["*384*123#"]',
        'service_codes = "*384*123#"',
        "service_codes: must be a list, in [ ]",
    ),
    "an empty list": Case(
        'refused_codes = ["02", "54"]',
        "refused_codes = []",
        "billers.stima.refused_codes: must have at least 1 of its kind",
    ),
    "a number instead of a table": Case(
        "splitting = { window_seconds = 3_600, least_deposits = 3 }",
        "splitting = 3",
        "agents.splitting: must be a table",
    ),
    "no day": Case(
        "effective_from = 2026-01-01",
        'effective_from = "new year"',
        "tariffs.bill_payment.effective_from: must be a day, such as 2026-01-01",
    ),
    "too long": Case(
        'name = "Stima token"',
        'name = "Stima token of the power company"',
        "billers.stima.products.name: must have at most 20 characters",
    ),
    "a service code without #": Case(
        '["*384*123#"]',
        '["*384*123"]',
        "service_codes: must be of the form *384*123#, not '*384*123'",
        line='service_codes = ["*384*123"]',
    ),
}
TARIFFS = {
    "a negative fee": Case(
        BAND,
        "{ up_to_minor = 100_000, fee_minor = -1 },",
        "tariffs.bill_payment.bands.fee_minor: must be at least 0",
    ),
    "more than all": Case(
        "commission_bps = 5000",
        "commission_bps = 10_001",
        "tariffs.agent_bill.commission_bps: must be at most 10000",
    ),
    "a payer who is nobody": Case(
        FREE,
        f'payer = "biller"\n{FREE}',
        "tariffs.float_move.payer: must be 'sender' or 'receiver'",
        line='payer = "biller"',
    ),
    "a bill paid by the biller": Case(
        DEMO[DEMO.index("[[tariffs.agent_bill]]") : DEMO.index("[[tariffs.send]]")],
        '[[tariffs.agent_bill]]\neffective_from = 2026-01-01\npayer = "receiver"\n'
        f"tax_in_fee_bps = 0\n{FREE}\n",
        "tariffs.agent_bill.payer: must be 'sender': a biller gets the whole amount",
        line='payer = "receiver"',
    ),
    "bands that do not rise": Case(
        BAND,
        "{ up_to_minor = 10_000, fee_minor = 1_000 },",
        "tariffs.bill_payment.bands.up_to_minor: must be above the band before it",
    ),
    "a fee that eats the amount": Case(
        FREE,
        'payer = "receiver"\nbands = [\n  { up_to_minor = 999, fee_minor = 0 },\n'
        "  { up_to_minor = 5_000, fee_minor = 1_000 },\n]",
        "tariffs.float_move.bands.fee_minor: eats the whole of an amount of 1000, which the "
        "receiver pays it from",
        line="{ up_to_minor = 5_000, fee_minor = 1_000 },",
    ),
    "a day twice": Case(
        FREE,
        f"{FREE}\n{FLOAT_MOVE.replace('-01-01', '-01-01  # again')}",
        "tariffs.float_move.effective_from: must be after the price list before it",
        line="effective_from = 2026-01-01  # again",
    ),
    "an earlier day after a later one": Case(
        FREE,
        f"{FREE}\n{FLOAT_MOVE.replace('2026', '2025')}",
        "tariffs.float_move.effective_from: must be after the price list before it",
        line="effective_from = 2025-01-01",
    ),
    "no band for what a tier may send": Case(
        "per_transaction_minor = 25_000_000",
        "per_transaction_minor = 25_000_001",
        "tariffs.send.bands: no band reaches 25000001, the largest per_transaction_minor",
        line="bands = [",
    ),
    "no band for what a product may cost": Case(
        "max_minor = 5_000_000",
        "max_minor = 5_000_100",
        "tariffs.bill_payment.bands: no band reaches 5000100, the most for stima_token",
        line="bands = [",
    ),
}
RULES = {
    "a day below once": Case(
        "per_day_minor = 10_000_000",
        "per_day_minor = 4_000_000",
        "tiers.tier0.per_day_minor: must be at least per_transaction_minor",
    ),
    "a month below a day": Case(
        "per_month_minor = 300_000_000",
        "per_month_minor = 3_000_000",
        "tiers.tier1.per_month_minor: must be at least per_day_minor",
    ),
    "a tier that is none": Case(
        'default_tier = "tier0"',
        'default_tier = "tier9"',
        "default_tier: 'tier9' is not among the tiers",
    ),
    "an agent's tier that is none": Case(
        'assisted_tier = "tier1"',
        'assisted_tier = "tier9"',
        "people.assisted_tier: 'tier9' is not among the tiers",
    ),
    "a place that is none": Case(
        'timezone = "Africa/Nairobi"',
        'timezone = "Africa"',
        "timezone: must be a time zone such as Africa/Nairobi",
    ),
    "a country that is none": Case(
        'region = "KE"', 'region = "XX"', "region: must be an ISO 3166 country such as KE"
    ),
    "a language without a catalogue": Case(
        '"fr", "am"]',
        '"fr", "xx"]',
        "languages: there is no 'xx', only am, en, fr, sw",
        line="languages = ",
    ),
    "a gateway without an adapter": Case(
        '["africastalking"]',
        '["pigeon"]',
        "gateways: there is no 'pigeon', only africastalking",
        line="gateways = ",
    ),
    "somebody whom nobody understands": Case(
        'name = "Neema Kiosk"\nlanguage = "sw"',
        'name = "Neema Kiosk"\nlanguage = "id"',
        "demo_people.language: is none of the languages",
        line='language = "id"',
    ),
    "a step of cents": Case(
        "step_minor = 100\nshortcut",
        "step_minor = 50\nshortcut",
        "billers.stima.products.step_minor: must be whole KES",
    ),
    "least and step": Case(
        "least_minor = 5_000",
        "least_minor = 5_050",
        "agents.least_minor: must be a multiple of step_minor",
    ),
    "a shortcut that turns pages": Case(
        'shortcut = "51"',
        'shortcut = "98"',
        "billers.stima.products.shortcut: 98 turns a page and can be no shortcut",
    ),
    "a shortcut of before": Case(
        'service_codes = ["*384*123#"]',
        'service_codes = ["*384*123#"]\nretired_shortcuts = ["51"]',
        "billers.stima.products.shortcut: is in use or was retired: printed codes keep their use",
        line='shortcut = "51"',
    ),
    "a product's code twice": Case(
        LAST_OF_STIMA,
        f"{LAST_OF_STIMA}\n{OTHER_PRODUCT.replace('other', 'stima_token', 1)}",
        "billers.stima.products.code: another product has this code",
        line='code = "stima_token"',
    ),
    "a duplicate as a refusal": Case(
        'refused_codes = ["02", "54"]',
        'refused_codes = ["02", "49"]',
        "billers.stima.refused_codes: 49, a duplicate reference, says nothing about the first "
        "request",
    ),
    "asking for ever": Case(
        "manual_after_seconds = 900",
        "manual_after_seconds = 2_592_000",
        "billers.stima.manual_after_seconds: must end before ask_horizon_seconds",
    ),
}
CASES = {
    f"{room}: {name}": case
    for room, cases in {
        "syntax": SYNTAX, "names": NAMES, "missing": MISSING, "kinds": KINDS,
        "tariffs": TARIFFS, "rules": RULES, "twice": TWICE, "ends": ENDS, "sold": SOLD,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_wrong_file_is_refused_with_line_and_reason(case: Case, tmp_path: Path) -> None:
    assert case.old in DEMO, "demo.toml has changed: so must this case"
    text = DEMO.replace(case.old, case.new, 1)
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(MarketError) as refusal:
        markets.load(str(path), KNOWN)
    said = str(refusal.value)
    line, _, reason = said.removeprefix(f"{path}:").partition(": ")
    assert reason == case.reason
    named = text.splitlines()[int(line) - 1].strip()
    expected = case.new if case.line is None else case.line
    assert named.startswith(expected.splitlines()[0]), said


def test_what_is_no_file_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(MarketError) as refusal:
        markets.load("narnia")
    assert str(refusal.value) == (
        "KIBANDA_MARKET is 'narnia': no market has this name, only demo, demo_id, "
        "and no file is there"
    )
    path = tmp_path / "latin.toml"
    path.write_bytes(b'code = "x"\nname = "Caf\xe9"\n')
    with pytest.raises(MarketError, match=rf"^{path}:2: this is no UTF-8 text$"):
        markets.load(str(path))


def test_the_demos_are_not_refused() -> None:
    for name in ("demo", "demo_id"):
        assert markets.load(name, KNOWN | {"languages": {"am", "en", "fr", "id", "sw"}}).demo
