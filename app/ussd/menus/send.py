"""Send money: to a registered number at once, to any other by a voucher whose code goes by SMS."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.ussd.menus.services import Services, caller
from app.ussd.menus.transfer import Flow, payee_of, states, told_of_transfer
from app.ussd.states import Ask, Hop, State
from app.wallet import people
from app.wallet.transfers import sends, vouchers
from app.wallet.transfers.offers import Offer


def parse_number(hop: Hop[Services], typed: str) -> str:
    return numbers.parse(typed, hop.market.region)


def accept_number(hop: Hop[Services], msisdn: str) -> str:
    """Whoever has a wallet gets it there; whoever has none gets a voucher."""
    payee = payee_of(hop, msisdn)
    hop.data["msisdn"], hop.data["to"] = msisdn, numbers.local(msisdn)
    if payee is None:
        return "voucher.amount"
    hop.data["name"] = hop.name(people.masked(payee.name))
    return "send.amount"


def offer_send(hop: Hop[Services], session: Session, amount_minor: int, at: datetime) -> Offer:
    payer = people.get(session, caller(hop).id)
    return sends.offer(session, hop.market, payer, hop.data["msisdn"], amount_minor, at=at)


def send(hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID) -> uuid.UUID:
    return sends.confirm(
        session, hop.market, offer, intent_id=intent_id, by=caller(hop).id, now=hop.now
    ).id


def offer_voucher(hop: Hop[Services], session: Session, amount_minor: int, at: datetime) -> Offer:
    payer = people.get(session, caller(hop).id)
    return vouchers.offer(session, hop.market, payer, hop.data["msisdn"], amount_minor, at=at)


def send_voucher(
    hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID
) -> uuid.UUID:
    return vouchers.confirm(
        session,
        hop.market,
        hop.services.codes,
        offer,
        intent_id=intent_id,
        by=caller(hop).id,
        now=hop.now,
    ).id


SEND = Flow(
    "send",
    offer=offer_send,
    carry_out=send,
    told=told_of_transfer,
    refusals=("own_number",),
)
VOUCHER = Flow(
    "voucher",
    offer=offer_voucher,
    carry_out=send_voucher,
    told=told_of_transfer,
    refusals=("own_number", "person_registered", "voucher_too_many"),
)

STATES: tuple[State[Any], ...] = (
    Ask(
        "send.number",
        text="menus.send.number",
        parse=parse_number,
        accept=accept_number,
        goes=("send.amount", "voucher.amount"),
        refusals=("msisdn_invalid", "own_number"),
        ends=("payee_suspended",),
        reads=True,
    ),
    *states(SEND),
    *states(VOUCHER),
)
