"""Commission: it accrues with the posting that earned it, and is paid from a snapshot.

    accrual (append-only) ──snapshot──▶ payout ──posting──▶ the agent's float

1. What a fee funds of a commission goes to the house account `commission` in the posting itself;
   the rest the operator owes and pays from its own account, which has a floor.
2. A payout pays exactly its snapshot: what accrues meanwhile waits for the next one. The database
   lets nothing out of `commission` but by such a snapshot (`sql/rules_v2.sql`).
3. A posting that is taken back takes its commission back with it, as a negative accrual. Where it
   had been paid already, the next payout gives the part back that it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.tariffs import Fee
from app.wallet import ledger
from app.wallet.agents import Agent
from app.wallet.calls import array, call
from app.wallet.keys import derived_key
from app.wallet.ledger import Move, Posting
from app.wallet.references import ALPHABET, LENGTH

ACCRUE = "SELECT accrue_v1(%s, %s::bigint, %s, %s::uuid[], %s::bigint[], %s::bigint[])"
UNACCRUE = "SELECT unaccrue_v1(%s, %s::bigint, %s::bigint)"
SNAPSHOT = "SELECT o_funded, o_owed FROM snapshot_commission_v1(%s, %s, %s, %s)"
POSTING_KIND = "commission"
_UNPAID = text("""
    SELECT coalesce(sum(amount_minor), 0) FROM commission_accruals
    WHERE agent_id = :agent AND payout_id IS NULL
      AND accrued_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
""")


@dataclass(frozen=True, slots=True)
class Payout:
    """What reached the float. `reference` is what the agent and staff call it by."""

    id: UUID
    reference: str
    amount_minor: int


def accrue(
    session: Session, posting_id: int, reference: str, agent: Agent, fee: Fee, now: datetime
) -> None:
    """Credit the commission of a posting to the agent, and to its super-agent for its part."""
    shares = shares_of(agent, fee.commission_minor, fee.super_agent_minor)
    accrue_shares(session, posting_id, reference, shares, funded_minor=fee.funded_minor, now=now)


def shares_of(
    agent: Agent, commission_minor: int, super_agent_minor: int
) -> list[tuple[UUID, int]]:
    """Who earns how much. An agent that lost its super-agent since the quote earns it all."""
    if agent.parent_id is None:
        return [(agent.id, commission_minor)]
    return [
        (agent.id, commission_minor - super_agent_minor),
        (agent.parent_id, super_agent_minor),
    ]


def accrue_shares(
    session: Session,
    posting_id: int,
    reference: str,
    shares: Sequence[tuple[UUID, int]],
    *,
    funded_minor: int,
    now: datetime,
) -> None:
    """Accrue amounts to agents; the first are funded first. Nothing where nobody earns.

    `now` is the time of the posting. The same again changes nothing.
    """
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


def accrued_minor(session: Session, agent_id: UUID, *, since: datetime | None = None) -> int:
    """What an agent has earned and was not paid yet; below zero after a reversal."""
    return int(session.scalar(_UNPAID, {"agent": agent_id, "since": since}) or 0)


def pay(
    session: Session,
    agent: Agent,
    payout_id: UUID,
    currency: str,
    *,
    until: datetime,
    now: datetime,
) -> Payout | None:
    """Pay what an agent accrued before `until`, under the key of its period; None for nothing.

    Raises DomainError `operator_short`, with nothing changed: the operator's own account has not
    enough for its part. The same call pays it later.
    """
    funded, owed = call(session, SNAPSHOT, (now, payout_id, agent.id, until))
    if not funded + owed:
        return None
    reference = payout_reference(payout_id)
    posting = Posting(
        key=derived_key(payout_id, "paid"),
        kind=POSTING_KIND,
        moves=_moves(session, agent.float_id, funded, owed, currency),
        reference=reference,
        authority=f"accrual:{payout_id}" if funded > 0 else None,
    )
    (answer,) = ledger.post(session, [posting], now=now)
    if answer.refusal == "insufficient_funds":
        raise DomainError("operator_short", retryable=True)
    if answer.refusal:
        raise RuntimeError(f"payout {payout_id} of {agent.code}: {answer.refusal}")
    if not answer.replayed:
        session.execute(
            text("UPDATE commission_payouts SET posting_id = :posting WHERE id = :id"),
            {"posting": answer.posting_id, "id": payout_id},
        )
    return Payout(payout_id, reference, funded + owed)


def _moves(
    session: Session, float_id: int, funded: int, owed: int, currency: str
) -> tuple[Move, ...]:
    """Each part from where it is, or back to there; what comes in stands first."""
    parts = (
        (ledger.house_account(session, "commission", currency), funded),
        (ledger.operator_account(session, currency), owed),
    )
    return (
        *(Move(source, float_id, minor) for source, minor in parts if minor > 0),
        *(Move(float_id, source, -minor) for source, minor in parts if minor < 0),
    )


def payout_reference(payout_id: UUID) -> str:
    """Eight characters of the payout's own key, so that a payout needs no column for it."""
    rest, written = payout_id.int, ""
    for _ in range(LENGTH):
        rest, at = divmod(rest, len(ALPHABET))
        written += ALPHABET[at]
    return written
