"""Sending money to a registered number."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import ledger, people
from app.wallet.keys import derived_key
from app.wallet.people import Person
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer, priced
from app.wallet.transfers.records import TransferView


def offer(
    session: Session,
    market: Market,
    payer: Person,
    msisdn: str,
    amount_minor: int,
    *,
    at: datetime,
) -> Offer:
    """What sending costs, priced `at`.

    Raises DomainError `own_number`, `person_unknown` (then it is a voucher's), `payee_suspended`,
    `amount_too_small`, `amount_too_large`, `not_offered_yet`.
    """
    if msisdn == payer.msisdn:
        raise DomainError("own_number")
    payee = people.find(session, msisdn)
    if payee is None or payee.state == "invited":
        raise DomainError("person_unknown")
    if not people.may_receive(payee):
        raise DomainError("payee_suspended")
    fee, fee_payer = priced(market, "send", amount_minor, at)
    return Offer(
        kind="send",
        payer_account=payer.wallet_id,
        payee_account=payee.wallet_id,
        payer_id=payer.id,
        payee_id=payee.id,
        agent_id=None,
        msisdn=msisdn,
        name=people.masked(payee.name),
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee=fee,
        fee_payer=fee_payer,
    )


def confirm(
    session: Session, market: Market, offered: Offer, *, intent_id: UUID, by: UUID, now: datetime
) -> TransferView:
    """Send, and tell both. The same intent again answers the transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    view = posting.carry_out(
        session, market, offered, intent=intent, key=posting.intent_key(intent_id), now=now
    )
    assert offered.payer_id
    assert offered.payee_id
    tell(session, view, "send_sent", to=offered.payer_id, other=offered.payee_id, now=now)
    tell(session, view, "send_received", to=offered.payee_id, other=offered.payer_id, now=now)
    return view


def tell(
    session: Session, view: TransferView, kind: str, *, to: UUID, other: UUID, now: datetime
) -> None:
    """One party's receipt, with its own balance and the other's masked name."""
    person, counterpart = people.get(session, to), people.get(session, other)
    facts = {
        "amount_minor": view.amount_minor,
        "received_minor": view.received_minor,
        "fee_minor": view.fee_minor,
        "name": people.masked(counterpart.name),
        "balance_minor": ledger.balance(session, person.wallet_id).available_minor,
        "reference": view.reference,
        "at": now.isoformat(),
    }
    notify(
        session,
        kind,
        Recipient(person.msisdn, person.language, person.id),
        message_id=derived_key(view.id, "message", kind),
        subject=view.id,
        facts=facts,
        now=now,
    )
