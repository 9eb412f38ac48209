"""A person's ceilings: what may leave at once, and what may leave in a day."""

from __future__ import annotations

from datetime import datetime

from app.errors import DomainError
from app.markets.model import Market
from app.wallet.ledger import Count
from app.wallet.people import Person

DAY = "day"  # the ledger's refusal over its cap is `limit_day`


def of_payment(
    market: Market, person: Person, amount_minor: int, now: datetime
) -> tuple[Count, ...]:
    """The counters to raise when `amount_minor` is held in the person's wallet.

    A day is the market's own, so it begins at local midnight. Fees do not count. Raises
    DomainError `limit_transaction` with `once`.
    """
    limits = market.tiers[person.tier]
    if amount_minor > limits.per_transaction_minor:
        raise DomainError(
            "limit_transaction", once=market.currency.format(limits.per_transaction_minor)
        )
    today = now.astimezone(market.zone).date()
    return (Count(person.wallet_id, DAY, today, amount_minor, limits.per_day_minor),)


def refusal(market: Market, person: Person, reason: str) -> DomainError:
    """The DomainError of a ledger refusal `limit_…`, with the ceiling in its facts."""
    day = market.currency.format(market.tiers[person.tier].per_day_minor)
    return DomainError(reason, day=day)
