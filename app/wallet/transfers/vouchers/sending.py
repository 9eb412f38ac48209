"""Sending a voucher: the sender's wallet pays into an account of its own, the code goes by SMS."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger, people
from app.wallet.codes import Codes
from app.wallet.keys import derived_key
from app.wallet.people import Person
from app.wallet.transfers import posting, records
from app.wallet.transfers.offers import Offer, counter_amount, priced
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers import news, rows
from app.wallet.transfers.vouchers.rows import Voucher

CODE_DIGITS = 8
CODE_TRIES = 5
# The account is opened with the confirmation: what is agreed to is the number and the amount.
YET_TO_OPEN = 0


def offer(
    session: Session,
    market: Market,
    payer: Person,
    msisdn: str,
    amount_minor: int,
    *,
    at: datetime,
) -> Offer:
    """What a voucher costs, priced `at`.

    Raises DomainError `own_number`, `person_registered` (then it is a send), `voucher_too_many`,
    `amount_too_small`, `amount_step`, `amount_too_large`, `not_offered_yet`.
    """
    if msisdn == payer.msisdn:
        raise DomainError("own_number")
    receiver = people.find(session, msisdn)
    if receiver is not None and receiver.state != "invited":
        raise DomainError("person_registered")
    rows.refuse_more(session, msisdn, at)
    counter_amount(market, amount_minor)
    fee, fee_payer = priced(market, "voucher", amount_minor, at)
    return Offer(
        kind="voucher",
        payer_account=payer.wallet_id,
        payee_account=YET_TO_OPEN,
        payer_id=payer.id,
        payee_id=None,
        agent_id=None,
        msisdn=msisdn,
        name="",
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee=fee,
        fee_payer=fee_payer,
    )


def confirm(
    session: Session,
    market: Market,
    codes: Codes,
    offered: Offer,
    *,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> TransferView:
    """Set the money apart, tell both. The same intent again answers the transfer that it made.

    Raises DomainError as `posting.confirmed` and `posting.carry_out`, and `voucher_too_many`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return records.outcome(session, intent.subject)
    assert offered.msisdn
    rows.refuse_more(session, offered.msisdn, now)
    voucher_id = derived_key(intent_id, "voucher")
    account_id = ledger.open_account(
        session,
        kind="voucher",
        currency=offered.currency,
        owner_kind="person",
        owner_id=voucher_id,
    )
    view = posting.carry_out(
        session,
        market,
        replace(offered, payee_account=account_id),
        intent=intent,
        key=posting.intent_key(intent_id),
        now=now,
    )
    voucher = _write(session, market, codes, view, voucher_id, account_id, now)
    news.sent(session, market, view, voucher, now)
    return view


def _write(
    session: Session,
    market: Market,
    codes: Codes,
    view: TransferView,
    voucher_id: UUID,
    account_id: int,
    now: datetime,
) -> Voucher:
    assert view.payer_id
    assert view.msisdn
    voucher = Voucher(
        id=voucher_id,
        transfer_id=view.id,
        sender_id=view.payer_id,
        msisdn=view.msisdn,
        account_id=account_id,
        code_id=derived_key(voucher_id, "code"),
        expires_at=now + timedelta(seconds=market.vouchers.seconds),
        state="open",
    )
    session.add(voucher)
    session.flush()
    codes.issue(
        session,
        voucher.code_id,
        purpose="voucher",
        subject=voucher_id,
        digits=CODE_DIGITS,
        tries=CODE_TRIES,
        expires_at=voucher.expires_at,
        now=now,
    )
    return voucher
