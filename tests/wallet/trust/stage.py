"""A trust account that nobody else uses: people, agents, the bank's files, what became of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.markets import Market
from app.wallet import agents, ledger, people
from app.wallet.agents import Agent
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers.records import TransferView
from app.wallet.trust import deposits, identity, matching, payees, payouts, statements
from app.wallet.trust.deposits import Notice
from app.wallet.trust.identity import AtBank, Identity
from app.wallet.trust.matches import Confirmed
from app.wallet.trust.matching import Proposal
from app.wallet.trust.payees import Payee
from app.wallet.trust.statement_file import HEADER
from app.wallet.trust.statements import Statement
from tests.people import fresh_msisdn

KES = "KES"
MAKER, CHECKER, OTHER = "asha", "baraka", "chika"
NAIROBI = ZoneInfo("Africa/Nairobi")
T = TypeVar("T")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Paper:
    """The bank's journal as a test writes it: amounts in minor units, the balance is kept."""

    balance_minor: int = 0
    day: date = field(default_factory=lambda: now().astimezone(NAIROBI).date())
    numbers: Any = field(default_factory=lambda: count(1))
    rows: list[list[str]] = field(default_factory=list)

    def line(self, amount_minor: int, reference: str = "", text: str = "", **changes: str) -> str:
        """One line more; its id."""
        self.balance_minor += amount_minor
        row = {
            "id": f"BK-{next(self.numbers)}",
            "booked_on": self.day.isoformat(),
            "amount": major(amount_minor),
            "currency": KES,
            "reference": reference,
            "text": text,
            "balance": major(self.balance_minor),
        } | changes
        self.rows.append(list(row.values()))
        return row["id"]

    def take(self) -> bytes:
        """The file of what was written since the last one."""
        out = io.StringIO(newline="")
        csv.writer(out).writerows([HEADER, *self.rows])
        self.rows.clear()
        return out.getvalue().encode()


def major(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02d}"


@dataclass
class Stage:
    """One call a transaction; what raises changes nothing."""

    db: Database
    market: Market
    folder: Path
    paper: Paper = field(default_factory=Paper)
    files: Any = field(default_factory=lambda: count(1))

    def run(self, fn: Callable[[Session], T]) -> T:
        return self.db.transact(fn)

    # --- who ---

    def person(self) -> Person:
        return self.run(
            lambda session: people.register(
                session,
                person_id=new_key(),
                msisdn=fresh_msisdn(),
                name="Amina Wanjiru",
                language="en",
                tier=self.market.default_tier,
                currency=KES,
                now=now(),
            )
        )

    def agent(self, float_minor: int = 0) -> Agent:
        person = self.person()
        agent = self.run(
            lambda session: agents.appoint(
                session, people.get(session, person.id), name="Neema Kiosk", currency=KES, now=now()
            )
        )
        if float_minor:
            self.by_hand(agent.float_id, float_minor)
        return agent

    def by_hand(self, account_id: int, amount_minor: int) -> str:
        """Money against a line that is in no statement."""
        line_id = f"hand-{new_key()}"

        def work(session: Session) -> None:
            ledger.record_bank_line(
                session, line_id=line_id, amount_minor=amount_minor, currency=KES,
                booked_on=self.paper.day, maker=MAKER,
            )  # fmt: skip
            ledger.approve_bank_line(session, line_id=line_id, checker=CHECKER)
            ledger.deposit(session, bank_line_id=line_id, account_id=account_id, now=now())

        self.run(work)
        return line_id

    def payee(self, who: Person | Agent | None) -> Payee:
        def find(session: Session) -> Payee:
            if isinstance(who, Agent):
                return payees.of_agent(session, who.code)
            if who:
                return payees.of_person(session, who.msisdn)
            return payees.operator(session, KES)

        return self.run(find)

    def balance(self, who: Person | Agent | None) -> int:
        account_id = self.payee(who).account_id
        return self.run(lambda session: ledger.balance(session, account_id)).balance_minor

    def house(self, name: str) -> int:
        def read(session: Session) -> int:
            return ledger.balance(session, ledger.house_account(session, name, KES)).balance_minor

        return self.run(read)

    # --- what they do ---

    def expect(
        self, who: Person | Agent, amount_minor: int, *, slip: str = "", **changes: Any
    ) -> Notice:
        payee = self.payee(who)
        facts: dict[str, Any] = {"maker": MAKER, "checker": CHECKER, "now": now(), **changes}
        facts.setdefault("notice_id", new_key())
        return self.run(
            lambda session: deposits.expect(
                session, self.market, payee, amount_minor, slip=slip, **facts
            )
        )

    def cancel(self, reference: str) -> Notice:
        return self.run(
            lambda session: deposits.cancel(
                session, reference, maker=MAKER, checker=CHECKER, now=now()
            )
        )

    def pay_out(self, agent: Agent, amount_minor: int, **changes: Any) -> TransferView:
        facts: dict[str, Any] = {"maker": MAKER, "checker": CHECKER, "now": now(), **changes}
        facts.setdefault("payout_id", new_key())
        return self.run(
            lambda session: payouts.pay_out(session, self.market, agent.code, amount_minor, **facts)
        )

    def take_back(self, reference: str) -> payouts.Payout:
        return self.run(
            lambda session: payouts.take_back(
                session, self.market, reference, maker=MAKER, checker=CHECKER, now=now()
            )
        )

    # --- the bank ---

    def put(self, content: bytes, maker: str = MAKER, at: datetime | None = None) -> Statement:
        """Import a file of this content."""
        path = self.folder / f"statement-{next(self.files)}.csv"
        path.write_bytes(content)
        return self.take_in(path, maker, at)

    def take_in(self, path: Path, maker: str = MAKER, at: datetime | None = None) -> Statement:
        return self.run(
            lambda session: statements.import_file(
                session, self.market, path, maker=maker, now=at or now()
            )
        )

    def put_paper(self) -> Statement:
        return self.put(self.paper.take())

    def line(self, amount_minor: int, reference: str = "", text: str = "") -> str:
        """One line, imported in a file of its own."""
        line_id = self.paper.line(amount_minor, reference, text)
        self.put_paper()
        return line_id

    def proposals(self) -> dict[str, Proposal]:
        found = self.run(lambda session: matching.propose(session, KES))
        return {proposal.line.id: proposal for proposal in found}

    def proposal(self, line_id: str) -> Proposal:
        return self.run(lambda session: matching.proposal(session, line_id))

    def assign(self, line_id: str, who: Person | Agent | None, proposer: str = MAKER) -> Proposal:
        payee = self.payee(who)
        return self.run(
            lambda session: matching.assign(session, line_id, payee, proposer=proposer, now=now())
        )

    def assign_reference(self, line_id: str, reference: str, proposer: str = MAKER) -> Proposal:
        return self.run(
            lambda session: matching.assign_reference(
                session, line_id, reference, proposer=proposer, now=now()
            )
        )

    def withdraw(self, line_id: str) -> None:
        self.run(lambda session: matching.withdraw(session, line_id, by=MAKER, now=now()))

    def confirm(self, line: str | Proposal, checker: str = CHECKER) -> Confirmed:
        shown = self.proposal(line) if isinstance(line, str) else line
        return self.run(
            lambda session: matching.confirm(
                session, self.market, shown, checker=checker, now=now()
            )
        )

    # --- what became of it ---

    def identity(self) -> Identity:
        return self.run(lambda session: identity.identity(session, KES))

    def at_bank(self) -> AtBank | None:
        return self.run(lambda session: identity.at_bank(session, KES))

    def check(self) -> None:
        """Everything that must hold at every instant."""
        assert self.run(ledger.verify) == []
        assert self.identity().off_minor == 0
        beside = self.at_bank()
        if beside:
            assert beside.off_minor == 0
            assert beside.trust_bank_minor == self.identity().trust_bank_minor

    def sms(self, who: Person | Agent) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and facts of the SMS to somebody, in order, but for low floats."""
        query = (
            "SELECT kind, facts FROM messages WHERE msisdn = :to AND kind <> 'float_low'"
            " ORDER BY created_at, id"
        )
        return [(row.kind, row.facts) for row in self.rows(query, to=who.msisdn)]

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of a statement, as the application's role."""

        def work(session: Session) -> list[Any]:
            result: Any = session.execute(text(query), values)
            return list(result) if result.returns_rows else []

        return self.run(work)
