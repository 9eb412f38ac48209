"""Deposits on their way: the bank's advice, or a slip shown to staff, before the statement has it.

    on_way ─┬─▶ cleared      a line of the statement was matched: the payee has the money
            └─▶ cancelled    it will not come: taken back, by maker and checker

On its way it stands in the books (deposits_in_transit to suspense:deposits) and is nobody's to
spend. The payer writes our reference on the slip; the slip's own number finds it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger, references
from app.wallet.keys import derived_key, new_key
from app.wallet.ledger import Move, Posting
from app.wallet.trust import payees, receipts
from app.wallet.trust.payees import Payee
from app.wallet.trust.statement_file import MINOR_MOST

SLIP_CHARS_MOST = 40
TRANSIT, SUSPENSE = "deposits_in_transit", "suspense:deposits"
POSTING_KIND = "deposit_noted"


class DepositNotice(Base):
    """A deposit of which somebody told us. `ended_by` is the posting that cleared or undid it."""

    __tablename__ = "deposit_notices"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    slip: Mapped[str]
    person_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]
    account_id: Mapped[int]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    state: Mapped[str]
    posting_id: Mapped[int]
    maker: Mapped[str]
    checker: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_by: Mapped[int | None]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_maker: Mapped[str | None]
    cancel_checker: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Notice:
    """A deposit notice as it stands."""

    id: UUID
    reference: str
    slip: str
    person_id: UUID | None
    agent_id: UUID | None
    account_id: int
    currency: str
    amount_minor: int
    state: str
    posting_id: int
    created_at: datetime


def expect(
    session: Session,
    market: Market,
    payee: Payee,
    amount_minor: int,
    *,
    notice_id: UUID,
    slip: str,
    maker: str,
    checker: str,
    now: datetime,
) -> Notice:
    """Note a deposit that is on its way; the same id again answers the notice that it made.

    `notice_id` is a UUIDv7 of the caller. Raises DomainError `same_person`, `amount_too_small`,
    `amount_too_large`, `slip_invalid`, `payee_suspended`, `agent_suspended`.
    """
    known = _one(session, DepositNotice.id == notice_id)
    if known:
        return known
    if maker == checker:
        raise DomainError("same_person")
    check_amount(market, amount_minor)
    slip = written(slip)
    payees.refuse_unfit(session, payee)
    currency, reference = market.currency.code, _free_reference(session)
    posting = Posting(
        key=derived_key(notice_id, "noted"),
        kind=POSTING_KIND,
        moves=(
            Move(
                ledger.house_account(session, TRANSIT, currency),
                ledger.house_account(session, SUSPENSE, currency),
                amount_minor,
            ),
        ),
        reference=reference,
        authority=f"deposit:{notice_id}",
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal:
        raise RuntimeError(f"deposit {reference}: the ledger refuses with {answer.refusal}")
    row = {
        "id": notice_id,
        "reference": reference,
        "slip": slip,
        "person_id": payee.person_id,
        "agent_id": payee.agent_id,
        "account_id": payee.account_id,
        "currency": currency,
        "amount_minor": amount_minor,
        "state": "on_way",
        "posting_id": answer.posting_id,
        "maker": maker,
        "checker": checker,
        "created_at": now,
    }
    session.execute(insert(DepositNotice).values(row))
    receipts.tell(
        session, "deposit_noted", payee,
        subject=notice_id, amount_minor=amount_minor, reference=reference, now=now,
    )  # fmt: skip
    return _locked(session, notice_id)


def cancel(session: Session, reference: str, *, maker: str, checker: str, now: datetime) -> Notice:
    """The deposit will not come: take its notice back, and tell whoever waits for it.

    Raises DomainError `same_person`, `deposit_unknown`, `deposit_ended` with `state`.
    """
    if maker == checker:
        raise DomainError("same_person")
    notice = locked(session, of_reference(session, reference).id)
    reversal = ledger.reverse(
        session,
        key=new_key(),  # derived, it would be as old as what it ends; once is by the state
        original_posting_id=notice.posting_id,
        reference=notice.reference,
        now=now,
    )
    if reversal.refusal:
        raise RuntimeError(f"deposit {notice.reference}: reversal refused, {reversal.refusal}")
    assert reversal.posting_id
    _end(
        session, notice.id, "cancelled", reversal.posting_id, now,
        cancel_maker=maker, cancel_checker=checker,
    )  # fmt: skip
    payee = payees.of_account(session, notice.account_id, notice.person_id, notice.agent_id)
    receipts.tell(
        session, "deposit_cancelled", payee, subject=notice.id,
        amount_minor=notice.amount_minor, reference=notice.reference, now=now,
    )  # fmt: skip
    return _locked(session, notice.id)


def cleared(session: Session, notice_id: UUID, posting_id: int, now: datetime) -> None:
    """A posting has given the money of this locked notice to its payee."""
    _end(session, notice_id, "cleared", posting_id, now)


def locked(session: Session, notice_id: UUID) -> Notice:
    """A notice that is still on its way, locked until the transaction ends.

    Raises DomainError `deposit_ended` with `state`.
    """
    notice = _locked(session, notice_id)
    if notice.state != "on_way":
        raise DomainError("deposit_ended", state=notice.state)
    return notice


def of_reference(session: Session, reference: str) -> Notice:
    """The notice of our reference, typed in any case. Raises DomainError `deposit_unknown`."""
    found = _one(session, DepositNotice.reference == references.written(reference))
    if found is None:
        raise DomainError("deposit_unknown")
    return found


def on_way(session: Session, currency: str, limit: int = 500) -> list[Notice]:
    """What has not come yet, oldest first."""
    statement = _SHOWN.where(DepositNotice.state == "on_way", DepositNotice.currency == currency)
    ordered = statement.order_by(DepositNotice.created_at, DepositNotice.id).limit(limit)
    return [_notice(row) for row in session.execute(ordered)]


def written(slip: str) -> str:
    """The number of a slip as it is kept and looked for: letters and digits, in capitals.

    Raises DomainError `slip_invalid` with `most`.
    """
    kept = re.sub(r"[^0-9A-Z]", "", slip.upper())
    if len(kept) > SLIP_CHARS_MOST:
        raise DomainError("slip_invalid", most=SLIP_CHARS_MOST)
    return kept


def check_amount(market: Market, amount_minor: int) -> None:
    """Raises DomainError `amount_too_small` with `least`, `amount_too_large` with `most`."""
    if amount_minor <= 0:
        raise DomainError("amount_too_small", least=market.currency.format(1))
    if amount_minor > MINOR_MOST:
        raise DomainError("amount_too_large", most=market.currency.format(MINOR_MOST))


def _free_reference(session: Session) -> str:
    def taken(reference: str) -> bool:
        return _one(session, DepositNotice.reference == reference) is not None

    return references.draw(taken)


def _end(
    session: Session, notice_id: UUID, state: str, posting_id: int, now: datetime, **by: str
) -> None:
    values = {"state": state, "ended_by": posting_id, "ended_at": now, **by}
    session.execute(update(DepositNotice).where(DepositNotice.id == notice_id).values(values))


_SHOWN: Select[*tuple[Any, ...]] = select(
    DepositNotice.id, DepositNotice.reference, DepositNotice.slip, DepositNotice.person_id,
    DepositNotice.agent_id, DepositNotice.account_id, DepositNotice.currency,
    DepositNotice.amount_minor, DepositNotice.state, DepositNotice.posting_id,
    DepositNotice.created_at,
)  # fmt: skip


def _one(session: Session, where: Any) -> Notice | None:
    row = session.execute(_SHOWN.where(where)).first()
    return _notice(row) if row else None


def _locked(session: Session, notice_id: UUID) -> Notice:
    statement = _SHOWN.where(DepositNotice.id == notice_id).with_for_update()
    return _notice(session.execute(statement).one())


def _notice(row: Any) -> Notice:
    return Notice(**row._asdict())
