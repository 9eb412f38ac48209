"""What did not fit in a biller's file, and until when.

    open ─┬─▶ done, found         another file had it
          ├─▶ done, captured      the biller sold it, and we know now
          ├─▶ done, returned      the biller did not sell it after all, and we know now
          └─▶ done, written_off | closed      by a case of two people

The first three are no decision about the file: they follow from what became of the payment, whoever
decided that, and are looked for by `settle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import DateTime, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.billers.reconciliation.runs import Run
from app.db import Base
from app.errors import DomainError
from app.wallet import references

AT_MOST = 500  # of one look; what is older comes first

_CAPTURED = text("""
    WITH done AS (
        UPDATE reconciliation_exceptions e
        SET state = 'done', outcome = 'captured', done_at = :now
        FROM payments p
        WHERE e.state = 'open' AND e.kind = 'only_theirs' AND p.id = e.payment_id
          AND p.state IN ('captured', 'paid_late') AND p.amount_minor = e.theirs_minor
        RETURNING e.payment_id, e.run_id
    ), reconciled AS (
        INSERT INTO reconciled_payments (payment_id, run_id)
        SELECT DISTINCT ON (payment_id) payment_id, run_id FROM done
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM done
""")
_RETURNED = text("""
    WITH done AS (
        UPDATE reconciliation_exceptions e
        SET state = 'done', outcome = 'returned', done_at = :now
        FROM payments p
        WHERE e.state = 'open' AND p.id = e.payment_id AND p.state = 'returned'
          AND (e.kind = 'only_ours' OR e.why = 'taken_back')
        RETURNING 1
    )
    SELECT count(*) FROM done
""")
_FOUND = text("""
    WITH done AS (
        UPDATE reconciliation_exceptions e
        SET state = 'done', outcome = 'found', done_at = :now
        FROM reconciled_payments r
        WHERE e.state = 'open' AND e.kind = 'only_ours' AND e.why = 'missing'
          AND r.payment_id = e.payment_id
        RETURNING 1
    )
    SELECT count(*) FROM done
""")


class ReportException(Base):
    """One thing that does not fit; `why` says what is known of it."""

    __tablename__ = "reconciliation_exceptions"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    biller: Mapped[str]
    kind: Mapped[str]
    why: Mapped[str]
    line: Mapped[int | None]
    biller_ref: Mapped[str]
    payment_id: Mapped[UUID | None]
    ours_minor: Mapped[int | None]
    theirs_minor: Mapped[int | None]
    state: Mapped[str]
    outcome: Mapped[str | None]
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    claimed_by: Mapped[str | None]
    note: Mapped[str | None]
    case_id: Mapped[UUID | None]
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Found = tuple[Run, ReportException]


def settle(session: Session, now: datetime) -> int:
    """End what has ended by itself; how many."""
    return sum(
        int(session.execute(statement, {"now": now}).scalar_one())
        for statement in (_CAPTURED, _RETURNED, _FOUND)
    )


def open_ones(session: Session, biller: str | None, limit: int = AT_MOST) -> Sequence[Found]:
    """What waits for somebody, oldest day first."""
    statement = _SHOWN.where(ReportException.state == "open")
    if biller is not None:
        statement = statement.where(ReportException.biller == biller)
    return _found(session, statement.order_by(Run.day, Run.id, ReportException.number), limit)


def of_run(session: Session, run: Run, limit: int = AT_MOST) -> Sequence[Found]:
    """All of a file, open or done."""
    statement = _SHOWN.where(ReportException.run_id == run.id)
    return _found(session, statement.order_by(ReportException.number), limit)


def counts(session: Session, run: Run) -> dict[str, int]:
    """How many of each kind a file had."""
    query = text(
        "SELECT kind, count(*) FROM reconciliation_exceptions WHERE run_id = :run GROUP BY kind"
    )
    return {row[0]: row[1] for row in session.execute(query, {"run": run.id})}


def locked(session: Session, name: str) -> Found:
    """The exception `RUN-NUMBER`, open until this transaction ends.

    Raises DomainError `exception_unknown`, `exception_done` with `outcome`.
    """
    reference, _, number = references.written(name).partition("-")
    if not number.isdecimal() or len(number) > 9:
        raise DomainError("exception_unknown")
    statement = _SHOWN.where(Run.reference == reference, ReportException.number == int(number))
    row = session.execute(
        statement.with_for_update(of=ReportException),
        execution_options={"populate_existing": True},
    ).first()
    if row is None:
        raise DomainError("exception_unknown")
    if row[1].state != "open":
        raise DomainError("exception_done", outcome=row[1].outcome)
    return row[0], row[1]


def returned_written_off(session: Session, payment_id: UUID) -> bool:
    """Whether two people found that a sale that was taken back is one after all."""
    statement = select(ReportException.number).where(
        ReportException.payment_id == payment_id,
        ReportException.why == "returned",
        ReportException.outcome == "written_off",
    )
    return session.scalar(statement.limit(1)) is not None


def named(run: Run, one: ReportException) -> str:
    """What staff call it by."""
    return f"{run.reference}-{one.number}"


def age_days(run: Run, today: date) -> int:
    """Days since the one that the file was of."""
    return (today - run.day).days


def finish(
    session: Session, one: ReportException, outcome: str, case_id: UUID, now: datetime
) -> None:
    """Two people have ended it."""
    one.state, one.outcome, one.case_id, one.done_at = "done", outcome, case_id, now
    session.flush()


_SHOWN = select(Run, ReportException).join(Run, Run.id == ReportException.run_id)


def _found(session: Session, statement: object, limit: int) -> Sequence[Found]:
    rows = session.execute(statement.limit(limit))  # type: ignore[attr-defined]
    return [(row[0], row[1]) for row in rows]
