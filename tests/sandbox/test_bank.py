"""The bank of the trust account: it books what it is told, and writes it into a file."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.bank import Bank
from sandbox.journal import Journal
from tests.outside_world import Sandbox, StandIn, running_sandbox


def book(outside: Sandbox, what: str = "deposit", **body: Any) -> requests.Response:
    return outside.post(f"/bank/{what}", body)


def balance(outside: Sandbox) -> Decimal:
    return Decimal(outside.get("/bank/balance").json()["balance"])


def lines(outside: Sandbox, since: str = "") -> list[dict[str, str]]:
    answer = outside.get(f"/bank/statement.csv?since={since}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_a_deposit_is_a_line(outside: Sandbox) -> None:
    before = balance(outside)
    line = book(outside, amount="1500.5", reference="7Q4M2XKD").json()
    assert line.pop("id").startswith("BK-")
    assert line == {
        "booked_on": datetime.now(UTC).date().isoformat(),
        "amount": "1500.50",
        "currency": "KES",
        "reference": "7Q4M2XKD",
        "text": "CASH DEPOSIT",
        "balance": f"{before + Decimal('1500.50')}",
    }
    assert balance(outside) == before + Decimal("1500.50")


def test_the_file_goes_on_where_the_last_one_ended(outside: Sandbox) -> None:
    first = book(outside, amount="10").json()
    more = [
        book(outside, amount="20", text='CASH, "BRANCH" 7').json(),
        book(outside, "payout", amount="5", reference="ZZZZZZZZ").json(),
    ]
    assert lines(outside, first["id"]) == more
    assert Decimal(more[1]["amount"]) == -5
    assert lines(outside)[-2:] == more
    assert lines(outside, more[1]["id"]) == []
    assert outside.get("/bank/statement.csv?since=BK-x").status_code == 404


def test_a_payout_comes_back_once(outside: Sandbox) -> None:
    book(outside, amount="100")
    out = book(outside, "payout", amount="100", reference="7Q4M2XKD").json()
    back = book(outside, "return", line=out["id"])
    assert (back.json()["amount"], back.json()["reference"]) == ("100.00", "7Q4M2XKD")
    assert back.json()["text"] == f"RETURN OF {out['id']}: ACCOUNT CLOSED"
    assert book(outside, "return", line=out["id"]).status_code == 409
    assert book(outside, "return", line=back.json()["id"]).status_code == 409
    assert book(outside, "return", line="BK-x").status_code == 404


def test_it_knows_no_order_again(outside: Sandbox) -> None:
    """A bank that looked for our reference would be kinder than banks are."""
    before = balance(outside)
    for _ in range(2):
        book(outside, amount="7", reference="SAME")
    assert balance(outside) == before + 14


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("deposit", {}, 400),
        ("deposit", {"amount": "0"}, 400),
        ("deposit", {"amount": "-5"}, 400),
        ("deposit", {"amount": "1.001"}, 400),
        ("deposit", {"amount": "NaN"}, 400),
        ("deposit", {"amount": "1e99"}, 400),
        ("deposit", {"amount": 5}, 400),
        ("deposit", {"amount": "5", "reference": 7}, 400),
        ("deposit", {"amount": "5", "text": "T" * 101}, 400),
        ("payout", {"amount": "9999999999999"}, 409),
    ],
)
def test_what_it_does_not_book(
    outside: Sandbox, what: str, body: dict[str, Any], status: int
) -> None:
    before = balance(outside)
    answer = book(outside, what, **body)
    assert (answer.status_code, balance(outside)) == (status, before)
    assert answer.json()["error"]


def test_many_at_once_are_a_chain(outside: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: book(outside, amount="1"), range(40)))
    found = lines(outside)
    for one, after in pairwise(found):
        assert Decimal(after["balance"]) == Decimal(one["balance"]) + Decimal(after["amount"])


def test_what_was_booked_survives_a_kill(kibanda: StandIn, tmp_path: Path) -> None:
    told = {"SANDBOX_BANK_OPENING": "500.00", "SANDBOX_BANK_CURRENCY": "IDR"}
    with running_sandbox(kibanda.url, tmp_path, **told) as running:
        assert running.get("/bank/balance").json() == {"currency": "IDR", "balance": "500.00"}
        line = book(running, amount="10").json()
        running.kill()
    again = Bank(Journal(tmp_path / "bank.jsonl"), "IDR", Decimal(0))
    assert again.balance() == 510
    assert line["id"] in again.statement()
