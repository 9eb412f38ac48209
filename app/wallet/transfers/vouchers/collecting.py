"""Collecting a voucher: in cash at an agent by its code, or into the wallet of its number.

At the counter: `begin_collect` counts the try and is committed; `check_collect`, pure, says whose
code it is, and `spare` takes back what was counted for a right one; `offer_collect` is what the
agent's confirmation shows; `confirm_collect` pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Fee
from app.wallet import agents, people
from app.wallet.agents import Agent
from app.wallet.codes import CodeAttempt, Codes
from app.wallet.counter import low_float
from app.wallet.keys import derived_key
from app.wallet.people import Person
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers import news, rows
from app.wallet.transfers.vouchers.rows import VoucherView

UNUSABLE = ("code_locked", "code_expired", "code_used")
STAYS = ("limit_balance", "payee_suspended")


@dataclass(frozen=True, slots=True)
class CollectAttempt:
    """One counted try on an open voucher."""

    voucher_id: UUID
    code: CodeAttempt


def begin_collect(
    session: Session, codes: Codes, msisdn: str, now: datetime
) -> list[CollectAttempt]:
    """Count a try on every open voucher of a number; commit before checking.

    Raises DomainError `voucher_unknown`, or `voucher_locked` when every code was tried too often.
    """
    vouchers = rows.open_of(session, msisdn, now)
    if not vouchers:
        raise DomainError("voucher_unknown")
    attempts = []
    for voucher in vouchers:
        try:
            attempts.append(CollectAttempt(voucher.id, codes.begin(session, voucher.code_id)))
        except DomainError as error:
            if error.code not in UNUSABLE:
                raise
    if not attempts:
        raise DomainError("voucher_locked")
    return attempts


def check_collect(codes: Codes, attempts: Sequence[CollectAttempt], typed: str) -> UUID:
    """The voucher that has this code. Pure, outside any transaction.

    Raises DomainError `code_wrong` with `left`, the fewest tries that an open code still has, or
    `voucher_locked` when none has any.
    """
    left = []
    for attempt in attempts:
        try:
            codes.check(attempt.code, typed)
        except DomainError as error:
            if error.code == "code_wrong":
                left.append(int(str(error.facts["left"])))
        else:
            return attempt.voucher_id
    if left:
        raise DomainError("code_wrong", left=min(left))
    raise DomainError("voucher_locked")


def spare(session: Session, attempts: Sequence[CollectAttempt]) -> None:
    """The code was right for one of them: the try counts on none that it was tried on."""
    for attempt in attempts:
        Codes.give_back(session, attempt.code.code.id)


def offer_collect(
    session: Session, market: Market, agent: Agent, voucher_id: UUID, *, at: datetime
) -> Offer:
    """What an agent pays out in cash and gets into its float, with its commission priced `at`.

    Raises DomainError `voucher_unknown` (closed, or past its time), `agent_suspended`,
    `not_offered_yet`.
    """
    agents.refuse_inactive(agent)
    voucher = rows.get(session, voucher_id)
    if voucher.state != "open" or voucher.expires_at <= at:
        raise DomainError("voucher_unknown")
    return Offer(
        kind="voucher_collect",
        payer_account=voucher.account_id,
        payee_account=agent.float_id,
        payer_id=None,
        payee_id=None,
        agent_id=agent.id,
        msisdn=voucher.msisdn,
        name=voucher.sender_name,
        currency=market.currency.code,
        amount_minor=voucher.amount_minor,
        fee=_commission(market, voucher, agent, at),
    )


def confirm_collect(
    session: Session,
    market: Market,
    codes: Codes,
    offered: Offer,
    *,
    voucher_id: UUID,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> TransferView:
    """Pay the agent for the cash, use the code up, tell all three. Idempotent by intent.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`, `voucher_unknown`,
    `code_used`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    voucher = rows.locked(session, voucher_id)
    if voucher.expires_at <= now or voucher.account_id != offered.payer_account:
        raise DomainError("voucher_unknown")
    codes.use(session, voucher.code_id, now)
    view = posting.carry_out(
        session, market, offered, intent=intent, key=posting.intent_key(intent_id), now=now
    )
    rows.close(session, voucher, "collected", now, collected_by="agent", collection_id=view.id)
    news.cashed(session, market, view, voucher, now)
    assert view.agent_id
    low_float.rose(session, market, agents.get(session, view.agent_id))
    return view


def collect_on_registration(
    session: Session, market: Market, person: Person, now: datetime
) -> list[TransferView]:
    """Move what waits for a person's number into their wallet, oldest first; what was moved.

    What the ceiling of the wallet does not take stays open; the same call collects it later.
    """
    people.locked_for_payment(session, person.id)
    collected = []
    for found in rows.open_of(session, person.msisdn, now):
        try:
            collected.append(_into_wallet(session, market, person, found.id, now))
        except DomainError as error:
            if error.code not in (*STAYS, "voucher_unknown"):
                raise
    return collected


def _into_wallet(
    session: Session, market: Market, person: Person, voucher_id: UUID, now: datetime
) -> TransferView:
    voucher = rows.locked(session, voucher_id)
    found = rows.get(session, voucher_id)
    offer = Offer(
        kind="voucher_collect",
        payer_account=voucher.account_id,
        payee_account=person.wallet_id,
        payer_id=None,
        payee_id=person.id,
        agent_id=None,
        msisdn=voucher.msisdn,
        name=found.sender_name,
        currency=market.currency.code,
        amount_minor=found.amount_minor,
        fee=Fee(0),
    )
    key = derived_key(voucher_id, "collected")
    view = posting.carry_out(session, market, offer, intent=None, key=key, now=now)
    Codes.withdraw(session, voucher.code_id, now)
    rows.close(session, voucher, "collected", now, collected_by="person", collection_id=view.id)
    news.banked(session, person, view, voucher, now)
    return view


def _commission(market: Market, voucher: VoucherView, agent: Agent, at: datetime) -> Fee:
    """The fee was paid by the sender: the operator owes the agent its share of such a fee."""
    tariff = market.tariff("voucher", at)
    priced = tariff.fee(
        min(voucher.amount_minor, tariff.most_minor),
        agent=True,
        super_agent=agent.parent_id is not None,
    )
    return Fee(
        0, commission_minor=priced.commission_minor, super_agent_minor=priced.super_agent_minor
    )
