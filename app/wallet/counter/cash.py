"""Cash over the counter: in by the agent, out by the customer at the agent's code."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, ledger, people
from app.wallet.agents import Agent
from app.wallet.counter import low_float
from app.wallet.keys import derived_key
from app.wallet.people import Person
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer, counter_amount, priced
from app.wallet.transfers.records import TransferView


class Receipts(NamedTuple):
    """Which SMS the customer and the agent get."""

    customer: str
    agent: str


CASH_IN = Receipts("cash_in_done", "cash_in_given")
CASH_OUT = Receipts("cash_out_done", "cash_out_pay")


def offer_in(
    session: Session,
    market: Market,
    agent: Agent,
    msisdn: str,
    amount_minor: int,
    *,
    at: datetime,
) -> Offer:
    """Cash of a customer into the customer's wallet, out of the agent's float.

    Raises DomainError `agent_suspended`, `own_number`, `person_unknown`, `payee_suspended`,
    `amount_too_small`, `amount_step`, `amount_too_large`, `not_offered_yet`.
    """
    agents.refuse_inactive(agent)
    if msisdn == agent.msisdn:
        raise DomainError("own_number")
    customer = people.find(session, msisdn)
    if customer is None or customer.state == "invited":
        raise DomainError("person_unknown")
    if not people.may_receive(customer):
        raise DomainError("payee_suspended")
    counter_amount(market, amount_minor)
    above = agent.parent_id is not None
    fee, fee_payer = priced(market, "cash_in", amount_minor, at, agent=True, super_agent=above)
    return Offer(
        kind="cash_in",
        payer_account=agent.float_id,
        payee_account=customer.wallet_id,
        payer_id=None,
        payee_id=customer.id,
        agent_id=agent.id,
        msisdn=msisdn,
        name=people.masked(customer.name),
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee=fee,
        fee_payer=fee_payer,
    )


def confirm_in(
    session: Session, market: Market, offered: Offer, *, intent_id: UUID, by: UUID, now: datetime
) -> TransferView:
    """Pay in, and tell both. The same intent again answers the transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`; `limit_balance` is about the
    customer's wallet, `insufficient_funds` about the float.
    """
    return _confirm(session, market, offered, CASH_IN, intent_id=intent_id, by=by, now=now)


def offer_out(
    session: Session,
    market: Market,
    customer: Person,
    agent_code: str,
    amount_minor: int,
    *,
    at: datetime,
) -> Offer:
    """Money of a wallet into an agent's float, for which the agent pays out cash.

    Raises DomainError `agent_code_wrong`, `agent_unknown`, `agent_suspended`, `own_code`,
    `amount_too_small`, `amount_step`, `amount_too_large`, `not_offered_yet`.
    """
    agent = agents.of_code(session, agent_code)
    agents.refuse_inactive(agent)
    if agent.person_id == customer.id:
        raise DomainError("own_code")
    counter_amount(market, amount_minor)
    above = agent.parent_id is not None
    fee, fee_payer = priced(market, "cash_out", amount_minor, at, agent=True, super_agent=above)
    return Offer(
        kind="cash_out",
        payer_account=customer.wallet_id,
        payee_account=agent.float_id,
        payer_id=customer.id,
        payee_id=None,
        agent_id=agent.id,
        msisdn=customer.msisdn,
        name=agent.name,
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee=fee,
        fee_payer=fee_payer,
    )


def confirm_out(
    session: Session, market: Market, offered: Offer, *, intent_id: UUID, by: UUID, now: datetime
) -> TransferView:
    """Take it from the wallet, and tell the agent to pay it out. The same intent again answers the
    transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`.
    """
    return _confirm(session, market, offered, CASH_OUT, intent_id=intent_id, by=by, now=now)


def tell(
    session: Session, market: Market, view: TransferView, kinds: Receipts, now: datetime
) -> None:
    """Both receipts, each with the own balance and the other's name; and the float is looked at."""
    assert view.agent_id
    person_id = view.payee_id or view.payer_id
    assert person_id
    person, agent = people.get(session, person_id), agents.get(session, view.agent_id)
    facts = {
        "amount_minor": view.amount_minor,
        "received_minor": view.received_minor,
        "fee_minor": view.fee_minor,
        "reference": view.reference,
        "at": view.created_at.isoformat(),
    }
    found = ledger.balances(session, [person.wallet_id, agent.float_id])
    balance, in_float = (found[one].available_minor for one in (person.wallet_id, agent.float_id))
    to_person = Recipient(person.msisdn, person.language, person.id)
    to_agent = Recipient(agent.msisdn, agent.language, agent.person_id)
    mine = {**facts, "name": agent.name, "balance_minor": balance}
    theirs = {**facts, "name": people.masked(person.name), "float_minor": in_float}
    _notify(session, view, kinds.customer, to_person, mine, now)
    _notify(session, view, kinds.agent, to_agent, theirs, now)
    if view.kind == "cash_in":
        low_float.fell(session, market, agent, view.id, now)
    else:
        low_float.rose(session, market, agent)


def _confirm(
    session: Session,
    market: Market,
    offered: Offer,
    kinds: Receipts,
    *,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> TransferView:
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    view = posting.carry_out(
        session, market, offered, intent=intent, key=posting.intent_key(intent_id), now=now
    )
    tell(session, market, view, kinds, now)
    return view


def _notify(
    session: Session,
    view: TransferView,
    kind: str,
    recipient: Recipient,
    facts: dict[str, object],
    now: datetime,
) -> None:
    message_id = derived_key(view.id, "message", kind)
    notify(session, kind, recipient, message_id=message_id, subject=view.id, facts=facts, now=now)
