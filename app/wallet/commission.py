"""Commission: it accrues with the posting that earned it, and is paid from a snapshot.

    accrual (append-only) ──snapshot──▶ payout ──posting──▶ the agent's float

1. What a fee funds of a commission goes to the house account `commission` in the posting itself;
   the rest the operator owes and pays from its own account, which has a floor.
2. A payout pays exactly its snapshot: what accrues meanwhile waits for the next one. The database
   lets nothing out of `commission` but by such a snapshot (`sql/rules_v2.sql`).
3. A posting that is taken back takes its commission back with it, as a negative accrual.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.tariffs import Fee
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.calls import array, call
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting

ACCRUE = "SELECT accrue_v1(%s, %s::bigint, %s, %s::uuid[], %s::bigint[], %s::bigint[])"
UNACCRUE = "SELECT unaccrue_v1(%s, %s::bigint, %s::bigint)"
SNAPSHOT = "SELECT o_funded, o_owed FROM snapshot_commission_v1(%s, %s, %s)"
POSTING_KIND = "commission"


def accrue(
    session: Session, posting_id: int, reference: str, agent: Agent, fee: Fee, now: datetime
) -> None:
    """Credit the commission of a posting to the agent, and to its super-agent for its part."""
    shares = [(agent.id, fee.agent_minor)]
    if agent.parent_id is not None:
        shares.append((agent.parent_id, fee.super_agent_minor))
    accrue_shares(session, posting_id, reference, shares, funded_minor=fee.funded_minor, now=now)


def accrue_shares(
    session: Session,
    posting_id: int,
    reference: str,
    shares: Sequence[tuple[UUID, int]],
    *,
    funded_minor: int,
    now: datetime,
) -> None:
    """Accrue amounts to agents; the first are funded first. Nothing where nobody earns."""
    earned = [(agent_id, minor) for agent_id, minor in shares if minor]
    if not earned:
        return
    funded = []
    for _, minor in earned:
        funded.append(min(minor, funded_minor))
        funded_minor -= funded[-1]
    ids, amounts = (list(column) for column in zip(*earned, strict=True))
    parameters = (now, posting_id, reference, array(ids), array(amounts), array(funded))
    call(session, ACCRUE, parameters)


def unaccrue(session: Session, posting_id: int, reversal_id: int, now: datetime) -> None:
    """The posting was taken back by that reversal: so is what it accrued."""
    call(session, UNACCRUE, (now, posting_id, reversal_id))


def accrued_minor(session: Session, agent_id: UUID) -> int:
    """What an agent has earned and was not paid yet."""
    statement = text(
        "SELECT coalesce(sum(amount_minor), 0) FROM commission_accruals a"
        " WHERE agent_id = :agent AND (payout_id IS NULL OR EXISTS ("
        " SELECT FROM commission_payouts p WHERE p.id = a.payout_id AND p.posting_id IS NULL))"
    )
    return int(session.scalar(statement, {"agent": agent_id}) or 0)


def pay(
    session: Session, agent: Agent, payout_id: UUID, currency: str, now: datetime
) -> int | None:
    """Pay what an agent has accrued, under the key of its period; 0 for nothing to pay.

    None when the operator's own account has not enough for its part: the snapshot stays, and the
    same call pays it later.
    """
    funded, owed = call(session, SNAPSHOT, (now, payout_id, agent.id))
    if not funded + owed:
        return 0
    moves = []
    if funded:
        house = ledger.house_account(session, "commission", currency)
        moves.append(Move(house, agent.float_id, funded))
    if owed:
        own = ledger.operator_account(session, currency)
        if ledger.balance(session, own).available_minor < owed:
            return None
        moves.append(Move(own, agent.float_id, owed))
    posting = Posting(
        key=derived_key(payout_id, "paid"),
        kind=POSTING_KIND,
        moves=tuple(moves),
        reference=agent.code,
        authority=f"accrual:{payout_id}" if funded else None,
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal == "insufficient_funds":
        raise RuntimeError("the operator's account was emptied meanwhile; the next round pays")
    if answer.refusal:
        raise RuntimeError(f"payout {payout_id} of {agent.code}: {answer.refusal}")
    if not answer.replayed:
        session.execute(
            text("UPDATE commission_payouts SET posting_id = :posting WHERE id = :id"),
            {"posting": answer.posting_id, "id": payout_id},
        )
    return int(funded + owed)
