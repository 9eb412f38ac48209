"""Cash over the counter: cash-in, cash-out by a customer's code, vouchers paid out."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.errors import DomainError
from app.ussd.menus.services import Services, acting_agent, caller
from app.ussd.menus.transfer import (
    Flow,
    agreeing,
    payee_of,
    states,
    told_of_transfer,
    whom,
)
from app.ussd.states import Ask, Hop, Secret, State, Step
from app.wallet import people
from app.wallet.codes import CodeAttempt
from app.wallet.counter import cash, redeeming, withdrawals
from app.wallet.transfers import vouchers
from app.wallet.transfers.offers import Offer


def parse_number(hop: Hop[Services], typed: str) -> str:
    return numbers.parse(typed, hop.market.region)


def keep_number(hop: Hop[Services], msisdn: str) -> None:
    hop.data["msisdn"], hop.data["to"] = msisdn, numbers.local(msisdn)


def accept_cash_in(hop: Hop[Services], msisdn: str) -> str:
    keep_number(hop, msisdn)
    customer = payee_of(hop, msisdn)
    if customer is None:
        raise DomainError("person_unknown")
    hop.data["name"] = hop.name(people.masked(customer.name))
    return "cash_in.amount"


def offer_in(hop: Hop[Services], session: Session, amount_minor: int, at: datetime) -> Offer:
    agent = acting_agent(hop, session)
    return cash.offer_in(session, hop.market, agent, hop.data["msisdn"], amount_minor, at=at)


def give(hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID) -> uuid.UUID:
    return cash.confirm_in(
        session, hop.market, offer, intent_id=intent_id, by=caller(hop).id, now=hop.now
    ).id


def due(hop: Hop[Services], session: Session) -> redeeming.Due:
    """What this customer made a code for at this very counter."""
    agent, msisdn = acting_agent(hop, session), hop.data["msisdn"]
    return redeeming.find_due(session, hop.market, agent, msisdn, at=hop.now)


def accept_code_number(hop: Hop[Services], msisdn: str) -> str:
    keep_number(hop, msisdn)
    hop.services.db.transact(lambda session: due(hop, session))
    return "code_out.code"


def check_code(hop: Hop[Services], code: str) -> str:
    """The try is counted and committed before the code is looked at."""
    codes = hop.services.codes

    def begin(session: Session) -> CodeAttempt:
        return codes.begin(session, due(hop, session).code_id)

    attempt = hop.services.db.transact(begin, name="attempt")
    hop.services.db.transact(
        lambda session: redeeming.prove(session, codes, due(hop, session), attempt, code, hop.now)
    )
    return "code_out.begin"


def offer_out(hop: Hop[Services], session: Session, _amount_minor: int, _at: datetime) -> Offer:
    return due(hop, session).offer


def pay_out(hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID) -> uuid.UUID:
    return redeeming.confirm_by_code(
        session,
        hop.market,
        hop.services.codes,
        replace(due(hop, session), offer=offer),
        intent_id=intent_id,
        by=caller(hop).id,
        now=hop.now,
    ).id


def accept_voucher_number(hop: Hop[Services], msisdn: str) -> str:
    hop.services.db.transact(lambda session: acting_agent(hop, session))
    keep_number(hop, msisdn)
    return "voucher_collect.code"


def check_voucher(hop: Hop[Services], code: str) -> str:
    services, msisdn = hop.services, hop.data["msisdn"]

    def begin(session: Session) -> list[vouchers.CollectAttempt]:
        acting_agent(hop, session)
        return vouchers.begin_collect(session, services.codes, msisdn, hop.now)

    attempts = services.db.transact(begin, name="attempt")
    voucher_id = vouchers.check_collect(services.codes, attempts, code)
    services.db.transact(lambda session: vouchers.spare(session, attempts))
    hop.data["voucher"] = str(voucher_id)
    return "voucher_collect.begin"


def offer_voucher(hop: Hop[Services], session: Session, _amount_minor: int, at: datetime) -> Offer:
    agent, voucher_id = acting_agent(hop, session), uuid.UUID(hop.data["voucher"])
    return vouchers.offer_collect(session, hop.market, agent, voucher_id, at=at)


def pay_voucher(
    hop: Hop[Services], session: Session, offer: Offer, intent_id: uuid.UUID
) -> uuid.UUID:
    return vouchers.confirm_collect(
        session,
        hop.market,
        hop.services.codes,
        offer,
        voucher_id=uuid.UUID(hop.data["voucher"]),
        intent_id=intent_id,
        by=caller(hop).id,
        now=hop.now,
    ).id


CASH_IN = Flow("cash_in", offer_in, give, told_of_transfer, refusals=("own_number",))
CODE_OUT = Flow(
    "code_out",
    offer_out,
    pay_out,
    told_of_transfer,
    refusals=("withdrawal_unknown", "code_used", "code_expired", "customer_suspended"),
)
VOUCHER = Flow(
    "voucher_collect",
    offer_voucher,
    pay_voucher,
    told_of_transfer,
    refusals=("voucher_unknown", "code_used"),
)
CODE_ENDS = ("code_locked", "code_expired", "code_used", "agent_suspended")

STATES: tuple[State[Any], ...] = (
    Ask(
        "cash_in.number",
        text="menus.cash_in.number",
        parse=parse_number,
        accept=accept_cash_in,
        goes=("cash_in.amount",),
        refusals=("msisdn_invalid", "own_number", "person_unknown"),
        ends=("payee_suspended",),
        reads=True,
    ),
    *states(CASH_IN),
    Ask(
        "code_out.number",
        text="menus.code_out.number",
        parse=parse_number,
        accept=accept_code_number,
        goes=("code_out.code",),
        refusals=("msisdn_invalid", "withdrawal_unknown"),
        ends=("agent_suspended",),
        reads=True,
    ),
    Secret(
        "code_out.code",
        text="menus.code_out.code",
        facts=whom,
        accept=check_code,
        goes=("code_out.begin",),
        refusals=("code_wrong",),
        ends=(*CODE_ENDS, "withdrawal_unknown"),
        digits=withdrawals.CODE_DIGITS,
    ),
    Step("code_out.begin", run=CODE_OUT.begin, goes=("code_out.ready",), reads=False),
    *agreeing(CODE_OUT),
    Ask(
        "voucher_collect.number",
        text="menus.voucher_collect.number",
        parse=parse_number,
        accept=accept_voucher_number,
        goes=("voucher_collect.code",),
        refusals=("msisdn_invalid",),
        ends=("agent_suspended",),
        reads=True,
    ),
    Secret(
        "voucher_collect.code",
        text="menus.voucher_collect.code",
        facts=whom,
        accept=check_voucher,
        goes=("voucher_collect.begin",),
        refusals=("code_wrong",),
        ends=("voucher_unknown", "voucher_locked", "agent_suspended"),
        digits=vouchers.CODE_DIGITS,
    ),
    Step("voucher_collect.begin", run=VOUCHER.begin, goes=("voucher_collect.ready",), reads=False),
    *agreeing(VOUCHER),
)
