"""Files that arrive by themselves."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from app.billers import reconciliation
from app.billers.reconciliation.folder import QUIET_SECONDS
from tests.billers.reconciliation.desk import BILLER, DAY, NOW, Desk, PaymentRow, line


@pytest.fixture
def stima(desk: Desk) -> Path:
    """The folder into which the biller puts its files."""
    folder = desk.folder / BILLER
    folder.mkdir()
    return folder


def arrive(desk: Desk, stima: Path, name: str, *lines: str, seconds_ago: int = 3600) -> Path:
    path = desk.file(lines, name=f"{stima.name}/{name}")
    at = NOW.timestamp() - seconds_ago
    os.utime(path, (at, at))
    return path


def look(desk: Desk) -> int:
    return reconciliation.inbox(desk.db, desk.market, desk.folder, NOW)


def there(stima: Path) -> list[str]:
    files = (path for path in stima.rglob("*") if path.is_file())
    return sorted(path.relative_to(stima).as_posix() for path in files)


def test_a_file_is_compared_and_moved(desk: Desk, stima: Path) -> None:
    desk.have(PaymentRow("A", 50_000))
    arrive(desk, stima, "one.csv", line("A"))
    assert look(desk) == 1
    assert there(stima) == ["done/one.csv"]
    (run,) = desk.rows("SELECT file_name, maker, matched FROM reconciliation_runs")
    assert tuple(run) == ("one.csv", "schedule", 1)
    assert look(desk) == 0


def test_a_file_that_is_refused_is_moved_with_its_reason(desk: Desk, stima: Path) -> None:
    arrive(desk, stima, "one.csv", line("A"))
    look(desk)
    arrive(desk, stima, "one.csv", line("B"))
    arrive(desk, stima, "two.csv", line("A", status="?"))
    assert [look(desk), look(desk), look(desk)] == [0, 0, 0]
    assert there(stima) == [
        "done/one.csv", "refused/one.csv", "refused/one.csv.why", "refused/two.csv",
        "refused/two.csv.why",
    ]  # fmt: skip
    why = (stima / "refused" / "two.csv.why").read_text()
    assert why == "report_refused file=two.csv, line=2, reason=status '?' is not known\n"
    assert (stima / "refused" / "one.csv.why").read_text().startswith("report_day_known ")


def test_oldest_first_one_a_call_and_only_what_is_whole(desk: Desk, stima: Path) -> None:
    before = DAY - timedelta(days=1)
    arrive(desk, stima, "b.csv", line("A", day=before), seconds_ago=7200)
    arrive(desk, stima, "a.csv", line("B"), seconds_ago=3600)
    arrive(desk, stima, "c.csv.part", line("C"))
    arrive(desk, stima, "d.csv", line("D"), seconds_ago=QUIET_SECONDS - 1)
    assert [look(desk), look(desk), look(desk)] == [1, 1, 0]
    assert there(stima) == ["c.csv.part", "d.csv", "done/a.csv", "done/b.csv"]


def test_a_move_that_was_lost_is_made_up_for(desk: Desk, stima: Path) -> None:
    arrive(desk, stima, "one.csv", line("A"))
    look(desk)
    (stima / "done" / "one.csv").rename(stima / "one.csv")
    os.utime(stima / "one.csv", (NOW.timestamp() - 3600,) * 2)
    assert look(desk) == 0
    assert there(stima) == ["done/one.csv"]
    assert len(desk.rows("SELECT 1 FROM reconciliation_runs")) == 1


def test_without_a_folder_exceptions_still_end(desk: Desk) -> None:
    one = PaymentRow("A", 50_000, "unknown")
    desk.have(one)
    desk.compare(line("A"))
    desk.set_state(one, "captured")
    assert reconciliation.inbox(desk.db, desk.market, "", NOW) == 0
    assert desk.outcomes() == {"A": "captured"}
