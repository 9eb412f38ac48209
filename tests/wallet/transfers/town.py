"""People and agents who move money between them, each step a transaction of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.markets.rules import Limits
from app.markets.tariffs import Operation, Tariff
from app.notices import Message
from app.sms import receipts
from app.text import Catalogues
from app.wallet import agents, intents, ledger, people
from app.wallet.agents import Agent
from app.wallet.codes import CodeRow, Codes, outgoing
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers import sends, vouchers
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers import VoucherView
from app.wallet.transfers.vouchers.rows import Voucher
from tests.people import fresh_msisdn

BALANCE = 1_000_000
DIALS_MOST = 40  # each waits for a connection until the pool gives up
T = TypeVar("T")
Confirm = Callable[[Session, Offer, UUID], TransferView]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Town:
    """A market whose data a test may change, and what its people do."""

    db: Database
    market: Market
    codes: Codes

    def run(self, fn: Callable[[Session], T]) -> T:
        """`fn(session)`, committed. Who finds all connections taken dials again."""
        for _ in range(DIALS_MOST):
            try:
                return self.db.transact(fn)
            except DomainError as error:
                if error.code != "database_away":
                    raise
        raise AssertionError(f"no connection in {DIALS_MOST} dials")

    def refused(self, fn: Callable[[], object]) -> DomainError:
        """The refusal of what must not succeed."""
        try:
            done = fn()
        except DomainError as error:
            return error
        raise AssertionError(f"not refused: {done}")

    def tier(self, name: str = "tier0", **changes: int) -> None:
        """Change limits of a tier."""
        limits = Limits.model_validate(self.market.tiers[name].model_dump() | changes)
        self.market = self.market.model_copy(update={"tiers": {**self.market.tiers, name: limits}})

    def tariff(self, operation: Operation, **changes: Any) -> None:
        """One price list for all time."""
        changed = self.market.tariffs[operation][0].model_dump() | changes
        dated = (Tariff.model_validate(changed),)
        self.market = self.market.model_copy(
            update={"tariffs": {**self.market.tariffs, operation: dated}}
        )

    def rule(self, table: str, **changes: Any) -> None:
        """Change `vouchers`, `stops` or `agents` of the market."""
        rules = getattr(self.market, table)
        changed = type(rules).model_validate(rules.model_dump() | changes)
        self.market = self.market.model_copy(update={table: changed})

    def person(
        self,
        balance_minor: int = BALANCE,
        *,
        name: str = "Amina Wanjiru",
        language: str = "en",
        msisdn: str | None = None,
        tier: str = "tier0",
    ) -> Person:
        """Somebody new with that much money, paid in against a bank line."""

        def work(session: Session) -> Person:
            person = people.register(
                session, person_id=new_key(), msisdn=msisdn or fresh_msisdn(), name=name,
                language=language, tier=tier, currency="KES", now=now(),
            )  # fmt: skip
            self._pay_in(session, person.wallet_id, balance_minor)
            return person

        return self.run(work)

    def agent(self, float_minor: int = BALANCE, *, parent: Agent | None = None) -> Agent:
        """An agent with a float; a super-agent is one that is some other's `parent`."""
        person = self.person(0, name="Neema Kiosk", language="sw")

        def work(session: Session) -> Agent:
            agent = agents.appoint(
                session, people.get(session, person.id), name="Neema Kiosk", currency="KES",
                parent=parent, now=now(),
            )  # fmt: skip
            self._pay_in(session, agent.float_id, float_minor)
            return agent

        return self.run(work)

    def super_agent(self) -> Agent:
        person = self.person(0)
        return self.run(
            lambda session: agents.appoint(
                session, people.get(session, person.id), name="Zawadi", currency="KES",
                is_super=True, now=now(),
            )
        )  # fmt: skip

    def operator(self, amount_minor: int) -> int:
        """The operator's own account, with that much more in it."""

        def work(session: Session) -> int:
            account_id = ledger.operator_account(session, "KES")
            self._pay_in(session, account_id, amount_minor)
            return account_id

        return self.run(work)

    def set(self, row: type[Any], row_id: UUID, **values: object) -> None:
        """Change a row of a person, an agent or a voucher."""
        self.run(
            lambda session: session.execute(update(row).where(row.id == row_id).values(values))
        )

    def balance(self, account_id: int) -> int:
        """What is in it, held money included."""
        return self.run(lambda session: ledger.balance(session, account_id)).balance_minor

    def available(self, account_id: int) -> int:
        """What can be spent."""
        return self.run(lambda session: ledger.balance(session, account_id)).available_minor

    def house(self, name: str) -> int:
        """The balance of the house's account."""
        return self.balance(self.run(lambda s: ledger.house_account(s, name, "KES")))

    def intent(self, offer: Offer, by: UUID, *, at: datetime | None = None) -> UUID:
        """The intent of somebody who was shown an offer and gave the PIN."""
        intent_id, at = new_key(), at or now()
        self.run(
            lambda session: intents.open_intent(
                session, intent_id, session_hash=secrets.token_bytes(16), person_id=by,
                kind=offer.kind, fingerprint=offer.fingerprint,
                deadline=at + timedelta(minutes=2),
            )
        )  # fmt: skip
        return intent_id

    # ---- sending

    def offer_send(
        self, payer: Person, msisdn: str, amount_minor: int, at: datetime | None = None
    ) -> Offer:
        return self.run(
            lambda session: sends.offer(
                session, self.market, payer, msisdn, amount_minor, at=at or now()
            )
        )

    def confirm_send(
        self, offer: Offer, intent_id: UUID, by: UUID, *, at: datetime | None = None
    ) -> TransferView:
        return self.run(
            lambda session: sends.confirm(
                session, self.market, offer, intent_id=intent_id, by=by, now=at or now()
            )
        )

    def send(self, payer: Person, payee: Person, amount_minor: int) -> TransferView:
        offer = self.offer_send(payer, payee.msisdn, amount_minor)
        return self.confirm_send(offer, self.intent(offer, payer.id), payer.id)

    # ---- vouchers

    def offer_voucher(
        self, payer: Person, msisdn: str, amount_minor: int, at: datetime | None = None
    ) -> Offer:
        return self.run(
            lambda session: vouchers.offer(
                session, self.market, payer, msisdn, amount_minor, at=at or now()
            )
        )

    def confirm_voucher(
        self, offer: Offer, intent_id: UUID, by: UUID, at: datetime | None = None
    ) -> TransferView:
        return self.run(
            lambda session: vouchers.confirm(
                session, self.market, self.codes, offer,
                intent_id=intent_id, by=by, now=at or now(),
            )
        )  # fmt: skip

    def voucher(
        self, payer: Person, msisdn: str, amount_minor: int, at: datetime | None = None
    ) -> VoucherView:
        """A voucher, sent and open."""
        offer = self.offer_voucher(payer, msisdn, amount_minor, at)
        view = self.confirm_voucher(offer, self.intent(offer, payer.id, at=at), payer.id, at)
        return self.of_transfer(view.id)

    def of_transfer(self, transfer_id: UUID) -> VoucherView:
        found = self.run(lambda session: vouchers.of_transfer(session, transfer_id))
        assert found
        return found

    def code(self, voucher: VoucherView) -> str:
        """What stands in the SMS of a voucher."""

        def read(session: Session) -> str:
            row = session.get_one(Voucher, voucher.id)
            return self.codes.digits(outgoing(session, row.code_id))

        return self.run(read)

    def tries_left(self, voucher: VoucherView) -> int:
        """Of a voucher's code."""
        tries = (
            select(CodeRow.tries_left)
            .join(Voucher, Voucher.code_id == CodeRow.id)
            .where(Voucher.id == voucher.id)
        )
        return self.run(lambda session: session.scalars(tries).one())

    def try_code(self, msisdn: str, code: str) -> UUID:
        """What an agent's hop does with a number and a code."""
        attempts = self.run(
            lambda session: vouchers.begin_collect(session, self.codes, msisdn, now())
        )
        voucher_id = vouchers.check_collect(self.codes, attempts, code)
        self.run(lambda session: vouchers.spare(session, attempts))
        return voucher_id

    def offer_collect(self, agent: Agent, voucher_id: UUID, at: datetime | None = None) -> Offer:
        return self.run(
            lambda session: vouchers.offer_collect(
                session, self.market, agent, voucher_id, at=at or now()
            )
        )

    def confirm_collect(
        self, offer: Offer, voucher_id: UUID, intent_id: UUID, by: UUID, at: datetime | None = None
    ) -> TransferView:
        return self.run(
            lambda session: vouchers.confirm_collect(
                session, self.market, self.codes, offer, voucher_id=voucher_id,
                intent_id=intent_id, by=by, now=at or now(),
            )
        )  # fmt: skip

    def collect(self, agent: Agent, voucher: VoucherView) -> TransferView:
        """The whole way at the counter, with the right code."""
        voucher_id = self.try_code(voucher.msisdn, self.code(voucher))
        offer = self.offer_collect(agent, voucher_id)
        return self.confirm_collect(
            offer, voucher_id, self.intent(offer, agent.person_id), agent.person_id
        )

    def register(self, msisdn: str, **changed: Any) -> tuple[Person, list[TransferView]]:
        """Somebody registers a number, and what waited for it comes in."""
        person = self.person(0, msisdn=msisdn, name="Juma Otieno", **changed)
        return person, self.fetch(person)

    def fetch(self, person: Person) -> list[TransferView]:
        return self.run(
            lambda session: vouchers.collect_on_registration(session, self.market, person, now())
        )

    def cancel(self, transfer_id: UUID, by: UUID) -> TransferView:
        return self.run(lambda session: vouchers.cancel(session, transfer_id, by=by, now=now()))

    # ---- messages

    def messages(self, msisdn: str) -> list[Message]:
        """What a number was sent, oldest first."""
        statement = select(Message).where(Message.msisdn == msisdn).order_by(Message.created_at)
        return self.run(lambda session: list(session.scalars(statement)))

    def kinds(self, msisdn: str) -> list[str]:
        return sorted(message.kind for message in self.messages(msisdn))

    def said(self, msisdn: str, kind: str) -> str:
        """The one SMS of this kind, in words."""
        (message,) = [one for one in self.messages(msisdn) if one.kind == kind]
        book = Catalogues(self.market.languages)
        return receipts.render(book, self.market, kind, message.language, message.facts)

    def verify(self) -> list[ledger.Finding]:
        return self.run(ledger.verify)

    def _pay_in(self, session: Session, account_id: int, amount_minor: int) -> None:
        if not amount_minor:
            return
        line = f"town-{secrets.token_hex(8)}"
        ledger.record_bank_line(
            session, line_id=line, amount_minor=amount_minor, currency="KES",
            booked_on=now().date(), maker="maker",
        )  # fmt: skip
        ledger.approve_bank_line(session, line_id=line, checker="checker")
        paid_in = ledger.deposit(session, bank_line_id=line, account_id=account_id, now=now())
        assert paid_in.refusal is None


def changed(offer: Offer, **values: Any) -> Offer:
    """Another offer than the one that was shown."""
    return replace(offer, **values)
