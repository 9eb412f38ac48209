"""The tables of payments, and `shift`, the way from one state to another; for sales, which come
many at once, it is `captures`, by the same table of states.

`came_from` stands in the row beside `state` so that a CHECK can judge the step itself; an event
that repeats the step is written with it and never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, String, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.billers.states import State, is_allowed
from app.db import Base


class Payment(Base):
    """One confirmed bill payment, from the hold to its outcome.

    `reference` is what people are told, `biller_ref` what the biller is told; both are fixed from
    the beginning. `due_at` is when a worker should look next, `lease_until` until when one is
    busy with it, `fence` how often it was claimed: an answer under an older fence is late.
    `requests` counts the requests that may have left; after `reversing_at` one asked the biller to
    undo the sale. `send_again`: the biller never had it, so the next request buys. `told_at` is
    when the person was told that the outcome is not known yet. `refunded_at`: the biller took the
    sale back, and the payer has all of it again. `asked_from`: its database was restored, and the
    biller is asked anew since then.

    `bill_ref` is the biller's name for the inquiry, `biller_txn` for the transaction, `receipt_no`
    for the sale. `serial` counts all payments. `family`, `account` and `sku` are where and as what
    it is bought, whatever the market file says later. `acknowledged`: the biller has said that it
    has the order. `told` is what it said of a sale that did not count, for staff.

    With `agent_id` an agent pays for somebody at the counter: `person_id` is the agent's person,
    `wallet_id` the agent's float, and `customer_msisdn` who gets the receipt.
    """

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    biller_ref: Mapped[str] = mapped_column(unique=True)
    intent_id: Mapped[UUID] = mapped_column(unique=True)
    person_id: Mapped[UUID]
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    hold_id: Mapped[UUID] = mapped_column(unique=True)
    biller: Mapped[str]
    product: Mapped[str]
    customer_no: Mapped[str]
    customer_name: Mapped[str]
    currency: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    fee_minor: Mapped[int] = mapped_column(BigInteger)
    tax_minor: Mapped[int] = mapped_column(BigInteger)
    commission_minor: Mapped[int] = mapped_column(BigInteger)
    earned_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    super_agent_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    agent_id: Mapped[UUID | None]
    customer_msisdn: Mapped[str | None]
    state: Mapped[str] = mapped_column(String, default=State.HELD)
    came_from: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    fence: Mapped[int] = mapped_column(default=0)
    requests: Mapped[int] = mapped_column(default=0)
    first_sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    tokens: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    serial: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    bill_ref: Mapped[str] = mapped_column(default="")
    biller_txn: Mapped[str] = mapped_column(default="")
    receipt_no: Mapped[str] = mapped_column(default="")
    owed_minor: Mapped[int | None] = mapped_column(BigInteger)
    reversing_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    send_again: Mapped[bool] = mapped_column(default=False)
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    batch_id: Mapped[UUID | None]
    family: Mapped[str] = mapped_column(default="")
    account: Mapped[str] = mapped_column(default="")
    sku: Mapped[str] = mapped_column(default="")
    acknowledged: Mapped[bool] = mapped_column(default=False)
    told: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    refunded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    asked_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def total_minor(self) -> int:
        """What is held: the amount and its fee."""
        return self.amount_minor + self.fee_minor


class PaymentEvent(Base):
    """A step of a payment's life, or a note on one (then both states are the same). Append-only.

    `facts` say why in constants and codes; a token or a name has no place in them.
    """

    __tablename__ = "payment_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    payment_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    what: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)


class BillerState(Base):
    """A biller's pause, its breaker, and the deposit that it last told us of (minor units)."""

    __tablename__ = "biller_states"

    biller: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failures: Mapped[int] = mapped_column(default=0)
    open_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    probe_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deposit_minor: Mapped[int | None] = mapped_column(BigInteger)
    deposit_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Resolution(Base):
    """What one member of staff proposes about a payment, and another approves."""

    __tablename__ = "payment_resolutions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID]
    outcome: Mapped[str]
    tokens: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    evidence: Mapped[str]
    maker: Mapped[str]
    proposed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checker: Mapped[str | None]
    approved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


_LOCK_SOLD = select(Payment).from_statement(
    text("""
    SELECT * FROM payments
    WHERE id = ANY (:ids) AND state = ANY (:states) AND reversing_at IS NULL
    ORDER BY id FOR UPDATE SKIP LOCKED
""")
)


def lock(session: Session, payment_id: UUID) -> Payment:
    """The payment, its row locked until the transaction ends, read anew. Raises NoResultFound."""
    statement = select(Payment).where(Payment.id == payment_id).with_for_update()
    return session.execute(statement, execution_options={"populate_existing": True}).scalar_one()


def lock_sold(
    session: Session, payment_ids: Collection[UUID], states: Collection[State]
) -> Sequence[Payment]:
    """Of these payments, by id, those in such a state that nobody else holds and whose sale is not
    being undone; their rows locked until the transaction ends, read anew.
    """
    values = {"ids": list(payment_ids), "states": list(states)}
    options = {"populate_existing": True}
    return session.scalars(_LOCK_SOLD, values, execution_options=options).all()


def shift(
    session: Session,
    payment: Payment,
    target: State,
    what: str,
    *,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
    **values: object,
) -> None:
    """Move a locked payment to `target` with its event; `values` are further columns to set.

    Raises ValueError for a step that the table does not have, and when the row is no longer in
    the state that the caller saw (it was not locked).
    """
    source = State(payment.state)
    if not is_allowed(source, target):
        raise ValueError(f"a payment never goes from {source} to {target}")
    event = _event(payment.id, target, what, now=now, source=source, facts=facts)
    statement = (
        update(Payment)
        .where(Payment.id == payment.id, Payment.state == source)
        .values(state=target, came_from=source, **values)
        .returning(Payment)
        .add_cte(event.cte("event"))  # one round trip for both
    )
    moved = session.execute(statement, execution_options={"populate_existing": True})
    if moved.scalar_one_or_none() is None:
        raise ValueError(f"payment {payment.reference} left {source} without its lock")


def note(
    session: Session,
    payment_id: UUID,
    state: State,
    what: str,
    *,
    now: datetime,
    source: State | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write an event; without `source` it is a note on a payment that stays where it is."""
    session.execute(_event(payment_id, state, what, now=now, source=source, facts=facts))


def _event(
    payment_id: UUID,
    state: State,
    what: str,
    *,
    now: datetime,
    source: State | None,
    facts: Mapping[str, Any] | None,
) -> Insert:
    row = {
        "payment_id": payment_id,
        "at": now,
        "from_state": source or state,
        "to_state": state,
        "what": what,
        "facts": dict(facts or {}),
    }
    return insert(PaymentEvent).values(row)
