"""What every payment test stands on: a market with a biller of its own, people, and a worker."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.billers import claims, payments
from app.billers.claims import Work
from app.billers.fulfilment import Fulfilment
from app.billers.payments import PaymentView
from app.billers.protocols import wires
from app.billers.quotes import Quote, quote
from app.db import Database
from app.markets.billers import Biller
from app.markets.model import Market
from app.settings import Settings
from app.wallet import intents, ledger, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from tests.billers.played import PlayedBiller
from tests.people import fresh_meter, fresh_msisdn

BALANCE = 1_000_000
AMOUNT = 50_000
FEE = 1_000


def now() -> datetime:
    return datetime.now(UTC)


def market_with(market: Market, code: str, **changes: Any) -> Market:
    """The demo market with one biller of this code, quick to ask, its rules changed."""
    stima = market.billers["stima"]
    product = stima.products[0].model_copy(update={"code": f"{code}_token"})
    quick = {
        "inquiry_timeout_seconds": 0.4,
        "timeout_seconds": 0.5,
        "ask_after_seconds": (1,),
        "products": (product,),
    }
    biller = Biller.model_validate(stima.model_dump() | quick | changes)
    return market.model_copy(update={"billers": {code: biller}})


@dataclass
class Stage:
    """Tests share a database; a biller code of its own keeps each one's payments apart."""

    db: Database
    market: Market
    code: str
    biller: PlayedBiller

    @property
    def product(self) -> str:
        return self.market.billers[self.code].products[0].code

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "biller_credentials": {
                    self.code: {
                        "url": self.biller.url,
                        "username": "kibanda",
                        "api_key": "key",
                        "webhook_secret": "hush",
                    }
                }
            }
        )

    def rules(self, **changes: Any) -> None:
        rules = self.market.billers[self.code].model_dump() | changes
        billers = {self.code: Biller.model_validate(rules)}
        self.market = self.market.model_copy(update={"billers": billers})

    def worker(self) -> Fulfilment:
        return Fulfilment(self.db, self.market, wires(self.market, self.settings))

    def worker_for(self, market: Market, other: Stage) -> Fulfilment:
        """One worker for this stage's biller and another's."""
        both = wires(self.market, self.settings) | wires(other.market, other.settings)
        return Fulfilment(self.db, market, both)

    def drain(self, worker: Fulfilment | None = None, seconds: float = 10) -> None:
        (worker or self.worker()).drain(stop=lambda: False, seconds=seconds)

    def person(self, balance_minor: int = BALANCE) -> Person:
        """Somebody new with that much money, paid in against a bank line."""

        def work(session: Any) -> Person:
            return people.register(
                session,
                person_id=new_key(),
                msisdn=fresh_msisdn(),
                name="Amina Wanjiru",
                language="en",
                tier=self.market.default_tier,
                currency="KES",
                now=now(),
            )

        person = self.db.transact(work)
        self.pay_in(person.wallet_id, balance_minor)
        return person

    def pay_in(self, account_id: int, amount_minor: int) -> None:
        """Money for an account, against a bank line."""

        def work(session: Any) -> None:
            line = f"test-{secrets.token_hex(8)}"
            ledger.record_bank_line(
                session, line_id=line, amount_minor=amount_minor, currency="KES",
                booked_on=now().date(), maker="maker",
            )  # fmt: skip
            ledger.approve_bank_line(session, line_id=line, checker="checker")
            paid_in = ledger.deposit(session, bank_line_id=line, account_id=account_id, now=now())
            assert paid_in.refusal is None

        self.db.transact(work)

    def quote(self, amount_minor: int = AMOUNT, meter: str | None = None) -> Quote:
        meter = meter or fresh_meter()
        return quote(self.market, self.product, meter, "GRACE KAMAU", amount_minor, at=now())

    def intent(
        self, person: Person, agreed: Quote, *, seconds: float = 120, intent_id: UUID | None = None
    ) -> UUID:
        intent_id = intent_id or new_key()
        self.db.transact(
            lambda session: intents.open_intent(
                session,
                intent_id,
                session_hash=secrets.token_bytes(16),
                person_id=person.id,
                kind="bill_payment",
                fingerprint=agreed.fingerprint,
                deadline=now() + timedelta(seconds=seconds),
            )
        )
        return intent_id

    def confirm(
        self, person: Person, agreed: Quote, intent_id: UUID, at: datetime | None = None
    ) -> PaymentView:
        return self.db.transact(
            lambda session: payments.confirm(
                session,
                self.market,
                intent_id=intent_id,
                person=person,
                quote=agreed,
                now=at or now(),
            )
        )

    def pay(self, person: Person | None = None, amount_minor: int = AMOUNT) -> PaymentView:
        """A confirmed payment, held and due."""
        person = person or self.person()
        agreed = self.quote(amount_minor)
        return self.confirm(person, agreed, self.intent(person, agreed))

    def view(self, payment: PaymentView) -> PaymentView:
        return self.db.transact(lambda session: payments.outcome(session, payment.id))

    def drain_until(self, payment: PaymentView, *states: str, seconds: float = 10) -> PaymentView:
        """Drain again and again, as the sweep does, until the payment is in one of the states."""
        worker = self.worker()
        deadline = time.monotonic() + seconds
        while (view := self.view(payment)).state not in states:
            assert time.monotonic() < deadline, f"still {view.state}"
            self.drain(worker)
            self.hurry()
        return view

    def claim(self, most: int = 100) -> list[Work]:
        """What a worker of its own takes now."""
        take = lambda session: claims.claim(session, self.market, self.code, most, now())  # noqa: E731
        return self.db.transact(take)

    def end_lease(self) -> None:
        """The leases of everything in flight have run out."""
        self.run(
            "UPDATE payments SET lease_until = clock_timestamp(), due_at = clock_timestamp()"
            " WHERE biller = :code AND state IN ('sent', 'unknown')",
            code=self.code,
        )

    def sent_ago(self, seconds: float) -> None:
        """Everything in flight was first sent that long ago."""
        self.run(
            "UPDATE payments SET first_sent_at = clock_timestamp() - make_interval(secs => :s)"
            " WHERE biller = :code AND state IN ('sent', 'unknown')",
            s=seconds, code=self.code,
        )  # fmt: skip

    def hurry(self) -> None:
        """The time between two questions has passed."""
        self.run(
            "UPDATE payments SET due_at = clock_timestamp() WHERE biller = :code"
            " AND state = 'unknown' AND lease_until IS NULL",
            code=self.code,
        )

    def balance(self, person: Person) -> ledger.Balance:
        return self.db.transact(lambda session: ledger.balance(session, person.wallet_id))

    def house(self, name: str) -> int:
        """What is in a house account now."""

        def read(session: Any) -> int:
            account = ledger.house_account(session, name, "KES")
            return ledger.balance(session, account).balance_minor

        return self.db.transact(read)

    def steps(self, payment: PaymentView) -> list[str]:
        """The timeline as `from>to what`."""
        found = self.db.transact(lambda session: payments.timeline(session, payment.id))
        return [f"{event.from_state}>{event.to_state} {event.what}" for event in found]

    def messages(self, payment: PaymentView) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and facts of the SMS that a payment made, in order."""
        query = text("SELECT kind, facts FROM messages WHERE subject = :id ORDER BY created_at, id")
        rows = self.run(query, id=payment.id)
        return [(row.kind, row.facts) for row in rows]

    def run(self, query: Any, **values: Any) -> list[Any]:
        """Rows of a statement, as the application's role."""

        def work(session: Any) -> list[Any]:
            result = session.execute(text(query) if isinstance(query, str) else query, values)
            return list(result) if result.returns_rows else []

        return self.db.transact(work)
