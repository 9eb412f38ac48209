"""The whole trust account at one instant: the identity, the bank beside it, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.model import Market
from app.patience import take_time
from app.wallet.trust import identity, waiting
from app.wallet.trust.identity import AtBank, Identity
from app.wallet.trust.waiting import Waiting

READ_SECONDS = 60  # it reads every account


@dataclass(frozen=True, slots=True)
class Report:
    """What `flask trust` shows. `banks` are by currency, those that have a statement."""

    identities: Sequence[Identity]
    banks: dict[str, AtBank]
    waiting: Sequence[Waiting]

    @property
    def off(self) -> bool:
        """Whether anything is off by one unit."""
        books = any(one.off_minor for one in self.identities)
        return books or any(bank.off_minor for bank in self.banks.values())


def read(session: Session, market: Market, now: datetime) -> Report:
    """Must be the first call of its transaction, which it makes a read-only snapshot."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    session.execute(text(f"SET LOCAL statement_timeout = '{READ_SECONDS}s'"))
    take_time(READ_SECONDS)
    known = identity.currencies(session)
    names = sorted({market.currency.code, *known})
    beside = {name: identity.at_bank(session, name) for name in names}
    return Report(
        identities=[identity.identity(session, name) for name in names],
        banks={name: bank for name, bank in beside.items() if bank},
        waiting=waiting.waiting(session, market, now),
    )
