"""What the parties of a voucher are told by SMS. The code goes to the receiver's number only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, ledger, people
from app.wallet.keys import derived_key
from app.wallet.people import Person
from app.wallet.transfers import records
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers.rows import Voucher


def sent(
    session: Session, market: Market, view: TransferView, voucher: Voucher, now: datetime
) -> None:
    """The sender's receipt, and the code for the receiver."""
    sender = people.get(session, voucher.sender_id)
    facts = {
        **_facts(view, voucher, now),
        "balance_minor": _available(session, sender.wallet_id),
        "until": voucher.expires_at.isoformat(),
    }
    _tell(session, view, "voucher_sent", _of(sender), facts, now)
    code = {
        "name": people.masked(sender.name),
        "amount_minor": view.received_minor,
        "code_id": str(voucher.code_id),
        "service_code": market.service_codes[0],
        "until": voucher.expires_at.isoformat(),
    }
    _tell(session, view, "voucher_code", _unregistered(market, voucher), code, now)


def cashed(
    session: Session, market: Market, view: TransferView, voucher: Voucher, now: datetime
) -> None:
    """An agent paid it out: the agent, the receiver and the sender are told."""
    assert view.agent_id
    agent = agents.get(session, view.agent_id)
    facts = {**_facts(view, voucher, now), "name": agent.name}
    own = {**facts, "float_minor": _available(session, agent.float_id)}
    at_counter = Recipient(agent.msisdn, agent.language, agent.person_id)
    _tell(session, view, "voucher_paid_out", at_counter, own, now)
    person = people.find(session, voucher.msisdn)
    receiver = _of(person) if person else _unregistered(market, voucher)
    _tell(session, view, "voucher_cashed", receiver, facts, now)
    _tell_sender(session, voucher, now)


def banked(
    session: Session, person: Person, view: TransferView, voucher: Voucher, now: datetime
) -> None:
    """It went into the wallet of its number: the person and the sender are told."""
    sender = people.get(session, voucher.sender_id)
    facts = {
        **_facts(view, voucher, now),
        "name": people.masked(sender.name),
        "balance_minor": _available(session, person.wallet_id),
    }
    _tell(session, view, "voucher_received", _of(person), facts, now)
    _tell_sender(session, voucher, now)


def returned(session: Session, view: TransferView, voucher: Voucher, now: datetime) -> None:
    """Nobody collected it, or the sender cancelled it: all that was paid is back."""
    sender = people.get(session, voucher.sender_id)
    facts = {
        **_facts(view, voucher, now),
        "total_minor": view.total_minor,
        "balance_minor": _available(session, sender.wallet_id),
    }
    _tell(session, view, "voucher_returned", _of(sender), facts, now)


def _tell_sender(session: Session, voucher: Voucher, now: datetime) -> None:
    """By the reference that the sender knows."""
    sender, sent = (
        people.get(session, voucher.sender_id),
        records.outcome(session, voucher.transfer_id),
    )
    _tell(session, sent, "voucher_collected", _of(sender), _facts(sent, voucher, now), now)


def _facts(view: TransferView, voucher: Voucher, now: datetime) -> dict[str, Any]:
    return {
        "amount_minor": view.amount_minor,
        "fee_minor": view.fee_minor,
        "to": numbers.local(voucher.msisdn),
        "reference": view.reference,
        "at": now.isoformat(),
    }


def _of(person: Person) -> Recipient:
    return Recipient(person.msisdn, person.language, person.id)


def _unregistered(market: Market, voucher: Voucher) -> Recipient:
    return Recipient(voucher.msisdn, market.default_language)


def _available(session: Session, account_id: int) -> int:
    return ledger.balance(session, account_id).available_minor


def _tell(
    session: Session,
    view: TransferView,
    kind: str,
    recipient: Recipient,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    notify(
        session,
        kind,
        recipient,
        message_id=derived_key(view.id, "message", kind),
        subject=view.id,
        facts=facts,
        now=now,
    )
