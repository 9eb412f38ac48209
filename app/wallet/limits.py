"""A person's ceilings: what may leave at once, in a day, in a month; what may be in a wallet.

A day and a month are the market's own, so they begin at local midnight. Fees do not count. What
leaves counts when it is held or posted. The balance has no counter: it is looked at under the lock
of its account (`ledger.over_ceiling`), and only where new money comes in, never where a release, a
refund or a reversal brings money back.
"""

from __future__ import annotations

from datetime import datetime

from app.errors import DomainError
from app.markets.model import Market
from app.wallet.ledger import Count
from app.wallet.people import Person

DAY, MONTH = "day", "month"  # the ledger's refusals over their caps are `limit_day`, `limit_month`


def of_payment(
    market: Market, person: Person, amount_minor: int, now: datetime
) -> tuple[Count, ...]:
    """The counters to raise when `amount_minor` is held in, or leaves, the person's wallet.

    Raises DomainError `limit_transaction` with `once`.
    """
    limits = market.tiers[person.tier]
    if amount_minor > limits.per_transaction_minor:
        raise DomainError(
            "limit_transaction", once=market.currency.format(limits.per_transaction_minor)
        )
    today = now.astimezone(market.zone).date()
    wallet_id, first = person.wallet_id, today.replace(day=1)
    return (
        Count(wallet_id, DAY, today, amount_minor, limits.per_day_minor),
        Count(wallet_id, MONTH, first, amount_minor, limits.per_month_minor),
    )


def refusal(market: Market, person: Person, reason: str) -> DomainError:
    """The DomainError of a ledger refusal `limit_…`, with the ceilings in its facts."""
    limits, written = market.tiers[person.tier], market.currency.format
    return DomainError(
        reason, day=written(limits.per_day_minor), month=written(limits.per_month_minor)
    )
