"""What the market file says of a biller's report and of bank accounts."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from app.markets.parties import BankParty
from app.markets.reports import Report
from tests.world import ROOT

CSV: dict[str, Any] = {
    "format": "csv",
    "amount": "major",
    "day_format": "%Y-%m-%d",
    "sold": ["OK"],
    "columns": {"reference": "r", "amount": "a", "day": "d", "status": "s"},
}
POSITIONS = {name: {"start": 1, "width": 2} for name in ("reference", "amount", "day")}
PARTY = {"name": "Stima Power Ltd", "account": "1100220033", "bic": "KCBLKENX"}
IBAN = "GB82WEST12345698765432"


def test_the_page_is_a_report_and_a_payee() -> None:
    page = (ROOT / "docs" / "reconciliation.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    biller = tomllib.loads(block)["billers"]["maji"]
    assert Report.model_validate(biller["report"]).trailer
    assert BankParty.model_validate(biller["payee"]).account == "1100220033"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"columns": None}, "belongs to the format 'csv'"),
        ({"positions": POSITIONS}, "belongs to the format 'fixed'"),
        ({"format": "fixed"}, "belongs to the format 'csv'"),
        ({"header_lines": 1}, "is for 'fixed'"),
        ({"sold": []}, "belongs to a status"),
        ({"ignored": ["OK"]}, "a word stands there twice"),
        ({"columns": CSV["columns"] | {"status": None}}, "belongs to a status"),
        ({"day_format": "%Y-%m"}, "must be made of"),
        ({"day_format": "%d %B %Y"}, "must be made of"),
        ({"delimiter": "x"}, "must be one of"),
    ],
)
def test_a_report_that_says_two_things_is_refused(changes: dict[str, Any], reason: str) -> None:
    Report.model_validate(CSV)
    with pytest.raises(ValidationError, match=re.escape(reason)):
        Report.model_validate(CSV | changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"account": None}, "give one of iban and account"),
        ({"iban": IBAN}, "give one of iban and account"),
        ({"bic": None}, "give one of bic and bank_code"),
        ({"bank_code": "01"}, "give one of bic and bank_code"),
        ({"bic": "KCB"}, "must be a BIC"),
        ({"account": None, "iban": IBAN.replace("3", "4", 1)}, "check digits do not fit"),
        ({"account": None, "iban": "GB82"}, "check digits do not fit"),
        ({"name": "Société"}, "must be a name of basic letters"),
    ],
)
def test_an_account_that_no_bank_takes_is_refused(changes: dict[str, Any], reason: str) -> None:
    BankParty.model_validate(PARTY)
    BankParty.model_validate({"name": "A", "iban": IBAN, "bank_code": "01109"})
    with pytest.raises(ValidationError, match=re.escape(reason)):
        BankParty.model_validate(PARTY | changes)
