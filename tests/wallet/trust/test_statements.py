"""Files of the statement: whole or not at all, one after the other, once."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest

from app.errors import DomainError
from app.wallet.trust.statements import BLOCK_LINES
from tests.wallet.test_ledger_races import together
from tests.wallet.trust.stage import CHECKER, KES, MAKER, Paper, Stage, now


def refused(stage: Stage, content: bytes, code: str) -> dict[str, object]:
    """The facts of the refusal; nothing came in."""
    before = stage.rows("SELECT count(*) FROM bank_lines")
    with pytest.raises(DomainError) as raised:
        stage.put(content)
    assert raised.value.code == code
    assert stage.rows("SELECT count(*) FROM bank_lines") == before
    return raised.value.facts


def test_a_file_comes_in_and_its_lines_wait(stage: Stage) -> None:
    paper = stage.paper
    paper.line(150_000, "7Q4M2XKD", "CASH DEPOSIT")
    paper.line(-50_000, "", "CHARGE")
    statement = stage.put_paper()
    assert (statement.opening_minor, statement.closing_minor, statement.lines) == (0, 100_000, 2)
    assert (statement.maker, statement.currency) == (MAKER, KES)
    waiting = stage.proposals()
    assert [(one.line.amount_minor, one.line.text) for one in waiting.values()] == [
        (150_000, "CASH DEPOSIT"),
        (-50_000, "CHARGE"),
    ]
    assert stage.house("trust_bank") == 0, "a line that is not matched moves nothing"
    stage.check()


def test_the_same_bytes_twice(stage: Stage) -> None:
    stage.paper.line(100)
    content = stage.paper.take()
    stage.put(content)
    refused(stage, content, "statement_known")
    stage.paper.line(200)
    stage.put_paper()
    refused(stage, content, "statement_known")


def test_each_follows_the_one_before(stage: Stage) -> None:
    paper = stage.paper
    paper.line(100)
    stage.put_paper()
    paper.line(100)
    lost = paper.take()
    paper.line(300)
    later = paper.take()
    assert refused(stage, later, "statement_gap") == {
        "line": 2,
        "expected": "KES 1.00",
        "found": "KES 2.00",
    }
    stage.put(lost)
    stage.put(later)
    stage.check()
    assert refused(stage, Paper().take() + b"x,2026-01-01,1.00,KES,,,1.00\n", "statement_gap")


def test_a_line_that_is_known(stage: Stage) -> None:
    line_id = stage.line(100)
    stage.paper.line(100, id="new")
    stage.paper.line(100, id=line_id)
    same = stage.paper.take()
    stage.paper.balance_minor = 100
    stage.paper.line(101, id=line_id)
    other = stage.paper.take()
    assert refused(stage, same, "statement_line_known") == {"line": 3, "id": line_id}
    assert refused(stage, other, "statement_line_differs") == {"line": 2, "id": line_id}


def test_an_id_twice_in_a_file(stage: Stage) -> None:
    stage.paper.line(1, id="twin")
    stage.paper.line(1, id="twin")
    facts = refused(stage, stage.paper.take(), "statement_refused")
    assert facts == {"line": 3, "reason": "id twin stands in this file before"}
    stage.paper.balance_minor = 0
    for _ in range(BLOCK_LINES):
        stage.paper.line(1)
    stage.paper.line(1, id="BK-3")
    facts = refused(stage, stage.paper.take(), "statement_line_known")
    assert facts == {"line": BLOCK_LINES + 2, "id": "BK-3"}


def test_a_wrong_last_line_leaves_nothing_of_a_long_file(stage: Stage) -> None:
    for _ in range(BLOCK_LINES + 10):
        stage.paper.line(1)
    stage.paper.line(1, currency="USD")
    facts = refused(stage, stage.paper.take(), "statement_refused")
    assert facts["line"] == BLOCK_LINES + 12
    stage.paper.balance_minor = 0
    for _ in range(BLOCK_LINES + 10):
        stage.paper.line(1)
    assert stage.put_paper().lines == BLOCK_LINES + 10
    stage.check()


def test_the_future_is_the_markets(stage: Stage) -> None:
    """At 22:00 in London it is tomorrow in Nairobi."""
    late = now().replace(hour=22, minute=0)
    tomorrow = late.date() + timedelta(days=1)
    stage.paper.line(1, booked_on=tomorrow.isoformat())
    content = stage.paper.take()
    with pytest.raises(DomainError):
        stage.put(content, at=late.replace(hour=20))
    stage.put(content, at=late)


def test_what_was_entered_by_hand_is_in_the_first_opening_balance(stage: Stage) -> None:
    stage.agent(float_minor=700)
    stage.paper.balance_minor = 700
    stage.line(100)
    beside = stage.at_bank()
    assert beside
    assert (beside.closing_minor, beside.unmatched_minor, beside.by_hand_minor) == (800, 100, 0)
    stage.check()


@pytest.mark.parametrize("opening", [0, 250, 1_000])
def test_a_first_opening_balance_that_differs_must_be_accounted_for(
    stage: Stage, opening: int
) -> None:
    """What the bank has more or less than the books is a line that waits for two people."""
    stage.agent(float_minor=700)
    operator = stage.balance(None)
    stage.paper.balance_minor = opening
    stage.paper.line(1)
    stage.put_paper()
    proposal = stage.proposal("opening-KES")
    assert proposal.line.amount_minor == opening - 700
    stage.check()
    if opening > 700:
        stage.assign("opening-KES", None)
        stage.confirm("opening-KES")
        assert stage.balance(None) == operator + opening - 700
        stage.check()


def test_a_line_that_the_opening_balance_stands_for_does_not_come_again(stage: Stage) -> None:
    """Else the bank would have it twice and the books once, and nobody would see it."""
    line_id = stage.by_hand(stage.agent().float_id, 700)
    stage.paper.balance_minor = 700
    stage.line(100)
    stage.paper.line(700, id=line_id)
    assert refused(stage, stage.paper.take(), "statement_line_known")["id"] == line_id


def test_a_line_by_hand_that_the_bank_reports_later(stage: Stage) -> None:
    agent = stage.agent()
    stage.line(100)
    line_id = stage.by_hand(agent.float_id, 900)
    beside = stage.at_bank()
    assert beside
    assert (beside.by_hand_minor, beside.off_minor) == (900, 0)
    stage.paper.line(901, id=line_id)
    assert refused(stage, stage.paper.take(), "statement_line_differs")
    stage.paper.balance_minor = 100
    stage.paper.line(900, id=line_id)
    stage.put_paper()
    beside = stage.at_bank()
    assert beside
    assert (beside.by_hand_minor, beside.off_minor, beside.trust_bank_minor) == (0, 0, 900)


def test_one_file_from_many_threads_comes_in_once(stage: Stage) -> None:
    for _ in range(50):
        stage.paper.line(1)
    content = stage.paper.take()

    def work(_number: int) -> str:
        try:
            stage.put(content)
        except DomainError as error:
            return error.code
        return "in"

    answers = together(6, work)
    assert sorted(answers) == ["in", *["statement_known"] * 5]
    stage.check()


def test_two_files_cannot_follow_the_same_one(stage: Stage) -> None:
    stage.line(100)
    first, second = Paper(balance_minor=100), Paper(balance_minor=100)
    first.line(5, id="a")
    second.line(6, id="b")
    contents = [first.take(), second.take()]

    def work(number: int) -> str:
        try:
            stage.put(contents[number])
        except DomainError as error:
            return error.code
        return "in"

    assert sorted(together(2, work)) == ["in", "statement_gap"]
    stage.check()


def test_a_file_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(DomainError, match="statement_unreadable"):
        stage.take_in(stage.folder / "none")


class Rewritten(type(Path())):  # type: ignore[misc]  # the Path of this machine
    """A file that somebody writes between our two readings."""

    def open(self, *_: object, **__: object) -> io.BytesIO:  # type: ignore[override]
        paper = Paper()
        paper.line(1)
        first = paper.take()
        paper = Paper()
        paper.line(2)
        second = paper.take()

        class File(io.BytesIO):
            def seek(self, *_: int) -> int:
                super().seek(0)
                self.truncate()
                self.write(second)
                return super().seek(0)

        return File(first)


def test_a_file_that_is_written_meanwhile(stage: Stage) -> None:
    with pytest.raises(DomainError, match="statement_changed"):
        stage.take_in(Rewritten("x.csv"))
    assert stage.rows("SELECT * FROM bank_lines") == []


def test_the_importer_is_the_maker(stage: Stage) -> None:
    stage.paper.line(100)
    stage.put(stage.paper.take(), maker=CHECKER)
    (line,) = stage.proposals().values()
    assert line.line.maker == CHECKER
