"""The rows that say what a line is for: who proposed it, who confirmed it, what that posted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import DateTime, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.wallet import references
from app.wallet.keys import new_key
from app.wallet.trust import orders, payees
from app.wallet.trust.payees import Payee

Kind = Literal["deposit", "payout", "returned", "account", "settlement", "settlement_back"]


class BankMatch(Base):
    """What a line is for. `account_id` is the payee's; of a payout, where the money came from.

    deposit: clears a notice · payout: it has left the bank · returned: a payout came back
    · account: straight into an account, or out of the operator's own
    · settlement: a biller was paid by order · settlement_back: that came back
    """

    __tablename__ = "bank_matches"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[str]
    kind: Mapped[str]
    notice_id: Mapped[UUID | None]
    transfer_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    account_id: Mapped[int]
    person_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]
    reference: Mapped[str]
    proposer: Mapped[str]
    proposed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checker: Mapped[str | None]
    posting_id: Mapped[int | None]
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_by: Mapped[str | None]
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Target:
    """What a line is for. `proposer` says so; `match_id` when it was written down."""

    kind: Kind
    reference: str
    payee: Payee
    proposer: str
    notice_id: UUID | None = None
    transfer_id: UUID | None = None
    order_id: UUID | None = None
    match_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A line that is matched, and the posting that did it."""

    line_id: str
    kind: str
    reference: str
    payee: Payee
    checker: str
    posting_id: int


def written_down(session: Session, line_ids: Sequence[str]) -> dict[str, Target]:
    """What lines are assigned to and not confirmed as yet, by line id."""
    statement = select(BankMatch).where(
        BankMatch.line_id.in_(line_ids),
        BankMatch.withdrawn_at.is_(None),
        BankMatch.confirmed_at.is_(None),
    )
    found = session.scalars(statement, execution_options={"populate_existing": True})
    return {row.line_id: _target(session, row) for row in found}


def confirmed(session: Session, line_id: str) -> Confirmed | None:
    """What a line was confirmed as, or None."""
    statement = select(BankMatch).where(
        BankMatch.line_id == line_id,
        BankMatch.confirmed_at.is_not(None),
        BankMatch.withdrawn_at.is_(None),  # always so; it finds the index
    )
    row = session.scalar(statement, execution_options={"populate_existing": True})
    if row is None or row.checker is None or row.posting_id is None:
        return None
    target = _target(session, row)
    return Confirmed(line_id, row.kind, row.reference, target.payee, row.checker, row.posting_id)


def write(session: Session, line_id: str, target: Target, now: datetime) -> UUID:
    """Write down what a line is for; the id of the row.

    Raises DomainError `line_assigned`: the line, or what it would be for, is taken.
    """
    row = {
        "id": new_key(),
        "line_id": line_id,
        "kind": target.kind,
        "notice_id": target.notice_id,
        "transfer_id": target.transfer_id,
        "order_id": target.order_id,
        "account_id": target.payee.account_id,
        "person_id": target.payee.person_id,
        "agent_id": target.payee.agent_id,
        "reference": target.reference,
        "proposer": target.proposer,
        "proposed_at": now,
    }
    made = insert(BankMatch).values(row).on_conflict_do_nothing().returning(BankMatch.id)
    match_id = session.scalar(made)
    if match_id is None:
        raise DomainError("line_assigned")
    return match_id


def close(
    session: Session, match_id: UUID, *, checker: str, posting_id: int, now: datetime
) -> None:
    """A row was confirmed and posted. Raises DomainError `proposal_changed`: it is withdrawn."""
    values = {"checker": checker, "posting_id": posting_id, "confirmed_at": now}
    if not _update_open(session, BankMatch.id == match_id, values):
        raise DomainError("proposal_changed")


def withdraw(session: Session, line_id: str, *, by: str, now: datetime) -> bool:
    """Take back what a line is assigned to; False when it is not."""
    values = {"withdrawn_by": by, "withdrawn_at": now}
    return _update_open(session, BankMatch.line_id == line_id, values)


def free_reference(session: Session) -> str:
    """A reference for what has none of its own."""

    def taken(reference: str) -> bool:
        known = select(BankMatch.id).where(BankMatch.reference == reference).limit(1)
        return session.scalar(known) is not None

    return references.draw(taken)


def _update_open(session: Session, where: object, values: dict[str, object]) -> bool:
    is_open = (BankMatch.confirmed_at.is_(None), BankMatch.withdrawn_at.is_(None))
    statement = update(BankMatch).where(where, *is_open).values(values)  # type: ignore[arg-type]
    return session.scalar(statement.returning(BankMatch.id)) is not None


def _target(session: Session, row: BankMatch) -> Target:
    return Target(
        kind=row.kind,  # type: ignore[arg-type]  # the column's CHECK
        reference=row.reference,
        payee=_payee(session, row),
        proposer=row.proposer,
        notice_id=row.notice_id,
        transfer_id=row.transfer_id,
        order_id=row.order_id,
        match_id=row.id,
    )


def _payee(session: Session, row: BankMatch) -> Payee:
    if row.order_id:
        return orders.get(session, row.order_id).payee
    return payees.of_account(session, row.account_id, row.person_id, row.agent_id)
