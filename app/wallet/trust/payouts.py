"""Money on its way from the bank: an agent's float that is paid out, a wallet that was closed.

    on the way ─┬─▶ out ────▶ came back    lines of the statement: it left the bank, it returned
                └─▶ never left             the bank refused it: taken back by maker and checker

A payout is a transfer into payouts_in_transit; its reference is what the bank transfer carries.
Only a matched line takes it out of there, or a reversal gives it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import DateTime

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Fee
from app.wallet import agents, ledger, references
from app.wallet.counter import low_float
from app.wallet.keys import derived_key, new_key
from app.wallet.transfers import posting, records, returns
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import Transfer, TransferView
from app.wallet.trust import payees, receipts
from app.wallet.trust.lines import one_of
from app.wallet.trust.matches import BankMatch
from app.wallet.trust.payees import Payee

TRANSIT = "payouts_in_transit"
KINDS = ("float_payout", "closing")


class FloatPayout(Base):
    """Who asked for a payout of a float, and who agreed; the id is the request's."""

    __tablename__ = "float_payouts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    transfer_id: Mapped[UUID]
    maker: Mapped[str]
    checker: Mapped[str]


class PayoutReturn(Base):
    """By whose word a payout that never left the bank was taken back."""

    __tablename__ = "payout_returns"

    transfer_id: Mapped[UUID] = mapped_column(primary_key=True)
    maker: Mapped[str]
    checker: Mapped[str]
    returned_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as it stands; `out` once a matched line says that it left the bank."""

    id: UUID
    reference: str
    kind: str
    account_id: int
    person_id: UUID | None
    agent_id: UUID | None
    currency: str
    amount_minor: int
    created_at: datetime
    returned: bool
    out: bool


def pay_out(
    session: Session,
    market: Market,
    agent_code: str,
    amount_minor: int,
    *,
    payout_id: UUID,
    maker: str,
    checker: str,
    now: datetime,
) -> TransferView:
    """Take float for a bank transfer to the agent; the same id again answers the same transfer.

    `payout_id` is a UUIDv7 of the caller. Raises DomainError `same_person`, `agent_code_wrong`,
    `agent_unknown`, `agent_suspended`, `amount_too_small`, `insufficient_funds`.
    """
    known = session.scalar(select(FloatPayout.transfer_id).where(FloatPayout.id == payout_id))
    if known:
        return records.outcome(session, known)
    if maker == checker:
        raise DomainError("same_person")
    if amount_minor <= 0:
        raise DomainError("amount_too_small", least=market.currency.format(1))
    agent = agents.of_code(session, agent_code)
    currency = market.currency.code
    offer = Offer(
        kind="float_payout",
        payer_account=agent.float_id,
        payee_account=ledger.house_account(session, TRANSIT, currency),
        payer_id=None,
        payee_id=None,
        agent_id=agent.id,
        msisdn=None,
        name=agent.name,
        currency=currency,
        amount_minor=amount_minor,
        fee=Fee(0),
    )
    key = derived_key(payout_id, "payout")
    view = posting.carry_out(session, market, offer, intent=None, key=key, now=now)
    row = {"id": payout_id, "transfer_id": view.id, "maker": maker, "checker": checker}
    session.execute(insert(FloatPayout).values(row))
    receipts.tell(
        session, "payout_sent", Payee(agent.float_id, agent.name, agent_id=agent.id),
        subject=view.id, amount_minor=amount_minor, reference=view.reference, now=now,
    )  # fmt: skip
    low_float.fell(session, market, agent, view.id, now)
    return view


def take_back(
    session: Session, market: Market, reference: str, *, maker: str, checker: str, now: datetime
) -> Payout:
    """The bank has never carried it out: the money goes back to where it came from.

    Raises DomainError `same_person`, `payout_unknown`, `payout_ended` (it came back before),
    `payout_left` (the statement says that it left; then only a line can bring it back).
    """
    if maker == checker:
        raise DomainError("same_person")
    payout = locked(session, of_reference(session, reference).id)
    refuse_ended(payout)
    give_back(session, market, payout, now)
    row = {"transfer_id": payout.id, "maker": maker, "checker": checker, "returned_at": now}
    session.execute(insert(PayoutReturn).values(row))
    return locked(session, payout.id)


def refuse_ended(payout: Payout) -> None:
    """Raises DomainError `payout_ended`, `payout_left`."""
    if payout.returned:
        raise DomainError("payout_ended")
    if payout.out:
        raise DomainError("payout_left")


def give_back(session: Session, market: Market, payout: Payout, now: datetime) -> None:
    """Reverse a locked payout, and tell whose money it is."""
    given = returns.take_back(
        session,
        records.outcome(session, payout.id),
        key=new_key(),  # derived, it would be as old as what it ends; once is by the state
        now=now,
    )
    receipts.tell(
        session, "payout_returned", payee_of(session, payout), subject=payout.id,
        amount_minor=given.given_back_minor, reference=payout.reference, now=now,
    )  # fmt: skip
    if payout.agent_id:
        low_float.rose(session, market, agents.get(session, payout.agent_id))


def payee_of(session: Session, payout: Payout) -> Payee:
    """Whose money it is."""
    return payees.of_account(session, payout.account_id, payout.person_id, payout.agent_id)


def locked(session: Session, transfer_id: UUID) -> Payout:
    """A payout, which nobody else ends before this transaction does."""
    lock = select(Transfer.id).where(Transfer.id == transfer_id).with_for_update()
    session.execute(lock)
    return _payout(session.execute(_SHOWN.where(Transfer.id == transfer_id)).one())


def of_reference(session: Session, reference: str) -> Payout:
    """The payout of a reference, typed in any case. Raises DomainError `payout_unknown`."""
    found = of_references(session, [references.written(reference)])
    if not found:
        raise DomainError("payout_unknown")
    return found[0]


def of_references(session: Session, wanted: list[str]) -> list[Payout]:
    """The payouts that have one of these references."""
    statement = _SHOWN.where(one_of(Transfer.reference, wanted), Transfer.kind.in_(KINDS))
    return [_payout(row) for row in session.execute(statement)]


def on_way(session: Session, currency: str, limit: int = 500) -> list[Payout]:
    """What has not left the bank yet, oldest first."""
    statement = _SHOWN.where(
        Transfer.kind.in_(KINDS),
        Transfer.currency == currency,
        Transfer.reversed_at.is_(None),
        ~_OUT,
    )
    ordered = statement.order_by(Transfer.created_at, Transfer.id).limit(limit)
    return [_payout(row) for row in session.execute(ordered)]


_OUT = exists().where(
    BankMatch.transfer_id == Transfer.id,
    BankMatch.kind == "payout",
    BankMatch.confirmed_at.is_not(None),
    BankMatch.withdrawn_at.is_(None),  # always so; it finds the index
)
_SHOWN = select(
    Transfer.id, Transfer.reference, Transfer.kind,
    Transfer.payer_account.label("account_id"), Transfer.payer_id.label("person_id"),
    Transfer.agent_id, Transfer.currency, Transfer.amount_minor, Transfer.created_at,
    Transfer.reversed_at.is_not(None).label("returned"), _OUT.label("out"),
)  # fmt: skip


def _payout(row: Any) -> Payout:
    return Payout(**row._asdict())
