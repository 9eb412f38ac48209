"""Deposits that look split to earn more commission: found, reported, and left to staff.

Small bands pay more for their size than large ones, so one deposit cut into five can earn an agent
several times as much. `RULE` says it in words; `found` looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Tariff
from app.msisdn import mask
from app.wallet.people import masked

RULE = (
    "Reported is an agent who took at least {least} deposits of one customer within {minutes}"
    " minutes which together earned more commission than one deposit of their sum earns (or as few"
    " deposits as the highest band allows). Deposits that were taken back do not count."
)
REPORTED_MOST = 100
CANDIDATES_MOST = 5_000
# For every deposit: what the same agent took of the same customer from then on within the window.
_WINDOWS = text("""
    SELECT w.*, g.code AS agent_code, g.name AS agent_name, c.name AS customer_name
    FROM (
        SELECT t.agent_id, t.payee_id AS customer_id, t.msisdn, t.created_at AS first_at,
               count(*) OVER later AS deposits, max(t.created_at) OVER later AS last_at,
               sum(t.amount_minor) OVER later AS amount_minor,
               coalesce(sum(e.earned_minor) OVER later, 0) AS earned_minor
        FROM transfers t LEFT JOIN LATERAL (
            SELECT sum(a.amount_minor) AS earned_minor FROM commission_accruals a
            WHERE a.posting_id = t.posting_id
        ) AS e ON true
        WHERE t.kind = 'cash_in' AND t.reversed_at IS NULL AND t.created_at >= :since
        WINDOW later AS (
            PARTITION BY t.agent_id, t.payee_id ORDER BY t.created_at
            RANGE BETWEEN CURRENT ROW AND make_interval(secs => :seconds) FOLLOWING)
    ) AS w
    JOIN agents g ON g.id = w.agent_id
    JOIN people c ON c.id = w.customer_id
    WHERE w.deposits >= :least
    ORDER BY w.agent_id, w.customer_id, w.first_at, w.last_at DESC
    LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Split:
    """One burst of deposits; amounts in minor units. `one_minor` is what their sum would earn."""

    agent_code: str
    agent_name: str
    customer: str
    first_at: datetime
    last_at: datetime
    deposits: int
    amount_minor: int
    earned_minor: int
    one_minor: int

    @property
    def excess_minor(self) -> int:
        return self.earned_minor - self.one_minor


def rule(market: Market) -> str:
    """The rule in words, with the market's own numbers."""
    rules = market.agents.splitting
    return RULE.format(least=rules.least_deposits, minutes=rules.window_seconds // 60)


def found(
    session: Session, market: Market, since: datetime, limit: int = REPORTED_MOST
) -> list[Split]:
    """Bursts of deposits since then which `RULE` describes, the dearest first.

    A deposit is of one burst at most: where windows overlap, the earliest that counts is taken.
    """
    rules = market.agents.splitting
    values = {
        "since": since,
        "seconds": rules.window_seconds,
        "least": rules.least_deposits,
        "most": CANDIDATES_MOST,
    }
    bursts = _apart(market, session.execute(_WINDOWS, values))
    return sorted(bursts, key=lambda split: -split.excess_minor)[:limit]


def _apart(market: Market, rows: Iterable[Any]) -> Iterator[Split]:
    """The bursts that do not share a deposit; rows come by agent and customer in time."""
    taken: dict[tuple[UUID, UUID], datetime] = {}
    for row in rows:
        pair = (row.agent_id, row.customer_id)
        if pair in taken and row.first_at <= taken[pair]:
            continue
        split = _judged(market, row)
        if split.excess_minor > 0:
            taken[pair] = row.last_at
            yield split


def _judged(market: Market, row: Any) -> Split:
    return Split(
        agent_code=row.agent_code,
        agent_name=row.agent_name,
        customer=f"{masked(row.customer_name)} {mask(row.msisdn)}",
        first_at=row.first_at,
        last_at=row.last_at,
        deposits=row.deposits,
        amount_minor=int(row.amount_minor),
        earned_minor=int(row.earned_minor),
        one_minor=_unsplit(market, row.first_at, int(row.amount_minor)),
    )


def _unsplit(market: Market, at: datetime, amount_minor: int) -> int:
    """The commission of as few deposits as can be made of an amount."""
    try:
        tariff = market.tariff("cash_in", at)
    except DomainError:  # the market file begins later than the deposit
        tariff = market.tariffs["cash_in"][0]
    whole, rest = divmod(amount_minor, tariff.most_minor)
    full = whole * _commission(tariff, tariff.most_minor)
    return full + (_commission(tariff, rest) if rest else 0)


def _commission(tariff: Tariff, amount_minor: int) -> int:
    return tariff.fee(amount_minor, agent=True).commission_minor
