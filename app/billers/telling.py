"""Who is told what of a payment: the person who paid; at a counter the agent and the customer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.billers import catalogue
from app.billers.models import Payment
from app.markets.model import Market
from app.notices import Notice, Recipient, notify_all, withdraw
from app.wallet import agents, ledger, people
from app.wallet.accounts import Balance
from app.wallet.keys import derived_key
from app.wallet.people import Person

# What they are told at the counter, by what a person would be.
TO_AGENT = {
    "payment_accepted": "bill_accepted_by_you",
    "payment_paid": "bill_paid_by_you",
    "payment_refused": "bill_refused_by_you",
    "payment_cancelled": "bill_cancelled_by_you",
    "payment_manual": "bill_manual_by_you",
    "payment_waiting": "bill_waiting_by_you",
    "payment_returned": "bill_returned_by_you",
    "payment_refunded": "bill_refunded_by_you",
    "payment_stands": "bill_stands_by_you",
}
TO_CUSTOMER = {
    "payment_accepted": "bill_accepted_for_you",
    "payment_paid": "bill_paid_for_you",
    "payment_refused": "bill_not_paid_for_you",
    "payment_cancelled": "bill_not_paid_for_you",
    "payment_manual": "bill_manual_for_you",
    "payment_waiting": "bill_waiting_for_you",
    "payment_returned": "bill_returned_for_you",
    "payment_refunded": "bill_refunded_for_you",
    "payment_stands": "bill_stands_for_you",
}


OUTCOMES = ("payment_paid", "payment_refused", "payment_manual")
WAITING = ("payment_waiting", "bill_waiting_by_you", "bill_waiting_for_you")


def tell(session: Session, market: Market, payment: Payment, kind: str, now: datetime) -> None:
    """`kind` as a person would be told who paid out of the own wallet."""
    tell_all(session, market, [payment], kind, now)


def tell_all(
    session: Session, market: Market, payments: Sequence[Payment], kind: str, now: datetime
) -> None:
    """`tell` for several payments to which the same has happened."""
    for payment in payments:
        if payment.told_at and kind in OUTCOMES:
            withdraw(session, payment.id, WAITING)
    balances = ledger.balances(session, {payment.wallet_id for payment in payments})
    payers = people.get_all(
        session, {payment.person_id for payment in payments if payment.agent_id is None}
    )
    notices: list[Notice] = []
    for payment in payments:
        facts = _facts(market, payment, kind, balances[payment.wallet_id], now)
        if payment.agent_id is None:
            to_payer = _recipient(payers[payment.person_id])
            notices.append(_notice(payment, kind, to_payer, facts))
        else:
            notices += _at_counter(session, market, payment, kind, facts)
    notify_all(session, notices, now=now)


def _facts(
    market: Market, payment: Payment, kind: str, balance: Balance, now: datetime
) -> dict[str, Any]:
    facts = {
        "amount_minor": payment.amount_minor,
        "fee_minor": payment.fee_minor,
        "total_minor": payment.total_minor,
        "tokens": payment.tokens or [],
        "reference": payment.reference,
        "product": catalogue.product_name(market, payment.product),
        "customer_no": payment.customer_no,
        "balance_minor": balance.available_minor,
        "service_code": market.service_codes[0],
        "receipt_no": payment.receipt_no,
        "at": now.isoformat(),
    }
    if kind == "payment_accepted" and payment.due_at:
        facts["by"] = payment.due_at.isoformat()  # when the biller gets it
    return facts


def _at_counter(
    session: Session, market: Market, payment: Payment, kind: str, facts: dict[str, Any]
) -> Iterator[Notice]:
    """At the counter nobody reads of the other's side: the balance is the float's, the token the
    customer's.
    """
    assert payment.agent_id
    tokens, in_float = facts.pop("tokens"), facts.pop("balance_minor")
    agent = agents.get(session, payment.agent_id)
    to_agent = Recipient(agent.msisdn, agent.language, agent.person_id)
    yield _notice(payment, TO_AGENT[kind], to_agent, facts | {"float_minor": in_float})
    if kind in TO_CUSTOMER:
        to_customer = _customer(session, market, payment)
        told = facts | {"tokens": tokens, "name": agent.name}
        yield _notice(payment, TO_CUSTOMER[kind], to_customer, told)


def _customer(session: Session, market: Market, payment: Payment) -> Recipient:
    """Who brought the cash: in their language, if they have a wallet here."""
    assert payment.customer_msisdn
    person = people.find(session, payment.customer_msisdn)
    return (
        _recipient(person)
        if person
        else Recipient(payment.customer_msisdn, market.default_language)
    )


def _recipient(person: Person) -> Recipient:
    return Recipient(person.msisdn, person.language, person.id)


def _notice(payment: Payment, kind: str, recipient: Recipient, facts: Mapping[str, Any]) -> Notice:
    return Notice(derived_key(payment.id, "message", kind), kind, payment.id, recipient, facts)
