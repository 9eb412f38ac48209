"""A payment as the menus make it: the biller is asked, the price agreed, the intent confirmed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from app.billers import payments, quotes
from app.billers.payments import PaymentView
from app.billers.protocols.answers import Bill
from app.billers.quotes import Quote
from app.errors import DomainError
from app.runtime import Runtime
from app.wallet import intents
from app.wallet.keys import new_key
from app.wallet.people import Person
from bench.soak.purchases import Purchase
from tests.world import World

MOST_MINOR = 50_000  # of what a person may choose, so that nobody meets a limit
OVER_MINOR = 10_000
BUSY = ("biller_slow", "biller_down", "database_away", "outcome_unknown")
PATIENCE_SECONDS = 30.0
T = TypeVar("T")


@dataclass(frozen=True)
class Payer:
    """Pays for these people in turn; safe for threads."""

    parts: Runtime
    world: World
    people: Sequence[Person]

    def pay(self, number: int, purchase: Purchase) -> PaymentView:
        """Ask the biller, then order what shall go wrong, then confirm."""
        ask = self.parts.inquiries.inquire
        bill = patiently(lambda: ask(purchase.product.code, purchase.customer_no, at=now()))
        agreed = quotes.quote(
            self.parts.market, purchase.product.code, purchase.customer_no, bill.name,
            amount_of(purchase, bill), at=now(), bill=bill,
        )  # fmt: skip
        fault = purchase.fault
        if fault:
            facts = {} if fault.seconds is None else {"seconds": fault.seconds}
            self.world.fault(f"biller:{purchase.biller}", fault.kind, times=1, **facts)
        person = self.people[number % len(self.people)]
        intent_id = new_key()
        patiently(lambda: self._open(intent_id, person, agreed))
        return patiently(lambda: self._confirm(intent_id, person, agreed))

    def _open(self, intent_id: UUID, person: Person, agreed: Quote) -> None:
        self.parts.db.transact(
            lambda session: intents.open_intent(
                session,
                intent_id,
                session_hash=secrets.token_bytes(16),
                person_id=person.id,
                kind=payments.INTENT_KIND,
                fingerprint=agreed.fingerprint,
                deadline=now() + timedelta(seconds=120),
            )
        )

    def _confirm(self, intent_id: UUID, person: Person, agreed: Quote) -> PaymentView:
        return self.parts.db.transact(
            lambda session: payments.confirm(
                session,
                self.parts.market,
                intent_id=intent_id,
                person=person,
                quote=agreed,
                now=now(),
            )
        )


def patiently(act: Callable[[], T]) -> T:
    """A person tries again when the biller was slow or its breaker open, or the database away; the
    same intent is confirmed once, however often.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except DomainError as error:
            if error.code not in BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def amount_of(purchase: Purchase, bill: Bill) -> int:
    """What is paid: the price, what is owed, or a share of it or more, as the product allows."""
    product = purchase.product
    least, most = quotes.bounds(product, bill)
    owed = bill.owed_minor
    if least == most:
        return least
    if owed and purchase.share < 0.5:
        return owed
    if product.pay == "over":
        return (owed or 0) // product.step_minor * product.step_minor + OVER_MINOR
    chosen = least + int((min(most, MOST_MINOR) - least) * purchase.share)
    return max(least, chosen // product.step_minor * product.step_minor)


def now() -> datetime:
    return datetime.now(UTC)
