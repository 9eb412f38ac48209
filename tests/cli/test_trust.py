"""`trust`: a file of the bank comes in, lines are matched by two, and one unit is seen."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.wallet import ledger
from launcher import market as market_file
from launcher.postgres import APPLICATION, DATABASE, SUPERUSER
from launcher.servers import Servers
from tests.billers.stage import Stage
from tests.cli.office import Office, app_over, refusal, said
from tests.outside_world import Sandbox, running_sandbox

ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = ("--evidence", "slip shown at the counter, photo 4711")
NEEMA, ZAWADI, AMINA = "+254711000101", "+254711000100", "0711000001"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The bank of the demo, as `make run` starts it."""
    told = market_file.read(ROOT, "demo").of_sandbox()
    folder = tmp_path_factory.mktemp("bank")
    with running_sandbox("http://127.0.0.1:9", folder, **told) as running:
        yield running


@pytest.fixture(scope="module")
def desk(servers: Servers, own_name: str) -> Iterator[Office]:
    """A command line over a database that has only what the seed brings."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with app_over(servers.url(APPLICATION, name)) as app:
            parts = app.extensions["kibanda"]
            stage = Stage(parts.db, parts.market, "stima", None)  # type: ignore[arg-type]
            office = Office(app, servers.url(SUPERUSER, name), stage)
            said(office.run("seed", "demo"))
            yield office
    finally:
        servers.postgres.drop_database(name)


def report(desk: Office, *, code: int = 0) -> dict[str, Any]:
    result = desk.run("trust", "--json")
    assert result.exit_code == code, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def books(desk: Office, *, code: int = 0) -> dict[str, Any]:
    (one,) = report(desk, code=code)["currencies"]
    told: dict[str, Any] = one
    return told


def code_of(desk: Office, msisdn: str) -> str:
    shown = desk.stage.run(
        "SELECT a.code FROM agents a JOIN people p ON p.id = a.person_id WHERE p.msisdn = :to",
        to=msisdn,
    )
    return str(shown[0].code)


def floats(desk: Office, code: str) -> str:
    found = re.search(r"float (KES [\d,.]+)", said(desk.run("agent", "show", code)))
    assert found
    return found[1]


def approved(desk: Office, *command: str) -> str:
    """What a case does that asha proposes and baraka approves."""
    proposed = said(desk.run("trust", *command, *EVIDENCE, by="asha"))
    reference = proposed.split(":")[0]
    return said(desk.run("case", "approve", reference, by="baraka"))


def imported(desk: Office, bank: Sandbox, folder: Path, by: str = "asha") -> str:
    """The file of what the bank booked since the last one."""
    last = desk.stage.run(
        "SELECT line_id FROM statement_lines s JOIN bank_statements b ON b.id = s.statement_id"
        " ORDER BY b.imported_at DESC, position DESC LIMIT 1"
    )
    since = last[0].line_id if last else ""
    file = folder / "statement.csv"
    file.write_bytes(bank.get(f"/bank/statement.csv?since={since}").content)
    return said(desk.run("trust", "import", str(file), by=by))


def test_a_day_at_the_bank(desk: Office, bank: Sandbox, tmp_path: Path) -> None:
    """A deposit, a payout that comes back, a stranger's money, the bank's charge."""
    neema, zawadi = code_of(desk, NEEMA), code_of(desk, ZAWADI)
    before = books(desk)
    assert (before["bank"], before["off_minor"]) == (None, 0)
    assert "no statement of the bank was imported yet" in said(desk.run("trust"))

    noted = approved(desk, "expect", "1,500", "--agent", neema)
    deposit = re.findall(r"deposit (\w{8}) is on its way", noted)[0]
    assert floats(desk, neema) == "KES 20,000.00", "on its way is nobody's to spend"
    sent = approved(desk, "payout", zawadi, "2000")
    payout = re.findall(r"payout (\w{8}) is on its way", sent)[0]

    bank.post("/bank/deposit", {"amount": "1500", "text": f"CASH {deposit}"})
    out = bank.post("/bank/payout", {"amount": "2000", "reference": payout}).json()
    bank.post("/bank/deposit", {"amount": "40", "text": "AMINA W"})
    bank.post("/bank/payout", {"amount": "0.55", "text": "ACCOUNT FEE"})
    bank.post("/bank/return", {"line": out["id"]})
    assert imported(desk, bank, tmp_path).startswith("5 lines, from KES 1,527,500.00 to KES ")
    match = said(desk.run("trust", "match"))
    assert re.search(rf"BK-000001 .* deposit {deposit}, agent {neema} Neema Kiosk +asha", match)
    assert re.search(rf"BK-000002 .* payout {payout}, agent {zawadi} Zawadi", match)
    assert re.search(r"BK-000003 .* AMINA W +\? no reference", match)
    assert re.search(r"BK-000005 .* \? not out yet", match)

    assert "another person must confirm it" in said(
        desk.run("trust", "assign", "BK-000003", "--person", AMINA, by="asha")
    )
    said(desk.run("trust", "assign", "BK-000004", "--operator", by="asha"))
    refusal(desk.run("trust", "confirm", "BK-000001", "--yes", by="asha"), "same_person")
    for line in ("BK-000001", "BK-000002", "BK-000003", "BK-000005"):
        said(desk.run("trust", "confirm", line, "--yes", by="baraka"))

    assert floats(desk, neema) == "KES 21,500.00"
    assert floats(desk, zawadi) == "KES 500,000.00"
    assert "available KES 5,040.00" in said(desk.run("person", "show", AMINA))
    after = books(desk)
    assert (after["off_minor"], after["bank"]["off_minor"]) == (0, 0)
    assert after["bank"]["unmatched_minor"] == -55
    assert (after["deposits_in_transit_minor"], after["payouts_in_transit_minor"]) == (0, 0)
    assert after["trust_bank_minor"] == before["trust_bank_minor"] + 154_000
    told = said(desk.run("trust"))
    assert re.search(r"^off by +KES +0\.00$", told, re.MULTILINE)
    assert re.search(r"BK-000004 +KES -0\.55", told)
    assert said(desk.run("verify")).endswith("0 findings\n")


def test_a_checker_is_asked_once_more(desk: Office, bank: Sandbox, tmp_path: Path) -> None:
    line = bank.post("/bank/deposit", {"amount": "5"}).json()["id"]
    imported(desk, bank, tmp_path)
    said(desk.run("trust", "assign", line, "--operator", by="asha"))
    declined = desk.run("trust", "confirm", line, by="baraka", typed=("n",))
    assert declined.exit_code == 1
    assert f"{line}: KES 5.00 for operator. Is that so?" in declined.output
    assert "Aborted!" in declined.output
    agreed = said(desk.run("trust", "confirm", line, by="baraka", typed=("y",)))
    assert agreed.endswith(", operator\n")
    refusal(desk.run("trust", "confirm", line, "--yes", by="baraka"), "line_matched")


def test_one_unit_is_exit_code_1(desk: Office, bank: Sandbox, tmp_path: Path) -> None:
    """By the owner, since nobody else can."""
    bank.post("/bank/deposit", {"amount": "1"})
    imported(desk, bank, tmp_path)
    assert books(desk)["off_minor"] == 0
    wallet = desk.stage.run("SELECT wallet_id FROM people LIMIT 1")[0].wallet_id
    desk.admin(f"UPDATE accounts SET balance = balance + 1 WHERE id = {wallet}")
    try:
        assert books(desk, code=1)["off_minor"] == 1
        assert re.search(r"^off by +KES +0\.01$", said(desk.run("trust"), code=1), re.MULTILINE)
    finally:
        desk.admin(f"UPDATE accounts SET balance = balance - 1 WHERE id = {wallet}")
    desk.admin("UPDATE bank_statements SET closing_minor = closing_minor - 1")
    try:
        told = books(desk, code=1)
        assert (told["off_minor"], told["bank"]["off_minor"]) == (0, 1)
    finally:
        desk.admin("UPDATE bank_statements SET closing_minor = closing_minor + 1")
    assert report(desk)["balanced"] is True


def test_what_is_overdue_is_marked(desk: Office, bank: Sandbox, tmp_path: Path) -> None:
    notice = approved(desk, "expect", "700", "--person", AMINA, "--slip", "kcb 0042")
    reference = re.findall(r"deposit (\w{8})", notice)[0]
    young = next(one for one in report(desk)["waiting"] if one["name"] == reference)
    assert (young["what"], young["amount_minor"], young["overdue"]) == ("deposit", 70_000, False)
    desk.admin("UPDATE deposit_notices SET created_at = now() - interval '9 days'")
    metrics = desk.app.test_client().get("/metrics").text
    assert re.search(r'^kibanda_trust_overdue\{what="deposit"\} [1-9]', metrics, re.MULTILINE)
    assert re.search(r'^kibanda_trust_oldest_seconds\{what="deposit"\} 777', metrics, re.MULTILINE)
    result = desk.run("trust")
    assert re.search(rf"{reference} .* 9 +OVERDUE$", result.stdout, re.MULTILINE)
    assert result.exit_code == 0, "money is where it should be; somebody must look all the same"
    assert "is cancelled" in approved(desk, "cancel", reference)
    refusal(desk.run("trust", "cancel", reference, *EVIDENCE, by="asha"), "deposit_ended")


def test_a_payout_that_never_left(desk: Office) -> None:
    zawadi = code_of(desk, ZAWADI)
    before = floats(desk, zawadi)
    sent = approved(desk, "payout", zawadi, "1000")
    payout = re.findall(r"payout (\w{8})", sent)[0]
    assert floats(desk, zawadi) != before
    assert "is back where it came from" in approved(desk, "take-back", payout)
    assert floats(desk, zawadi) == before
    refusal(desk.run("trust", "take-back", payout, *EVIDENCE, by="asha"), "payout_ended")
    too_much = desk.run("trust", "payout", zawadi, "999999999", *EVIDENCE, by="asha")
    refusal(too_much, "insufficient_funds")


@pytest.mark.parametrize(
    ("content", "code", "said_to"),
    [
        ("id,booked_on\n", "statement_refused", "Line 1: the first line must be"),
        (
            "id,booked_on,amount,currency,reference,text,balance\nx,2026-01-01,5,KES,,,5\n",
            "statement_gap",
            "Line 2: it begins with KES 0.00; the last file ended with KES",
        ),
    ],
)
def test_a_file_that_is_refused(
    desk: Office, bank: Sandbox, tmp_path: Path, content: str, code: str, said_to: str
) -> None:
    bank.post("/bank/deposit", {"amount": "1"})
    imported(desk, bank, tmp_path)
    again = desk.run("trust", "import", str(tmp_path / "statement.csv"), by="baraka")
    refusal(again, "statement_known")
    file = tmp_path / "bad.csv"
    file.write_text(content)
    result = desk.run("trust", "import", str(file), by="asha")
    refusal(result, code)
    assert said_to in result.output
    refusal(desk.run("trust", "import", "/nowhere.csv", by="asha"), "statement_unreadable")


@pytest.mark.parametrize(
    "command",
    [
        "import x.csv", "confirm X --yes", "assign X --operator", "withdraw X",
        "expect 5 --agent 123456 --evidence abc", "cancel X --evidence abc",
        "payout 123456 5 --evidence abc", "take-back X --evidence abc",
    ],
)  # fmt: skip
def test_who_is_not_logged_in_does_nothing(desk: Office, command: str) -> None:
    refusal(desk.run("trust", *command.split()), "staff_session_missing")


@pytest.mark.parametrize(
    "command",
    ["assign X", "assign X --operator --agent 123456", "expect 5 --evidence abc"],
)
def test_a_line_is_for_one_thing(desk: Office, command: str) -> None:
    assert "one of --" in said(desk.run("trust", *command.split()), code=2)


def test_a_database_that_cannot_be_asked_is_exit_code_2(tmp_path: Path) -> None:
    with app_over(f"postgresql://kibanda_app@/kibanda?host={tmp_path}") as app:
        refusal(app.test_cli_runner().invoke(args=["trust"]), "database_away", code=2)


def test_a_role_is_needed(desk: Office) -> None:
    refusal(desk.run("trust", "import", "x.csv", by="mkuu"), "role_missing")


def test_the_ledger_is_whole(desk: Office) -> None:
    assert desk.stage.db.transact(ledger.verify) == []
