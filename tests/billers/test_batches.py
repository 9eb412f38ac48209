"""Payments that go out by file: the cut-off, the file, the answer, and every moment between."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from app import failpoints
from app.billers import breaker, expiry, models, payments, settlement
from app.billers.batches import close_days, overview, read_answers
from app.billers.batches.making import FILES_A_DAY
from app.billers.payments import PaymentView
from app.billers.protocols import Family, wires
from app.billers.quotes import at_counter, quote
from app.db import Database
from app.markets.model import Market
from app.sms import receipts
from app.text import Catalogues
from app.wallet import agents, ledger, people
from app.wallet.people import Person
from tests.billers.played import PlayedBiller
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, market_with, now
from tests.people import fresh_meter, fresh_msisdn

TAX = 130  # is in the fee of 10.00
SECOND = timedelta(seconds=1)
Line = tuple[PaymentView, str, str]


@dataclass
class School:
    """A biller that is paid by file, and the folder between us."""

    stage: Stage
    folder: Path
    wires: dict[str, Family] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("in", "out"):
            (self.folder / name).mkdir()
        self.restart()

    def restart(self) -> None:
        """A new process remembers no file that it has looked at."""
        self.wires = wires(self.stage.market, self.stage.settings)

    @property
    def cut_off(self) -> datetime:
        """Of the payments that wait."""
        rows = self.stage.run(
            "SELECT min(due_at) AS at FROM payments WHERE biller = :b AND state = 'held'",
            b=self.stage.code,
        )
        at: datetime = rows[0].at
        return at

    def close(self, at: datetime | None = None, **more: int) -> int:
        """The day is over; how many files were written."""
        when = at or self.cut_off + SECOND
        return close_days(self.stage.db, self.stage.market, self.wires, when, **more)

    def read(self, **more: int) -> int:
        return read_answers(self.stage.db, self.stage.market, self.wires, now(), **more)

    def ours(self) -> dict[str, str]:
        """Our files by name."""
        return {path.stem: path.read_text() for path in sorted((self.folder / "out").iterdir())}

    def path(self, batch: str) -> Path:
        return self.folder / "in" / f"{batch}.answer.csv"

    def write(self, batch: str, *lines: Line, **spoil: Any) -> str:
        """The school's answer to a batch; `spoil` replaces parts of a right one."""
        accepted = sum(one.amount_minor for one, says, _ in lines if says == "ACCEPTED")
        said = {"head": f"H,{self.stage.code.upper()},{batch}", "count": len(lines),
                "total": _major(accepted), **spoil}  # fmt: skip
        body = [f"A,{one.biller_ref},{_major(one.amount_minor)},{says},{word}"
                for one, says, word in lines]  # fmt: skip
        text = "\n".join([said["head"], *body, f"T,{said['count']},{said['total']}", ""])
        self.path(batch).write_text(text)
        return text

    def batches(self) -> list[Any]:
        return self.stage.run(
            "SELECT * FROM biller_batches WHERE biller = :b ORDER BY name", b=self.stage.code
        )

    def state(self, payment: PaymentView) -> str:
        return str(self.stage.view(payment).state)


def _major(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


@pytest.fixture
def school(db: Database, demo: Market, tmp_path: Path) -> School:
    code = f"f{secrets.token_hex(6)}"
    (product,) = demo.billers["stima"].products
    fees = product.model_copy(
        update={
            "code": f"{code}_fees", "sku": "FEES", "sells": "service", "name": "School fees",
            "step_minor": 1,
        }
    )  # fmt: skip
    # Far from now, so that no test runs over it.
    cut_off = (now() + timedelta(hours=6)).astimezone(demo.zone).time().replace(microsecond=0)
    changes: dict[str, Any] = {
        "family": "file", "silence_policy": "wait", "cut_off": cut_off, "products": (fees,),
        "refused_codes": ("UNKNOWN", "LEFT"), "refused_first_codes": (),
        "ask_after_seconds": (86_400,), "manual_after_seconds": 259_200,
    }  # fmt: skip
    market = market_with(demo, code, **changes)
    stage = Stage(db, market, code, PlayedBiller(url=tmp_path.as_uri()))
    return School(stage, tmp_path)


def kinds(school: School, payment: PaymentView) -> list[str]:
    return [kind for kind, _ in school.stage.messages(payment)]


# ---- the cut-off


def test_what_was_confirmed_goes_out_at_the_cut_off(school: School) -> None:
    stage = school.stage
    first, second = stage.pay(), stage.pay(amount_minor=AMOUNT + 50)
    at = school.cut_off
    assert school.close(at - SECOND) == 0
    assert (school.state(first), school.ours()) == ("held", {})
    assert school.close(at + SECOND) == 1
    day = at.astimezone(stage.market.zone).date()
    name = f"{stage.code}-{day:%Y%m%d}-01"
    assert school.ours() == {
        name: f"H,KIBANDA,{stage.code},{name},{day},KES\n"
        f"D,{first.biller_ref},{first.customer_no},500.00,GRACE KAMAU,FEES\n"
        f"D,{second.biller_ref},{second.customer_no},500.50,GRACE KAMAU,FEES\n"
        "T,2,1000.50\n"
    }
    (batch,) = school.batches()
    assert (batch.name, batch.lines, batch.total_minor) == (name, 2, 2 * AMOUNT + 50)
    assert batch.written_at == at + SECOND
    (row,) = stage.run(
        "SELECT p.state, p.requests, p.fence, p.first_sent_at IS NOT NULL AS left, p.batch_id,"
        " p.due_at - p.first_sent_at AS answer_in, h.state AS hold, h.expires_at FROM payments p"
        " JOIN holds h ON h.id = p.hold_id WHERE p.id = :id",
        id=first.id,
    )
    assert (row.state, row.requests, row.fence, row.left) == ("sent", 1, 1, True)
    assert (row.batch_id, row.hold, row.expires_at) == (batch.id, "held", None)
    assert abs(row.answer_in - timedelta(days=1)) < SECOND
    assert stage.steps(first) == ["held>held confirmed", "held>sent batched"]
    assert school.close(at + 60 * SECOND) == 0, "once"
    assert len(school.ours()) == 1


def test_who_paid_is_told_when_it_goes_out(school: School) -> None:
    stage = school.stage
    payment = stage.pay()
    ((kind, facts),) = stage.messages(payment)
    assert kind == "payment_accepted"
    by = school.cut_off.astimezone(stage.market.zone).strftime("%d/%m %H:%M")
    said = receipts.render(Catalogues(("en",)), stage.market, kind, "en", facts)
    assert said == (
        f"We pay KES 500.00 for School fees {payment.customer_no} on {by} and SMS you."
        f" Fee KES 10.00. Bal KES 9,490.00. Ref {payment.reference}"
    )


def test_at_a_counter_both_are_told(school: School) -> None:
    stage, person = school.stage, school.stage.person(1)
    agent = stage.db.transact(
        lambda s: agents.appoint(
            s, people.get(s, person.id), name="Neema Kiosk", currency="KES", is_super=False,
            parent=None, now=now(),
        )
    )  # fmt: skip
    stage.pay_in(agent.float_id, BALANCE)
    agreed = quote(
        stage.market, stage.product, fresh_meter(), "GRACE KAMAU", AMOUNT, at=now(),
        walk_in=at_counter(agent, fresh_msisdn()),
    )  # fmt: skip
    payment = stage.confirm(person, agreed, stage.intent(person, agreed))
    told = dict(stage.messages(payment))
    assert set(told) == {"bill_accepted_by_you", "bill_accepted_for_you"}
    assert {facts["by"] for facts in told.values()} == {school.cut_off.isoformat()}
    assert "balance_minor" not in told["bill_accepted_for_you"]
    for language in ("en", "sw", "fr", "am"):
        for kind, facts in told.items():
            assert receipts.render(Catalogues((language,)), stage.market, kind, language, facts)
    school.close()
    (batch,) = school.ours()
    school.write(batch, (payment, "ACCEPTED", "R1"))
    assert school.read() == 1
    assert set(dict(stage.messages(payment))) - set(told) == {
        "bill_paid_by_you", "bill_paid_for_you",
    }  # fmt: skip


def test_a_worker_calls_nobody(school: School) -> None:
    payment = school.stage.pay()
    school.stage.run("UPDATE payments SET due_at = clock_timestamp() WHERE id = :i", i=payment.id)
    school.stage.drain()
    assert school.state(payment) == "held"


def test_a_paused_biller_gets_no_file_and_the_money_goes_back(school: School) -> None:
    stage, payment = school.stage, school.stage.pay()
    at = school.cut_off
    stage.db.transact(lambda s: breaker.set_paused(s, stage.code, paused=True))
    assert school.close(at + SECOND) == 0
    assert school.state(payment) == "held"
    stage.run("UPDATE payments SET expires_at = clock_timestamp() WHERE id = :i", i=payment.id)
    assert expiry.cancel_unsent(stage.db, stage.market, now()) >= 1
    assert (school.state(payment), kinds(school, payment)[-1]) == ("cancelled", "payment_cancelled")
    stage.db.transact(lambda s: breaker.set_paused(s, stage.code, paused=False))
    assert school.close(at + SECOND) == 0, "cancelled is cancelled"


def test_resumed_in_time_it_goes_out_late(school: School) -> None:
    stage, payment = school.stage, school.stage.pay()
    at = school.cut_off
    stage.db.transact(lambda s: breaker.set_paused(s, stage.code, paused=True))
    assert school.close(at + SECOND) == 0
    stage.db.transact(lambda s: breaker.set_paused(s, stage.code, paused=False))
    assert school.close(at + timedelta(hours=2)) == 0, "its own time is over"
    assert school.close(at + timedelta(minutes=119)) == 1
    assert school.state(payment) == "sent"


def test_more_than_a_file_holds_goes_out_in_several(school: School) -> None:
    paid = [school.stage.pay() for _ in range(5)]
    assert school.close(lines_most=2) == 3
    assert [batch.lines for batch in school.batches()] == [2, 2, 1]
    assert [name[-2:] for name in school.ours()] == ["01", "02", "03"]
    every = "".join(school.ours().values())
    assert [every.count(one.biller_ref) for one in paid] == [1] * 5


def test_a_day_has_so_many_files_and_no_more(school: School) -> None:
    stage, payment = school.stage, school.stage.pay()
    at = school.cut_off
    stage.run(
        "INSERT INTO biller_batches (id, biller, name, day, currency, lines, total_minor, made_at,"
        " written_at) SELECT gen_random_uuid(), :b, :b || to_char(CAST(:day AS date),"
        " '-YYYYMMDD-') || lpad(n::text, 2, '0'), :day, 'KES', 1, 1, now(), now()"
        " FROM generate_series(1, :most) n",
        b=stage.code, day=at.astimezone(stage.market.zone).date(), most=FILES_A_DAY,
    )  # fmt: skip
    with capture_logs() as logs:
        assert school.close(at + SECOND) == 0
    assert [line["event"] for line in logs] == ["batches_too_many"]
    (row,) = stage.run(
        "SELECT p.state, h.expires_at FROM payments p JOIN holds h ON h.id = p.hold_id"
        " WHERE p.id = :id",
        id=payment.id,
    )
    assert (row.state, row.expires_at is not None) == ("held", True)


def test_a_hold_that_is_gone_stays_at_home(school: School) -> None:
    stage = school.stage
    gone, payment = stage.pay(), stage.pay()
    hold = stage.run("SELECT hold_id FROM payments WHERE id = :i", i=gone.id)[0].hold_id
    stage.db.transact(lambda s: ledger.release(s, hold, reason="expired", now=now()))
    assert school.close() == 1
    assert (school.state(gone), school.state(payment)) == ("cancelled", "sent")
    (text,) = school.ours().values()
    assert gone.biller_ref not in text
    assert text.endswith("T,1,500.00\n")


def test_without_a_folder_nothing_is_promised(school: School) -> None:
    payment = school.stage.pay()
    at = school.cut_off + SECOND
    (school.folder / "out").rmdir()
    with capture_logs() as logs:
        assert school.close(at) == 0
    assert [(line["event"], line["error"]) for line in logs] == [
        ("batch_not_written", "NotADirectoryError")
    ]
    assert (school.state(payment), school.batches()) == ("held", [])
    (school.folder / "out").mkdir()
    assert school.close(at) == 1


# ---- killed


@contextmanager
def killed_at(failpoint: str) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Runs something in a process of its own that dies at a failpoint, as by kill -9."""

    def run(work: Callable[[], object]) -> None:
        child = os.fork()
        if child == 0:
            try:
                failpoints.arm(failpoint)
                work()
            finally:
                os._exit(0)  # not killed: the test sees it
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL

    yield run


def _in_child(school: School, database_url: str) -> Database:
    """A forked process shares no connection with the one that it came from."""
    school.stage.db = Database(database_url, pool_size=2)
    return school.stage.db


@pytest.mark.parametrize("failpoint", ["batch.after_commit", "batch.after_write"])
def test_killed_on_the_way_out(school: School, database_url: str, failpoint: str) -> None:
    paid = [school.stage.pay() for _ in range(3)]
    at = school.cut_off + SECOND

    def close() -> None:
        _in_child(school, database_url)
        school.close(at)

    with killed_at(failpoint) as run:
        run(close)
    assert {school.state(one) for one in paid} == {"sent"}
    (batch,) = school.batches()
    assert batch.written_at is None
    before = school.ours()
    assert len(before) == (1 if failpoint == "batch.after_write" else 0)
    assert school.close(at) == 1
    (text,) = school.ours().values()
    assert before in ({}, school.ours())
    assert [text.count(one.biller_ref) for one in paid] == [1] * 3
    assert len(school.batches()) == 1
    assert school.close(at) == 0


def test_killed_after_writing_and_answered_meanwhile(school: School, database_url: str) -> None:
    payment = school.stage.pay()
    at = school.cut_off + SECOND

    def close() -> None:
        _in_child(school, database_url)
        school.close(at)

    with killed_at("batch.after_write") as run:
        run(close)
    ((name, _),) = school.ours().items()
    (school.folder / "out" / f"{name}.csv").unlink()
    school.write(name, (payment, "ACCEPTED", "R1"))
    assert school.read() == 0, "not before it is known that it was written"
    assert school.close(at) == 1
    assert school.ours() == {}, "the school has taken it, and gets no second one"
    assert school.read() == 1
    assert school.state(payment) == "captured"


def test_killed_while_an_answer_takes_effect(school: School, database_url: str) -> None:
    stage, person = school.stage, school.stage.person()
    paid = [stage.pay(person) for _ in range(5)]
    school.close()
    (batch,) = school.ours()
    school.write(batch, *((one, "ACCEPTED", f"R{n}") for n, one in enumerate(paid)))

    def read() -> None:
        _in_child(school, database_url)
        school.read(lines_at_once=2)

    with killed_at("answer.after_commit") as run:
        run(read)
    states = [school.state(one) for one in paid]
    assert (states.count("captured"), states.count("sent")) == (2, 3)
    assert school.batches()[0].answered_at is None
    # Another answer comes too late: some of the first has taken effect.
    right = school.path(batch).read_text()
    school.write(batch, *((one, "REJECTED", "UNKNOWN") for one in paid))
    with capture_logs() as logs:
        assert school.read() == 0
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("answer_refused", "other_answer")
    ]
    school.path(batch).write_text(right)
    assert school.read(lines_at_once=2) == 3
    assert {school.state(one) for one in paid} == {"captured"}
    assert stage.balance(person).balance_minor == BALANCE - 5 * (AMOUNT + FEE)
    assert stage.house(f"settlement:{stage.code}") == 5 * AMOUNT
    assert all(kinds(school, one) == ["payment_accepted", "payment_paid"] for one in paid)
    assert all(len(stage.steps(one)) == 3 for one in paid)


def test_one_that_cannot_be_settled_keeps_no_other_open(school: School) -> None:
    stage = school.stage
    paid = [stage.pay() for _ in range(4)]
    school.close()
    (batch,) = school.ours()
    hold = stage.run("SELECT hold_id FROM payments WHERE id = :i", i=paid[1].id)[0].hold_id
    stage.db.transact(lambda s: ledger.release(s, hold, reason="by mistake", now=now()))
    school.write(batch, *((one, "ACCEPTED", "R1") for one in paid))
    with capture_logs() as logs:
        assert school.read(lines_at_once=2) == 3
    assert [line["event"] for line in logs] == ["payment_not_settled"]
    assert [school.state(one) for one in paid] == ["captured", "sent", "captured", "captured"]
    assert school.batches()[0].answered_at is None, "it is tried again, and rings again"
    with capture_logs() as logs:
        assert school.read() == 0
    assert [line["event"] for line in logs] == ["payment_not_settled"]


# ---- what an answer means: state, moves, SMS


MOVES = """
    SELECT debit.kind AS debit, credit.kind AS credit, m.amount_minor
    FROM postings p JOIN moves m ON m.posting_id = p.id
    JOIN accounts debit ON debit.id = m.debit JOIN accounts credit ON credit.id = m.credit
    WHERE p.reference = :reference ORDER BY p.id, m.line
"""
Moves = tuple[tuple[str, str, int], ...]
CAPTURE: Moves = (
    ("wallet", "settlement", AMOUNT),
    ("wallet", "tax", TAX),
    ("wallet", "fees", FEE - TAX),
)


@dataclass(frozen=True)
class Ending:
    """What became of a payment."""

    state: str
    moves: Moves
    held_minor: int
    sms: tuple[str, ...]


WAITS = Ending("sent", (), AMOUNT + FEE, ("payment_accepted",))
DOUBTED = Ending("unknown", (), AMOUNT + FEE, ("payment_accepted",))
PAID = Ending("captured", CAPTURE, 0, ("payment_accepted", "payment_paid"))
BACK = Ending("released", (), 0, ("payment_accepted", "payment_refused"))
MANUAL = Ending("manual", (), AMOUNT + FEE, ("payment_accepted", "payment_manual"))
FOUND = Ending("captured", CAPTURE, 0, ("payment_accepted", "payment_manual", "payment_paid"))


def ending(school: School, person: Person, payment: PaymentView) -> Ending:
    own = f"settlement:{school.stage.code}"
    short = lambda name: "settlement" if name == own else name  # noqa: E731
    moves = school.stage.run(MOVES, reference=payment.reference)
    return Ending(
        school.state(payment),
        tuple((short(row.debit), short(row.credit), row.amount_minor) for row in moves),
        school.stage.balance(person).held_minor,
        tuple(kinds(school, payment)),
    )


def sent(school: School) -> tuple[Person, PaymentView, str]:
    """A payment that has gone out, with its batch."""
    person = school.stage.person()
    payment = school.stage.pay(person)
    school.close()
    return person, payment, school.batches()[-1].name


LINES: list[tuple[str, str, Ending]] = [
    ("ACCEPTED", "R-77", PAID),
    ("REJECTED", "UNKNOWN", BACK),
    ("REJECTED", "LEFT", BACK),
    ("REJECTED", "TRY_AGAIN", DOUBTED),
    ("", "", WAITS),  # left out
]


def test_what_a_line_means(school: School) -> None:
    stage = school.stage
    people_ = [stage.person() for _ in LINES]
    paid = [stage.pay(person) for person in people_]
    school.close()
    (batch,) = school.ours()
    school.write(
        batch,
        *((one, says, word) for one, (says, word, _) in zip(paid, LINES, strict=True) if says),
    )
    assert school.read() == 4
    for person, payment, (_, word, expected) in zip(people_, paid, LINES, strict=True):
        assert ending(school, person, payment) == expected, word
    assert stage.view(paid[0]).receipt_no == "R-77"
    assert dict(stage.messages(paid[0]))["payment_paid"]["receipt_no"] == "R-77"
    assert school.batches()[0].answered_at
    steps = {step: stage.steps(one)[2:] for step, one in enumerate(paid)}
    school.restart()
    assert school.read() == 0, "an answer counts once, also for a new process"
    assert {step: stage.steps(one)[2:] for step, one in enumerate(paid)} == steps


WRONG: list[tuple[str, Callable[[School, str, PaymentView], object], int, str]] = [
    ("cut short", lambda s, b, p: s.path(b).write_text(s.write(b, (p, "ACCEPTED", "R1"))[:-9]),
     3, "cut_off"),
    ("nonsense", lambda s, b, _: s.path(b).write_text("<html>\n"), 1, "header_wrong"),
    ("empty", lambda s, b, _: s.path(b).write_text(""), 1, "cut_off"),
    ("another batch's", lambda s, b, p: s.write(
        b, (p, "ACCEPTED", "R1"), head=f"H,{s.stage.code},{b[:-2]}09"), 1, "other_batch"),
    ("another biller's", lambda s, b, p: s.write(
        b, (p, "ACCEPTED", "R1"), head=f"H,CLINIC,{b}"), 1, "header_wrong"),
    ("another count", lambda s, b, p: s.write(b, (p, "ACCEPTED", "R1"), count=2), 3, "count_wrong"),
    ("another total", lambda s, b, p: s.write(
        b, (p, "ACCEPTED", "R1"), total="500.01"), 3, "total_wrong"),
    ("another amount", lambda s, b, p: s.path(b).write_text(
        s.write(b, (p, "ACCEPTED", "R1")).replace("500.00", "500.01")), 2, "other_amount"),
    ("not ours", lambda s, b, p: s.path(b).write_text(
        s.write(b, (p, "ACCEPTED", "R1")).replace(p.biller_ref, "0" * 32)), 2, "not_ours"),
    ("twice", lambda s, b, p: s.write(
        b, (p, "ACCEPTED", "R1"), (p, "REJECTED", "UNKNOWN")), 3, "twice"),
]  # fmt: skip


def test_a_wrong_answer_settles_nothing_and_is_told_once(school: School) -> None:
    person, payment, batch = sent(school)
    for what, write, line, reason in WRONG:
        write(school, batch, payment)
        raw = school.path(batch).read_bytes()
        with capture_logs() as logs:
            assert school.read() == school.read() == 0, what
        assert logs == [
            {"event": "answer_refused", "log_level": "error", "biller": school.stage.code,
             "file": f"{batch}.answer.csv", "line": line, "reason": reason}
        ], what  # fmt: skip
        assert ending(school, person, payment) == WAITS, what
        assert school.path(batch).read_bytes() == raw, what
    school.write(batch, (payment, "ACCEPTED", "R1"))
    assert school.read() == 1
    assert ending(school, person, payment) == PAID


def test_a_second_answer_is_refused(school: School) -> None:
    person, payment, batch = sent(school)
    school.write(batch, (payment, "ACCEPTED", "R1"))
    assert school.read() == 1
    right = school.path(batch).read_text()
    school.write(batch, (payment, "REJECTED", "UNKNOWN"))
    with capture_logs() as logs:
        assert school.read() == school.read() == 0
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("answer_refused", "other_answer")
    ]
    school.path(batch).write_text(right)  # the same again says nothing new
    with capture_logs() as logs:
        assert school.read() == 0
    assert logs == []
    assert ending(school, person, payment) == PAID


def grow_old(school: School, payment: PaymentView) -> None:
    """Nobody has answered for three days."""
    long_ago = "UPDATE payments SET first_sent_at = first_sent_at - interval '72 hours' WHERE id=:i"
    school.stage.run(long_ago, i=payment.id)
    expiry.end_asking(school.stage.db, school.stage.market, now())


def test_what_nobody_answers_becomes_manual(school: School) -> None:
    person, payment, batch = sent(school)
    grow_old(school, payment)
    assert ending(school, person, payment) == MANUAL
    school.write(batch, (payment, "ACCEPTED", "R1"))
    assert school.read() == 1
    assert ending(school, person, payment) == FOUND


def test_a_rejection_decides_no_manual_one(school: School) -> None:
    person, payment, batch = sent(school)
    grow_old(school, payment)
    school.write(batch, (payment, "REJECTED", "UNKNOWN"))
    assert school.read() == 1
    assert ending(school, person, payment) == MANUAL
    assert school.stage.steps(payment)[-1] == "manual>manual late_answer"


def decide(school: School, payment: PaymentView, decision: str) -> None:
    """Two people have found out what became of it, before the school's file came."""

    def work(session: Session) -> None:
        locked, by = models.lock(session, payment.id), {"by": "asha and juma"}
        market, at = school.stage.market, now()
        if decision == "paid":
            settlement.paid(session, market, locked, (), now=at, facts=by)
        else:
            settlement.release(session, market, locked, now=at, facts=by)

    school.stage.db.transact(work)


@pytest.mark.parametrize(
    ("decision", "line", "state", "last_move"),
    [
        ("paid", ("REJECTED", "UNKNOWN"), "returned", ("settlement", "suspense:returned", AMOUNT)),
        ("refused", ("ACCEPTED", "R1"), "paid_late", ("suspense:late", "settlement", AMOUNT)),
    ],
)
def test_what_contradicts_a_decision_moves_no_persons_money(
    school: School, decision: str, line: tuple[str, str], state: str, last_move: Any
) -> None:
    person, payment, batch = sent(school)
    grow_old(school, payment)
    decide(school, payment, decision)
    had = school.stage.balance(person)
    school.write(batch, (payment, *line))
    assert school.read() == 1
    found = ending(school, person, payment)
    assert (found.state, found.moves[-1]) == (state, last_move)
    assert school.stage.balance(person) == had


def test_an_answer_that_comes_while_its_batch_is_closed_waits(school: School) -> None:
    """Two batches of a day have an answer each."""
    stage = school.stage
    first, second = stage.pay(), stage.pay()
    school.close(lines_most=1)
    one, two = school.ours()
    school.write(two, (second, "ACCEPTED", "R2"))
    assert school.read() == 1
    assert (school.state(first), school.state(second)) == ("sent", "captured")
    school.write(one, (first, "ACCEPTED", "R1"))
    assert school.read() == 1
    assert [batch.answered_at is not None for batch in school.batches()] == [True, True]


def test_staff_see_what_waits_and_what_went_out(school: School) -> None:
    stage = school.stage
    _, payment, batch = sent(school)
    stage.pay()

    def look() -> tuple[list[overview.Waiting], list[overview.Sent]]:
        return stage.db.transact(
            lambda s: (overview.waiting(s, [stage.code]), overview.sent(s, [stage.code], now()))
        )

    assert overview.by_file(stage.market) == [stage.code]
    (waits,), (out,) = look()
    assert (waits.count, waits.total_minor, waits.cut_off) == (1, AMOUNT, school.cut_off)
    assert (out.name, out.state, out.lines, out.open_lines) == (batch, "written", 1, 1)
    school.write(batch, (payment, "ACCEPTED", "R1"))
    school.read()
    _, (out,) = look()
    assert (out.state, out.paid, out.given_back, out.open_lines) == ("answered", 1, 0, 0)
    assert stage.db.transact(lambda s: payments.outcome(s, payment.id)).receipt_no == "R1"


def unwritten(school: School) -> str:
    """The name of the batch that is due; killed before its file was there."""
    school.close()
    (name,) = school.ours()
    (school.folder / "out" / f"{name}.csv").unlink()
    school.stage.run(
        "UPDATE biller_batches SET written_at = NULL WHERE biller = :b", b=school.stage.code
    )
    return name


def test_a_file_that_cannot_be_written_keeps_no_other_at_home(school: School) -> None:
    school.stage.pay()
    cut_off = school.cut_off
    name = unwritten(school)
    (school.folder / "out" / f"{name}.csv").write_text("somebody else's\n")
    second = school.stage.pay()
    school.stage.run(
        "UPDATE payments SET due_at = due_at + interval '1 day',"
        " expires_at = expires_at + interval '1 day' WHERE id = :id",
        id=second.id,
    )
    school.close(cut_off + timedelta(days=1, seconds=1))
    assert [batch.written_at is not None for batch in school.batches()] == [False, True]


def test_what_is_no_answer_keeps_no_file_at_home(school: School) -> None:
    school.stage.pay()
    name = unwritten(school)
    school.path(name).write_text("")
    school.close(now())
    assert list(school.ours()) == [name]


def test_a_file_that_nobody_remembers_is_not_written_again_with_other_lines(school: School) -> None:
    """A database was restored to before the cut-off: its day's file went out all the same."""
    day = school.stage.pay() and school.cut_off.astimezone(school.stage.market.zone)
    forgotten = [f"{school.stage.code}-{day:%Y%m%d}-{number:02}" for number in (1, 2)]
    (school.folder / "out" / f"{forgotten[0]}.csv").write_text("what went out\n")
    school.path(forgotten[1]).write_text("what came back\n")
    assert school.close() == 1
    assert list(school.ours()) == [forgotten[0], f"{school.stage.code}-{day:%Y%m%d}-03"]
    assert school.ours()[forgotten[0]] == "what went out\n"
