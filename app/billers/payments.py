"""From a confirmed intent to a held payment, and what people are told about payments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Select,
    String,
    and_,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import bell
from app.billers import breaker, catalogue, hours, models, telling
from app.billers.models import Payment, PaymentEvent
from app.billers.protocols.answers import Bill
from app.billers.quotes import Quote
from app.billers.states import OPEN, State
from app.db import ring_after_commit
from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, intents, ledger, limits, people, references
from app.wallet.agents import Agent
from app.wallet.counter import low_float
from app.wallet.keys import derived_key, new_key
from app.wallet.people import Person

INTENT_KIND = "bill_payment"


@dataclass(frozen=True, slots=True)
class PaymentView:
    """What a channel or the command line may show of a payment; amounts in minor units.

    `customer_msisdn` is of a payment at an agent's counter, `refunded_at` of one whose biller took
    the sale back.
    """

    id: UUID
    reference: str
    biller_ref: str
    state: State
    product_code: str
    customer_no: str
    customer_name: str
    amount_minor: int
    fee_minor: int
    tokens: tuple[str, ...]
    created_at: datetime
    settled_at: datetime | None
    receipt_no: str
    agent_id: UUID | None
    customer_msisdn: str | None
    refunded_at: datetime | None

    @property
    def total_minor(self) -> int:
        return self.amount_minor + self.fee_minor

    @property
    def state_for_payer(self) -> State:
        """A sale that was taken back, and given back, is to who paid as one that never was."""
        return State.RELEASED if self.refunded_at else self.state

    @property
    def token(self) -> str | None:
        """The first token; most sales have one."""
        return self.tokens[0] if self.tokens else None


class PaidBefore(NamedTuple):
    """A customer that a person has paid for, to pay again in three replies."""

    product_code: str
    customer_no: str


def confirm(
    session: Session,
    market: Market,
    *,
    intent_id: UUID,
    person: Person,
    quote: Quote,
    now: datetime,
) -> PaymentView:
    """Hold the money and queue the payment, in the caller's transaction; the bell rings after it.

    For a walk-in customer (`quote.walk_in`) the person is the agent's, and the money the float's.
    The same intent confirmed again gives the payment that it made. Raises DomainError with
    nothing changed: `intent_closed`, `intent_changed`, `intent_expired`, `person_suspended`,
    `agent_suspended`, `biller_closed`, `biller_paused`, `biller_down`, `bill_used`, `bill_old`,
    `limit_transaction`, `limit_day`, `limit_month`, `insufficient_funds`.
    """
    intent = intents.take(
        session, intent_id, person_id=person.id, fingerprint=quote.fingerprint, now=now
    )
    if intent.subject:
        return outcome(session, intent.subject)
    agent = _agent(session, quote)
    if agent is None:
        person = people.locked_for_payment(session, person.id)
        people.refuse_inactive(person)
    rules = market.billers[quote.biller]
    hours.refuse_closed(rules, market.zone, now)
    breaker.refuse_unless_open_for_business(session, quote.biller)
    _refuse_used(session, quote)
    hours.refuse_stale(rules, market.zone, quote.bill, now)
    expires_at = hours.hold_until(rules, market.zone, now, market.hold_seconds)
    by_file = rules.family == "file"
    reference = _free_reference(session)
    hold_id = derived_key(intent_id, "hold")
    _hold(session, market, person, quote, hold_id, expires_at, reference, now)
    payment_id = new_key()
    walk_in, bill = quote.walk_in, quote.bill or Bill(quote.customer_no, quote.customer_name)
    row = {
        "id": payment_id,
        "reference": reference,
        "biller_ref": bill.biller_ref or payment_id.hex,
        "bill_ref": bill.bill_ref,
        "family": rules.family,
        "account": rules.credentials or quote.biller,
        "sku": market.product(quote.product_code)[2].sku,
        "owed_minor": bill.owed_minor,
        "intent_id": intent_id,
        "person_id": person.id,
        "wallet_id": walk_in.float_id if walk_in else person.wallet_id,
        "hold_id": hold_id,
        "biller": quote.biller,
        "product": quote.product_code,
        "customer_no": quote.customer_no,
        "customer_name": quote.customer_name,
        "currency": quote.currency,
        "amount_minor": quote.amount_minor,
        "fee_minor": quote.fee_minor,
        "tax_minor": quote.tax_minor,
        "commission_minor": quote.commission_minor,
        "earned_minor": quote.earned_minor,
        "super_agent_minor": quote.super_agent_minor,
        "agent_id": walk_in.agent_id if walk_in else None,
        "customer_msisdn": walk_in.msisdn if walk_in else None,
        "state": State.HELD,
        "told_at": now if by_file else None,
        "created_at": now,
        "expires_at": expires_at,
        # Whoever claims goes by the database's clock, so what is due at once does too.
        "due_at": hours.next_cut_off(rules, market.zone, now)
        if by_file
        else func.statement_timestamp(),
    }
    made = insert(Payment).values(row).on_conflict_do_nothing(index_elements=["biller_ref"])
    if session.scalar(made.returning(Payment.id)) is None:
        raise DomainError("bill_used")  # two confirmations of one inquiry, at the same moment
    models.note(session, payment_id, State.HELD, "confirmed", now=now)
    intents.close(session, intent, payment_id, now)
    if agent:
        low_float.fell(session, market, agent, payment_id, now)
    if by_file:
        payment = session.get_one(Payment, payment_id)
        telling.tell(session, market, payment, "payment_accepted", now)
    else:
        ring_after_commit(session, bell.PAYMENTS)
    return outcome(session, payment_id)


def _refuse_used(session: Session, quote: Quote) -> None:
    """An inquiry is paid once: a second payment under its reference would be a repetition."""
    if quote.bill is None or not quote.bill.biller_ref:
        return
    statement = select(Payment.id).where(Payment.biller_ref == quote.bill.biller_ref)
    if session.scalar(statement) is not None:
        raise DomainError("bill_used")


def _agent(session: Session, quote: Quote) -> Agent | None:
    """The agent at whose counter it is paid, active and locked."""
    if quote.walk_in is None:
        return None
    agent = agents.locked_for_payment(session, quote.walk_in.agent_id)
    agents.refuse_inactive(agent)
    return agent


def _hold(
    session: Session,
    market: Market,
    person: Person,
    quote: Quote,
    hold_id: UUID,
    expires_at: datetime,
    reference: str,
    now: datetime,
) -> None:
    walk_in = quote.walk_in
    account_id = walk_in.float_id if walk_in else person.wallet_id
    # A person's limits are about the person's wallet: a float has none.
    counts = () if walk_in else limits.of_payment(market, person, quote.amount_minor, now)
    answer = ledger.hold(
        session,
        key=hold_id,
        account_id=account_id,
        amount_minor=quote.total_minor,
        expires_at=expires_at,
        reference=reference,
        counts=counts,
        now=now,
    )
    if answer.refusal is None:
        return
    if answer.refusal == "insufficient_funds":
        available = ledger.balance(session, account_id).available_minor
        written = market.currency.format
        raise DomainError(
            answer.refusal, total=written(quote.total_minor), available=written(available)
        )
    raise limits.refusal(market, person, answer.refusal)


def _free_reference(session: Session) -> str:
    def taken(reference: str) -> bool:
        return session.scalar(select(Payment.id).where(Payment.reference == reference)) is not None

    return references.draw(taken)


def outcome(session: Session, payment_id: UUID) -> PaymentView:
    """A payment as it stands now. Raises NoResultFound."""
    return _view(session.execute(_SHOWN.where(Payment.id == payment_id)).one())


def of_reference(session: Session, reference: str) -> PaymentView | None:
    """The payment that people call by this reference, typed in any case."""
    row = session.execute(_SHOWN.where(Payment.reference == references.written(reference))).first()
    return _view(row) if row else None


def recent(session: Session, person_id: UUID, limit: int) -> list[PaymentView]:
    """A person's own payments, newest first."""
    statement = _SHOWN.where(_own(person_id))
    return _views(session, statement.order_by(Payment.id.desc()).limit(limit))


def at_counter(session: Session, agent_id: UUID, limit: int) -> list[PaymentView]:
    """What an agent paid for walk-in customers, newest first."""
    statement = _SHOWN.where(Payment.agent_id == agent_id)
    return _views(session, statement.order_by(Payment.id.desc()).limit(limit))


def same_since(
    session: Session,
    person_id: UUID,
    *,
    product_code: str,
    customer_no: str,
    amount_minor: int,
    since: datetime,
) -> PaymentView | None:
    """A person's newest payment of just this, unless its money came back."""
    statement = _SHOWN.where(
        Payment.person_id == person_id,
        Payment.product == product_code,
        Payment.customer_no == customer_no,
        Payment.amount_minor == amount_minor,
        Payment.created_at >= since,
        Payment.state.in_((*OPEN, State.CAPTURED)),
    )
    views = _views(session, statement.order_by(Payment.id.desc()).limit(1))
    return views[0] if views else None


def tokens(session: Session, person_id: UUID, limit: int = 5) -> list[PaymentView]:
    """A person's payments that sold a token, newest first.

    Also those that the biller took back since: the person paid for the token and may hold it.
    """
    statement = _SHOWN.where(
        _own(person_id),
        Payment.state.in_((State.CAPTURED, State.RETURNED)),
        func.cardinality(Payment.tokens) > 0,
    )
    return _views(session, statement.order_by(Payment.id.desc()).limit(limit))


def last_customer(session: Session, person_id: UUID, *, market: Market) -> PaidBefore | None:
    """Whom a person last paid for, of those whose product the market still has."""
    sold = [product.code for product in catalogue.products(market)]
    row = session.execute(_LAST_CUSTOMER, {"person_id": person_id, "sold": sold}).first()
    return PaidBefore(row.product, row.customer_no) if row else None


def timeline(session: Session, payment_id: UUID) -> Sequence[PaymentEvent]:
    """Everything that happened to a payment, oldest first."""
    statement = select(PaymentEvent).where(PaymentEvent.payment_id == payment_id)
    return session.scalars(statement.order_by(PaymentEvent.id)).all()


def _own(person_id: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    """Paid from the person's own wallet: what an agent pays at the counter is the agent's."""
    return and_(Payment.person_id == person_id, Payment.agent_id.is_(None))


# Every dial asks for it: made once, because making it takes longer than PostgreSQL's answer.
_LAST_CUSTOMER = (
    select(Payment.product, Payment.customer_no)
    .where(
        _own(bindparam("person_id")),
        Payment.state == State.CAPTURED,
        Payment.product == any_(bindparam("sold", type_=ARRAY(String))),
    )
    .order_by(Payment.id.desc())
    .limit(1)
)
_SHOWN: Select[*tuple[Any, ...]] = select(
    Payment.id, Payment.reference, Payment.biller_ref, Payment.state, Payment.product,
    Payment.customer_no, Payment.customer_name, Payment.amount_minor, Payment.fee_minor,
    Payment.tokens, Payment.created_at, Payment.settled_at, Payment.receipt_no,
    Payment.agent_id, Payment.customer_msisdn, Payment.refunded_at,
)  # fmt: skip


def _views(session: Session, statement: Select[*tuple[Any, ...]]) -> list[PaymentView]:
    return [_view(row) for row in session.execute(statement)]


def _view(row: Any) -> PaymentView:
    values = row._asdict()
    product, sold = values.pop("product"), values.pop("tokens")
    values["state"] = State(values["state"])
    return PaymentView(product_code=product, tokens=tuple(sold or ()), **values)
