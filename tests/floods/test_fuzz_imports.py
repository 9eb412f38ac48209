"""Every file that comes in from others is spoilt: refused with a sentence, or whole; nothing moves.

Seeded by FLOODS_SEED; FLOODS=10 takes ten times as long.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st
from sqlalchemy import text

from app import markets
from app.billers.protocols.file_lines import FileRefusedError, Head, read_answer, read_customers
from app.billers.reconciliation import runs
from app.db import Database
from app.errors import DomainError
from app.gateways.table import USSD
from app.markets import Market, MarketError
from app.markets.reports import Report
from app.money import Currency
from app.text import known_languages
from app.ussd.transcript import TranscriptError
from app.ussd.transcript import read as read_transcript
from app.wallet.trust import statements
from app.wallet.verify import verify
from launcher.postgres import APPLICATION, DATABASE
from launcher.servers import Servers
from tests.floods.rubbish import ODD, SEED, examples

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = date(2026, 11, 25)
KES = Currency("KES", 2)
MORE = (
    b"[" * 5000, b"9" * 5000, b'"', b"'''", b",", b",,,,,,", b"\n\n", b"\r", b"=", b"a.b=1", b"T,",
    b"-0.00", b"1e9", b"nan", b"0x10", b"=cmd|' /C calc'!A0", b"\x1b[2J", b"2026-02-30",
    b"0000-00-00",
)  # fmt: skip
pieces = st.one_of(st.sampled_from(ODD + MORE), st.binary(max_size=20))


@st.composite
def spoilt(draw: st.DrawFn, good: bytes) -> bytes:
    """A good file with some places overwritten, lines twice, moved or missing, or cut off."""
    lines = good.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("twice", "gone", "first"))):
            case "twice":
                lines.insert(place, lines[place])
            case "gone":
                del lines[place]
            case _:
                lines.insert(0, lines.pop(place))
        lines = lines or [b"\n"]
    made = bytearray(b"".join(lines))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(made)))
        made[place : place + draw(st.sampled_from((0, 1, 1, 4, 30)))] = draw(pieces)
    return bytes(made[: draw(st.integers(0, len(made)))] if draw(st.integers(0, 9)) == 0 else made)


@dataclass
class Office:
    """A database of its own, into which files come."""

    db: Database
    folder: Path

    def come_in(self, raw: bytes, take: Callable[[Any, Path], object]) -> str:
        """`in`, or the name of the refusal, after which the tables are as they were."""
        path = self.folder / "file.csv"
        path.write_bytes(raw)
        before = self._rows()
        try:
            self.db.transact(lambda session: take(session, path))
            return "in"
        except DomainError as error:
            refusal = error.code
        assert refusal != "database_away"
        assert self._rows() == before, refusal
        return refusal

    def moved_nothing(self) -> None:
        assert self.db.transact(verify) == []
        count = text("SELECT count(*) FROM postings")
        assert self.db.transact(lambda session: session.scalar(count)) == 0

    def _rows(self) -> list[int]:
        tables = (
            "bank_statements",
            "bank_lines",
            "reconciliation_runs",
            "reconciliation_exceptions",
        )
        query = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        return self.db.transact(
            lambda session: list(session.execute(text(f"SELECT {query}")).one())
        )


@pytest.fixture(scope="module")
def office(
    servers: Servers, own_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    db = Database(servers.url(APPLICATION, name), pool_size=4, statement_ms=20_000)
    made = Office(db, tmp_path_factory.mktemp("files"))
    try:
        yield made
        made.moved_nothing()
    finally:
        db.dispose()
        servers.postgres.drop_database(name)


def test_lines_of_the_bank(office: Office) -> None:
    good = (
        "id,booked_on,amount,currency,reference,text,balance\n"
        "BK-1,2026-11-25,1500.00,KES,7Q4M2XKD,CASH DEPOSIT,1500.00\n"
        'BK-2,2026-11-25,-20.50,KES,,"CHARGES, NOV",1479.50\n'
        "BK-3,2026-11-26,1.00,KES,é 😀,مرحبا,1480.50\n"
    ).encode()
    market = markets.load("demo")
    seen: set[str] = set()

    @seed(SEED)
    @examples(80)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        seen.add(
            office.come_in(
                raw,
                lambda session, path: statements.import_file(
                    session, market, path, maker="asha", now=NOW
                ),
            )
        )

    rubbish()
    assert {"in", "statement_refused"} <= seen, "some are right, most are wrong"


CSV = (
    b"ref,value,day,state\na1,10.00,2026-11-25,OK\na2,5.50,2026-11-25,REV\n"
    b"a3,1.00,2026-11-25,PENDING\nEND,3,16.50\n"
)
FIXED = (
    b"HSTIMA\n"
    b"DREF00000000100000000100020261124S\n"
    b"DREF00000000200000000055020261124R\n"
    b"T000002000000001550\n"
)
REPORTS: dict[str, tuple[dict[str, Any], bytes]] = {
    "csv": (
        {
            "format": "csv", "amount": "major", "day_format": "%Y-%m-%d", "sold": ["OK"],
            "reversed": ["REV"], "ignored": ["PENDING"],
            "columns": {"reference": "ref", "amount": "value", "day": "day", "status": "state"},
            "trailer": {"mark": "END", "count": 2, "total": 3},
        },
        CSV,
    ),
    "fixed": (
        {
            "format": "fixed", "amount": "minor", "day_format": "%Y%m%d", "header_lines": 1,
            "sold": ["S"], "reversed": ["R"],
            "positions": {
                "reference": {"start": 2, "width": 12}, "amount": {"start": 14, "width": 12},
                "day": {"start": 26, "width": 8}, "status": {"start": 34, "width": 1},
            },
            "trailer_positions": {
                "mark": "T", "count": {"start": 2, "width": 6}, "total": {"start": 8, "width": 12},
            },
        },
        FIXED,
    ),
}  # fmt: skip


def reporting(rules: dict[str, Any]) -> Market:
    demo = markets.load("demo")
    report = Report.model_validate_json(json.dumps(rules), strict=True)
    stima = demo.billers["stima"].model_copy(update={"report": report})
    return demo.model_copy(update={"billers": demo.billers | {"stima": stima}})


@pytest.mark.parametrize("form", REPORTS)
def test_reports_of_a_biller(office: Office, form: str) -> None:
    rules, good = REPORTS[form]
    market = reporting(rules)
    seen: set[str] = set()

    @seed(SEED)
    @examples(60)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        seen.add(
            office.come_in(
                raw,
                lambda session, path: runs.take(
                    session, market, "stima", path, maker="asha", now=NOW
                ),
            )
        )

    rubbish()
    assert {"in", "report_refused"} <= seen


def test_answers_to_a_days_file() -> None:
    head = Head("school", "school-20261125-01", DAY)
    ours = {"r1": 123_450, "r2": 9_900}
    good = (
        b"H,SCHOOL,school-20261125-01\nA,r1,1234.50,ACCEPTED,R-1\n"
        b"A,r2,99.00,REJECTED,CLOSED\nT,2,1234.50\n"
    )
    seen: set[str] = set()

    @seed(SEED)
    @examples(150)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        try:
            verdicts = read_answer(raw, head, ours, KES)
        except FileRefusedError as error:
            seen.add(error.reason)
            return
        assert len({one.reference for one in verdicts}) == len(verdicts)
        assert all(ours[one.reference] == one.amount_minor for one in verdicts)

    rubbish()
    assert len(seen) > 5, seen


def test_customers_of_a_biller() -> None:
    good = "customer_no,name,owed\nA100,Grace Kamau,1234.50\nA101,Müller,\n".encode()

    @seed(SEED)
    @examples(100)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        try:
            found = read_customers(io.BytesIO(raw))
        except FileRefusedError:
            return
        assert all(number == number.upper() for number in found)

    rubbish()


@pytest.mark.parametrize("name", ["demo", "demo_id"])
def test_market_files(tmp_path: Path, name: str) -> None:
    good = (ROOT / "app" / "markets" / f"{name}.toml").read_bytes()
    path = tmp_path / "market.toml"
    known = {"gateways": USSD, "languages": known_languages()}

    @seed(SEED)
    @examples(40)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        path.write_bytes(raw)
        told = str(path)
        try:
            markets.load(str(path), known=known)
        except MarketError as error:
            told = str(error)
        assert told.startswith(str(path)), "a refusal names its file"

    rubbish()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x = " + "[" * 5000, "nested too deep"),
        ("x = [" + "{a=" * 3000, "nested too deep"),
        ("a." * 3000 + "b=1", "nested too deep"),
        ("x = " + "9" * 5000, "a number in it is too long"),
    ],
    ids=["lists", "tables", "keys", "digits"],
)
def test_a_market_file_that_no_reader_bears(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "market.toml"
    path.write_text(f"{line}\n{(ROOT / 'app' / 'markets' / 'demo.toml').read_text()}")
    with pytest.raises(MarketError, match=why):
        markets.load(str(path))


def test_transcripts(tmp_path: Path) -> None:
    good = (ROOT / "tests" / "journeys" / "drop_after_wrong_pin_en.txt").read_bytes()
    path = tmp_path / "transcript.txt"

    @seed(SEED)
    @examples(100)
    @given(raw=spoilt(good))
    def rubbish(raw: bytes) -> None:
        path.write_bytes(raw)
        told = path.name
        try:
            assert read_transcript(path).lines
        except TranscriptError as error:
            told = str(error)
        assert told.startswith(path.name), "a refusal names its file"

    rubbish()
