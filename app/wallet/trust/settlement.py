"""What the confirmation of a line posts, and what follows from it. The caller holds the locks.

deposit    trust_bank → deposits_in_transit, suspense:deposits → the payee
payout     payouts_in_transit → trust_bank
returned   trust_bank → payouts_in_transit, and the payout is reversed
account    trust_bank → the payee; or the operator → trust_bank, for the bank's charges
settlement settlement:<biller> → trust_bank, by order; or back
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import agents, ledger
from app.wallet.counter import low_float
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting
from app.wallet.trust import deposits, orders, payouts, receipts
from app.wallet.trust.lines import BankLine
from app.wallet.trust.matches import Target

TRUST = "trust_bank"
POSTING_KINDS = {
    "deposit": "deposit_cleared",
    "payout": "payout_settled",
    "returned": "payout_back",
    "settlement": "settlement_paid",
    "settlement_back": "settlement_back",
}
INTO_ACCOUNT, OUT_OF_ACCOUNT = "deposit", "bank_charge"


def lock_subject(session: Session, target: Target) -> None:
    """What the line is for is ended by nobody else meanwhile.

    Raises DomainError `deposit_ended` with `state`, `payout_ended`, `order_state` with `state`.
    """
    if target.notice_id:
        deposits.locked(session, target.notice_id)
    if target.transfer_id:
        payout = payouts.locked(session, target.transfer_id)
        if payout.returned or payout.out is (target.kind == "payout"):
            raise DomainError("payout_ended")
    if target.order_id:
        order = orders.locked(session, target.order_id)
        if order.ended or order.out is (target.kind == "settlement"):
            raise DomainError("order_state", state=order.state)


def post(
    session: Session,
    market: Market,
    line: BankLine,
    target: Target,
    *,
    match_id: UUID,
    now: datetime,
) -> int:
    """Move the money of a line that was approved; the posting.

    The key is the match's: a line's own has its day, and would expire with it. Raises DomainError
    `insufficient_funds` when the operator has not enough for a charge.
    """
    posting = Posting(
        key=derived_key(match_id, "matched"),
        kind=posting_kind(line, target),
        moves=_moves(session, line, target),
        reference=target.reference,
        authority=f"bank_line:{line.id}",
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal == "insufficient_funds":
        available = ledger.balance(session, target.payee.account_id).available_minor
        written = market.currency.format
        raise DomainError(
            answer.refusal, total=written(-line.amount_minor), available=written(available)
        )
    if answer.refusal or answer.posting_id is None:
        raise RuntimeError(f"line {line.id}: the ledger refuses with {answer.refusal}")
    return answer.posting_id


def follow_up(
    session: Session,
    market: Market,
    line: BankLine,
    target: Target,
    *,
    match_id: UUID,
    posting_id: int,
    now: datetime,
) -> None:
    """The notice is cleared, the payout given back, the order paid, the payee told."""
    if target.notice_id:
        deposits.cleared(session, target.notice_id, posting_id, now)
    if target.order_id:
        end = orders.paid if target.kind == "settlement" else orders.came_back
        end(session, target.order_id, now)
    if target.kind == "returned" and target.transfer_id:
        payouts.give_back(session, market, payouts.locked(session, target.transfer_id), now)
    elif brings_money(line, target):
        receipts.received(
            session, target.payee, subject=target.notice_id or match_id,
            amount_minor=line.amount_minor, reference=target.reference, now=now,
        )  # fmt: skip
        if target.payee.agent_id:
            low_float.rose(session, market, agents.get(session, target.payee.agent_id))


def brings_money(line: BankLine, target: Target) -> bool:
    """Whether somebody has new money by it."""
    return target.kind in ("deposit", "account") and line.amount_minor > 0


def posting_kind(line: BankLine, target: Target) -> str:
    if target.kind == "account":
        return INTO_ACCOUNT if line.amount_minor > 0 else OUT_OF_ACCOUNT
    return POSTING_KINDS[target.kind]


def _moves(session: Session, line: BankLine, target: Target) -> tuple[Move, ...]:
    def house(name: str) -> int:
        return ledger.house_account(session, name, line.currency)

    trust, account, amount_minor = house(TRUST), target.payee.account_id, abs(line.amount_minor)
    match target.kind:
        case "deposit":
            return (
                Move(trust, house(deposits.TRANSIT), amount_minor),
                Move(house(deposits.SUSPENSE), account, amount_minor),
            )
        case "payout":
            return (Move(house(payouts.TRANSIT), trust, amount_minor),)
        case "returned":
            return (Move(trust, house(payouts.TRANSIT), amount_minor),)
        case "settlement_back":
            return (Move(trust, account, amount_minor),)
        case "account" if line.amount_minor > 0:
            return (Move(trust, account, amount_minor),)
        case "account" | "settlement":
            return (Move(account, trust, amount_minor),)
