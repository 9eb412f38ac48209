"""Closing a wallet: everything in it is paid out first, and the number stays closed.

The money goes to the house account `payouts_in_transit`, as a transfer of kind `closing` without a
fee; the bank's statement line takes it from there. Whatever comes back later (a biller that returns
a payment) is paid out by closing once more.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Fee
from app.notices import Recipient, notify
from app.wallet import agents, ledger, people
from app.wallet.keys import derived_key
from app.wallet.ledger import Balance
from app.wallet.people import Person
from app.wallet.transfers import posting
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView

# What may still bring money back into the wallet of somebody who sent it.
_MAY_COME_BACK = text("""
    SELECT EXISTS (
        SELECT FROM transfers t JOIN vouchers v ON v.transfer_id = t.id
        WHERE t.payer_id = :person_id AND v.state = 'open'
    ) OR EXISTS (
        SELECT FROM transfers t JOIN stops s ON s.transfer_id = t.id
        WHERE t.payer_id = :person_id AND s.state = 'open'
    )
""")


def offer(session: Session, market: Market, person: Person) -> Offer:
    """What would be paid out now; nothing when the wallet is empty.

    Raises DomainError `close_is_agent`, `close_has_holds`, `person_suspended`, `person_state` for
    who is only invited, `person_closed` for who is closed and has nothing.
    """
    balance = _payable(session, person)
    return _offer(session, market, person, balance.available_minor)


def close(
    session: Session, market: Market, person_id: UUID, *, closing_id: UUID, now: datetime
) -> TransferView | None:
    """Pay out and close, and tell the person; None when there was nothing to pay out.

    `closing_id` is a fresh UUIDv7: one closing pays out once. Raises DomainError as `offer`.
    """
    person = _locked(session, person_id)
    available_minor = _payable(session, person).available_minor
    # Who sleeps, or was closed before, pays out as who is awake; nobody else ever sees it.
    person.state = "active"
    session.flush()
    view = None
    if available_minor:
        offered = _offer(session, market, person, available_minor)
        key = derived_key(closing_id, "closing")
        view = posting.carry_out(session, market, offered, intent=None, key=key, now=now)
    people.close(session, person.id, now)
    _tell(session, person, view, closing_id, now)
    return view


def _locked(session: Session, person_id: UUID) -> Person:
    """The person; every payment and every other change of state waits."""
    statement = select(Person).where(Person.id == person_id).with_for_update(key_share=True)
    found = session.execute(statement, execution_options={"populate_existing": True})
    return found.scalar_one()


def _payable(session: Session, person: Person) -> Balance:
    """What is in a wallet that may be closed."""
    if person.state == "suspended":
        raise DomainError("person_suspended")
    if person.state == "invited":
        raise DomainError("person_state", state=person.state)
    if agents.of_person(session, person.id):
        raise DomainError("close_is_agent")
    balance = ledger.balance(session, person.wallet_id)
    if person.state == "closed" and not balance.balance_minor:
        raise DomainError("person_closed")
    if balance.held_minor or session.scalar(_MAY_COME_BACK, {"person_id": person.id}):
        raise DomainError("close_has_holds")
    return balance


def _offer(session: Session, market: Market, person: Person, amount_minor: int) -> Offer:
    currency = market.currency.code
    return Offer(
        kind="closing",
        payer_account=person.wallet_id,
        payee_account=ledger.house_account(session, "payouts_in_transit", currency),
        payer_id=person.id,
        payee_id=None,
        agent_id=None,
        msisdn=person.msisdn,
        name=people.masked(person.name),
        currency=currency,
        amount_minor=amount_minor,
        fee=Fee(0),
    )


def _tell(
    session: Session, person: Person, view: TransferView | None, closing_id: UUID, now: datetime
) -> None:
    kind = "account_closed_empty"
    facts: dict[str, object] = {"at": now.isoformat()}
    if view:
        kind = "account_closed"
        facts |= {"amount_minor": view.amount_minor, "reference": view.reference}
    notify(
        session,
        kind,
        Recipient(person.msisdn, person.language, person.id),
        message_id=derived_key(closing_id, "message", kind),
        subject=closing_id,
        facts=facts,
        now=now,
    )
