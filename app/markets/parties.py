"""L1: whose bank account it is: what a payment order needs to know of either side."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import model_validator

from app.markets.tables import Fault, Table, written

# What every bank takes in a name: the basic character set of ISO 20022 payments.
_NAME = r"[A-Za-z0-9/?:().,'+ -]{1,70}"
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)


AccountNumber = Annotated[str, written(r"[A-Za-z0-9./-]{1,34}", "an account number")]
Bic = Annotated[str, written(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", "a BIC such as KCBLKENX")]
BankCode = Annotated[str, written(r"[A-Za-z0-9]{1,35}", "the bank's clearing code")]


class BankParty(Table):
    """A name, an account and its bank. The account is an IBAN or any other number of the bank."""

    name: Annotated[str, written(_NAME, "a name of basic letters, at most 70")]
    iban: str | None = None
    account: AccountNumber | None = None
    bic: Bic | None = None
    bank_code: BankCode | None = None

    @model_validator(mode="after")
    def _reaches_an_account(self) -> Self:
        if (self.iban is None) == (self.account is None):
            raise Fault("give one of iban and account", "account")
        if (self.bic is None) == (self.bank_code is None):
            raise Fault("give one of bic and bank_code", "bank_code")
        if self.iban is not None and not _is_iban(self.iban):
            raise Fault("its check digits do not fit", "iban")
        return self


def _is_iban(text: str) -> bool:
    """ISO 13616: the first four moved to the end, letters as numbers, modulo 97 is 1."""
    if not _IBAN.fullmatch(text):
        return False
    digits = "".join(str(int(char, 36)) for char in text[4:] + text[:4])
    return int(digits) % 97 == 1
