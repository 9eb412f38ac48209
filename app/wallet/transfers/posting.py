"""Carrying an offer out: ceilings, limits, the posting, its row, the commission. One transaction.

The moves of every kind are the same, so this is the one place that writes them:

    payer → payee        the amount
    fee payer → tax      the tax in the fee
    fee payer → commission   what the fee funds of the agents' commission
    fee payer → fees     the rest of the fee
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, commission, intents, ledger, limits, people
from app.wallet.intents import Intent
from app.wallet.keys import derived_key, new_key
from app.wallet.ledger import Count, Move, Posting
from app.wallet.people import Person
from app.wallet.transfers import records
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import Transfer, TransferView

# What brings new money into a person's wallet is held to the ceiling of its balance.
BRINGS_MONEY = ("send", "voucher_collect", "cash_in")
# What a person's limits count. A withdrawal by code counted when its money was set aside.
COUNTS = ("send", "voucher", "cash_out")


def confirmed(
    session: Session, offer: Offer, *, intent_id: UUID, by: UUID, now: datetime
) -> Intent:
    """The intent of this very offer, locked and open; with a `subject` it was carried out before.

    Raises DomainError `intent_closed`, `intent_changed`, `intent_expired`.
    """
    return intents.take(session, intent_id, person_id=by, fingerprint=offer.fingerprint, now=now)


def carry_out(
    session: Session,
    market: Market,
    offer: Offer,
    *,
    intent: Intent | None,
    key: UUID,
    now: datetime,
    hold_id: UUID | None = None,
) -> TransferView:
    """Post an offer and write its row; closes the intent. With `hold_id` it captures that hold.

    Raises DomainError with nothing changed: `person_suspended`, `payee_suspended`,
    `agent_suspended`, `limit_transaction`, `limit_day`, `limit_month`, `limit_balance`,
    `insufficient_funds`. A hold that is not held any more is `intent_closed`.
    """
    payer = _party(session, offer.payer_id)
    payee = _party(session, offer.payee_id)
    if payer:
        people.refuse_inactive(payer)
    if payee and not people.may_receive(payee):
        raise DomainError("payee_suspended")
    agent = agents.locked_for_payment(session, offer.agent_id) if offer.agent_id else None
    if agent:
        agents.refuse_inactive(agent)
    counts: tuple[Count, ...] = ()
    if payer and offer.kind in COUNTS and hold_id is None:
        counts = limits.of_payment(market, payer, offer.amount_minor, now)
    moves = moves_of(session, offer)
    if payee and offer.kind in BRINGS_MONEY:
        _refuse_over_ceiling(session, market, offer, payee, moves)
    reference = records.free_reference(session)
    posting = Posting(
        key=key, kind=offer.kind, moves=moves, reference=reference, hold_id=hold_id, counts=counts
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal:
        raise refusal(session, market, offer, payer, answer.refusal)
    assert answer.posting_id is not None
    transfer_id = new_key()
    session.execute(
        insert(Transfer).values(
            id=transfer_id,
            reference=reference,
            kind=offer.kind,
            intent_id=intent.id if intent else None,
            payer_account=offer.payer_account,
            payee_account=offer.payee_account,
            payer_id=offer.payer_id,
            payee_id=offer.payee_id,
            agent_id=offer.agent_id,
            msisdn=offer.msisdn,
            currency=offer.currency,
            amount_minor=offer.amount_minor,
            fee_minor=offer.fee_minor,
            tax_minor=offer.fee.tax_minor,
            funded_minor=offer.fee.funded_minor,
            fee_payer=offer.fee_payer,
            posting_id=answer.posting_id,
            created_at=now,
        )
    )
    if agent:
        commission.accrue(session, answer.posting_id, reference, agent, offer.fee, now)
    if intent:
        intents.close(session, intent, transfer_id, now)
    return records.outcome(session, transfer_id)


def intent_key(intent_id: UUID) -> UUID:
    """The key of the posting that an intent may make."""
    return derived_key(intent_id, "transfer")


def moves_of(session: Session, offer: Offer) -> tuple[Move, ...]:
    """The moves of an offer, the amount first, so that a receiver can pay the fee out of it."""
    pays = offer.payer_account if offer.fee_payer == "sender" else offer.payee_account
    shares = (
        ("tax", offer.fee.tax_minor),
        ("commission", offer.fee.funded_minor),
        ("fees", offer.fee.net_minor),
    )
    return (
        Move(offer.payer_account, offer.payee_account, offer.amount_minor),
        *(
            Move(pays, ledger.house_account(session, name, offer.currency), part)
            for name, part in shares
            if part
        ),
    )


def _party(session: Session, person_id: UUID | None) -> Person | None:
    """Locked against a change of state until the transaction ends."""
    return people.locked_for_payment(session, person_id) if person_id else None


def _refuse_over_ceiling(
    session: Session, market: Market, offer: Offer, payee: Person, moves: Sequence[Move]
) -> None:
    most_minor = market.tiers[payee.tier].balance_minor
    touched = [account for move in moves for account in (move.debit, move.credit)]
    over = ledger.over_ceiling(
        session, touched, [(offer.payee_account, offer.received_minor, most_minor)]
    )
    if over is not None:
        raise DomainError("limit_balance", most=market.currency.format(most_minor))


def refusal(
    session: Session, market: Market, offer: Offer, payer: Person | None, reason: str
) -> DomainError:
    """What people are told where the ledger will not post or hold an offer."""
    if reason == "insufficient_funds":
        available = ledger.balance(session, offer.payer_account).available_minor
        written = market.currency.format
        return DomainError(reason, total=written(offer.total_minor), available=written(available))
    if reason == "hold_not_held":
        return DomainError("intent_closed")
    if payer and reason.startswith("limit_"):
        return limits.refusal(market, payer, reason)
    raise RuntimeError(f"{offer.kind}: the ledger refuses with {reason}")
