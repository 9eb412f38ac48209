"""Commission into the float, once a period of `commission_days` local days, and what an agent may
read of it. A period begins at local midnight; what accrued before it is paid in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, commission, ledger
from app.wallet.agents import Agent
from app.wallet.commission import Payout
from app.wallet.counter import low_float
from app.wallet.keys import derived_key, oldest_key, period_key

LAST_PAYOUTS = 5
UNPAID = Gauge(
    "kibanda_commission_unpaid_agents",
    "Agents whose commission waits because the operator's own account is short",
    multiprocess_mode="mostrecent",
)
# Of a suspended agent nothing is lost: it accrues on, and is paid when the agent is back.
_DUE = text("""
    SELECT g.id, e.owed_minor
    FROM agents g CROSS JOIN LATERAL (
        SELECT sum(a.amount_minor) AS amount_minor,
               sum(a.amount_minor - a.funded_minor) AS owed_minor
        FROM commission_accruals a
        WHERE a.agent_id = g.id AND a.payout_id IS NULL AND a.accrued_at < :until
    ) AS e
    WHERE g.state = 'active' AND g.id <> ALL (CAST(:left_out AS uuid[])) AND e.amount_minor > 0
      AND NOT EXISTS (
        SELECT FROM commission_payouts p WHERE p.agent_id = g.id AND p.id >= :first_of_period)
    ORDER BY g.id LIMIT :most
""")
_LAST = text("""
    SELECT id, funded_minor + owed_minor AS amount_minor, snapshot_at FROM commission_payouts
    WHERE agent_id = :agent AND posting_id IS NOT NULL ORDER BY id DESC LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Due:
    """An agent to be paid. `owed_minor` is the operator's part."""

    agent_id: UUID
    owed_minor: int


@dataclass(frozen=True, slots=True)
class Paid:
    """A payout of the past."""

    reference: str
    amount_minor: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Earnings:
    """What an agent has earned and was not paid yet, and what it was paid; minor units.

    `accrued_minor` includes what `period_minor` and `today_minor` name.
    """

    today_minor: int
    period_minor: int
    accrued_minor: int
    next_payout_on: date
    last: tuple[Paid, ...]


def period_start(market: Market, now: datetime) -> datetime:
    """Local midnight at which the period of `now` began; periods are counted from 1 January 1."""
    today = now.astimezone(market.zone).date()
    began = today.toordinal() // market.agents.commission_days * market.agents.commission_days
    return _midnight(market, date.fromordinal(max(began, 1)))


def due(
    session: Session, market: Market, now: datetime, limit: int, left_out: Sequence[UUID] = ()
) -> list[Due]:
    """Agents whose commission of before this period was not paid in it yet."""
    until = period_start(market, now)
    values = {
        "until": until,
        "first_of_period": oldest_key(until),
        "most": limit,
        "left_out": list(left_out),
    }
    return [Due(row.id, int(row.owed_minor)) for row in session.execute(_DUE, values)]


def operator_minor(session: Session, market: Market) -> int:
    """What the operator's own account can pay commission from."""
    own = ledger.operator_account(session, market.currency.code)
    return ledger.balance(session, own).available_minor


def pay(session: Session, market: Market, agent_id: UUID, now: datetime) -> Payout | None:
    """Pay an agent what it accrued before this period, once, and say so; None for nothing.

    Raises DomainError `operator_short`, with nothing changed: a later round pays.
    """
    agent, until = agents.get(session, agent_id), period_start(market, now)
    payout_id = period_key("commission", agent.code, until)
    paid = commission.pay(session, agent, payout_id, market.currency.code, until=until, now=now)
    if paid:
        _tell(session, agent, paid, now)
        low_float.rose(session, market, agent)
    return paid


def earnings(session: Session, market: Market, agent: Agent, now: datetime) -> Earnings:
    """What the agent's menu shows."""
    today = now.astimezone(market.zone).date()
    began = period_start(market, now)
    next_payout = began.date() + timedelta(days=market.agents.commission_days)
    last = session.execute(_LAST, {"agent": agent.id, "most": LAST_PAYOUTS})
    return Earnings(
        today_minor=commission.accrued_minor(session, agent.id, since=_midnight(market, today)),
        period_minor=commission.accrued_minor(session, agent.id, since=began),
        accrued_minor=commission.accrued_minor(session, agent.id),
        next_payout_on=next_payout,
        last=tuple(
            Paid(commission.payout_reference(row.id), int(row.amount_minor), row.snapshot_at)
            for row in last
        ),
    )


def _midnight(market: Market, day: date) -> datetime:
    return datetime.combine(day, time(), market.zone)


def _tell(session: Session, agent: Agent, paid: Payout, now: datetime) -> None:
    notify(
        session,
        "commission_paid",
        Recipient(agent.msisdn, agent.language, agent.person_id),
        message_id=derived_key(paid.id, "message", "commission_paid"),
        subject=paid.id,
        facts={
            "amount_minor": paid.amount_minor,
            "float_minor": ledger.balance(session, agent.float_id).available_minor,
            "reference": paid.reference,
            "at": now.isoformat(),
        },
        now=now,
    )
