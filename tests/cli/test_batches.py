"""`billers files`: what waits for a cut-off, and what went out."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from app.billers.batches import close_days
from app.billers.protocols import wires
from app.settings import Settings
from tests.billers.played import PlayedBiller
from tests.billers.stage import Stage, now
from tests.cli.office import Office, refusal, said


def test_what_waits_and_what_went_out(office: Office, tmp_path: Path) -> None:
    parts = office.app.extensions["kibanda"]
    stage = Stage(parts.db, parts.market, "kliniki", PlayedBiller())
    assert "Nothing waits for a cut-off." in said(
        office.run("billers", "files", "--biller", "kliniki")
    )
    person, agreed = stage.person(), stage.quote(meter="1234567")
    stage.confirm(person, agreed, stage.intent(person, agreed))
    waiting = said(office.run("billers", "files"))
    assert re.search(r"^kliniki  1 +KES 500.00  \d{4}-\d\d-\d\d 20:00:00$", waiting, re.MULTILINE)
    assert "No file is open or recent." in waiting

    (tmp_path / "out").mkdir()
    account = {"url": tmp_path.as_uri(), "username": "", "api_key": ""}
    settings = Settings.model_validate({"biller_credentials": {"kliniki": account}})
    stage.run("UPDATE payments SET due_at = clock_timestamp() WHERE biller = 'kliniki'")
    at = now() + timedelta(seconds=1)
    assert close_days(parts.db, parts.market, wires(parts.market, settings), at) == 1
    (path,) = (tmp_path / "out").iterdir()
    out = said(office.run("billers", "files", "--biller", "kliniki"))
    (line,) = [line.split() for line in out.splitlines() if line.startswith(path.stem)]
    assert line == [path.stem, "1", "KES", "500.00", "written", "0", "h", "0", "min", "0", "0", "1"]


def test_a_biller_that_is_called_has_no_files(office: Office) -> None:
    refusal(office.run("billers", "files", "--biller", "stima"), "biller_unknown")
