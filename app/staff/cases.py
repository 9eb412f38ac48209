"""Cases: what one of the staff proposes, with evidence, and another approves.

    proposed ─┬─▶ approved    by another, in the transaction that carries it out
              ├─▶ refused     by another, who says why
              └─▶ withdrawn   by its maker

1. A proposal does nothing. Its approval and its effect are one transaction: both or neither.
2. The maker is never the checker: here, and by a constraint of the table over account ids.
3. One subject has at most one open case of a kind. What was decided stays so.

`decisions.py` says what the approval of each kind does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import DateTime, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.staff.accounts import Role, Staff, refuse_without
from app.wallet import references
from app.wallet.keys import new_key

SUPPORT: tuple[Role, ...] = ("support", "supervisor")
FINANCE: tuple[Role, ...] = ("finance", "supervisor")
# Who may propose and decide a kind: any of these.
ROLES: dict[str, tuple[Role, ...]] = {
    "person_tier": SUPPORT,
    "person_suspend": SUPPORT,
    "person_resume": SUPPORT,
    "person_close": SUPPORT,
    "stop": SUPPORT,
    "stop_collect": SUPPORT,
    "agent_appoint": SUPPORT,
    "agent_suspend": SUPPORT,
    "agent_resume": SUPPORT,
    "float_buy": FINANCE,
    "float_payout": FINANCE,
    "deposit_notice": FINANCE,
    "deposit_cancel": FINANCE,
    "payout_return": FINANCE,
    "report_write_off": FINANCE,
    "report_close": FINANCE,
    "late_sale": FINANCE,
    "sale_refund": FINANCE,
    "settlement_order": FINANCE,
    "settlement_cancel": FINANCE,
    "recover": FINANCE,
}
EVIDENCE_LEAST, EVIDENCE_MOST = 3, 1000
_IS_OPEN = text("state = 'proposed'")  # no parameter: it must be seen to be the index's own
T = TypeVar("T")


class Proposal(NamedTuple):
    """What a case is about, and what its approval will act on."""

    subject: str
    facts: dict[str, Any]


class Case(Base):
    """One proposal and what became of it. `facts` are what the approval acts on."""

    __tablename__ = "cases"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    subject: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    evidence: Mapped[str]
    state: Mapped[str]
    maker_id: Mapped[UUID]
    maker: Mapped[str]
    proposed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checker_id: Mapped[UUID | None]
    checker: Mapped[str | None]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None]


def propose(
    session: Session,
    *,
    kind: str,
    subject: UUID | str,
    facts: Mapping[str, Any],
    evidence: str,
    maker: Staff,
    now: datetime,
) -> Case:
    """Ask for something to be done, and say how one knows that it is right.

    Raises DomainError `role_missing`, `evidence_missing` with `least` and `most`, `case_open` with
    the `reference` of the open one.
    """
    refuse_without(maker, *ROLES[kind])
    row = {
        "id": new_key(),
        "reference": references.draw(lambda one: _id_of(session, one) is not None),
        "kind": kind,
        "subject": str(subject),
        "facts": dict(facts),
        "evidence": told(evidence, "evidence_missing"),
        "state": "proposed",
        "maker_id": maker.id,
        "maker": maker.name,
        "proposed_at": now,
    }
    made = (
        insert(Case)
        .values(row)
        .on_conflict_do_nothing(index_elements=["kind", "subject"], index_where=_IS_OPEN)
        .returning(Case)
    )
    case = session.scalar(made)
    if case is None:
        raise DomainError("case_open", reference=open_reference(session, kind, str(subject)))
    return case


def approve(
    session: Session,
    reference: str,
    checker: Staff,
    now: datetime,
    carry_out: Callable[[Session, Case], T],
) -> T:
    """Approve another's case and do what it asks for, in this one transaction.

    Raises DomainError `case_unknown`, `case_decided` with `state`, `case_kind_unknown`,
    `role_missing`, `same_person`, and what `carry_out` raises: then the case stays open.
    """
    case = _decided(session, reference, checker, "approved", now)
    return carry_out(session, case)


def refuse(session: Session, reference: str, checker: Staff, why: str, now: datetime) -> Case:
    """Say no to another's case, and why. Raises as `approve`, and `reason_missing`."""
    reason = told(why, "reason_missing")
    return _decided(session, reference, checker, "refused", now, reason)


def withdraw(session: Session, reference: str, maker: Staff, now: datetime) -> Case:
    """Take one's own case back. Raises `case_unknown`, `case_decided`, `not_your_case`."""
    case = _locked(session, reference)
    if case.maker_id != maker.id:
        raise DomainError("not_your_case", maker=case.maker)
    case.state, case.decided_at = "withdrawn", now
    session.flush()
    return case


def of_reference(session: Session, reference: str) -> Case:
    """Raises DomainError `case_unknown`."""
    case = session.scalar(select(Case).where(Case.reference == references.written(reference)))
    if case is None:
        raise DomainError("case_unknown")
    return case


def listed(session: Session, *, open_only: bool = True, limit: int = 100) -> Sequence[Case]:
    """Cases that wait for a checker, oldest first; or all, newest first."""
    if open_only:
        statement = select(Case).where(Case.state == "proposed").order_by(Case.proposed_at)
    else:
        statement = select(Case).order_by(Case.proposed_at.desc())
    return session.scalars(statement.limit(limit)).all()


def _decided(
    session: Session,
    reference: str,
    checker: Staff,
    state: str,
    now: datetime,
    reason: str | None = None,
) -> Case:
    """The decision is written before anything is done: the database's own guard comes first."""
    case = _locked(session, reference)
    if case.kind not in ROLES:
        raise DomainError("case_kind_unknown", kind=case.kind)
    refuse_without(checker, *ROLES[case.kind])
    if case.maker_id == checker.id:
        raise DomainError("same_person")
    case.state, case.decided_at, case.reason = state, now, reason
    case.checker_id, case.checker = checker.id, checker.name
    session.flush()
    return case


def _locked(session: Session, reference: str) -> Case:
    case_id = _id_of(session, references.written(reference))
    if case_id is None:
        raise DomainError("case_unknown")
    case = session.get_one(Case, case_id, with_for_update=True, populate_existing=True)
    if case.state != "proposed":
        raise DomainError("case_decided", state=case.state)
    return case


def _id_of(session: Session, reference: str) -> UUID | None:
    return session.scalar(select(Case.id).where(Case.reference == reference))


def open_reference(session: Session, kind: str, subject: str) -> str | None:
    """What the open case of a kind about a subject is called by."""
    where = (Case.kind == kind, Case.subject == subject, Case.state == "proposed")
    return session.scalar(select(Case.reference).where(*where))


def told(typed: str, missing: str) -> str:
    """What somebody wrote down, if it is something. Raises DomainError `missing`."""
    written = typed.strip()
    if not EVIDENCE_LEAST <= len(written) <= EVIDENCE_MOST:
        raise DomainError(missing, least=EVIDENCE_LEAST, most=EVIDENCE_MOST)
    return written
