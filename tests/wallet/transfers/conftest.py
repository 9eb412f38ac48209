"""A town of its own for every test, in a ledger that others use too."""

from __future__ import annotations

import secrets

import pytest

from app import markets
from app.db import Database
from app.wallet.codes import Codes
from tests.wallet.transfers.town import Town

DEMO = markets.load("demo")
KEYS = {1: secrets.token_bytes(32)}


@pytest.fixture
def town(ledger_db: Database) -> Town:
    return Town(ledger_db, DEMO, Codes(KEYS))
