"""A reconciliation desk: payments as rows, files as a test writes them, cases of two people."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.billers.reconciliation import exceptions, runs
from app.billers.reconciliation.runs import Run
from app.db import Database
from app.markets.model import Market
from app.markets.parties import BankParty
from app.markets.reports import Report
from app.staff import cases, decisions
from app.staff.accounts import Staff
from app.staff.cases import Proposal
from app.wallet import ledger, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from tests.staff.desk import Desk as StaffDesk

T = TypeVar("T")
NAIROBI = ZoneInfo("Africa/Nairobi")
DAY = date(2026, 11, 25)
NOW = datetime(2026, 11, 26, 12, tzinfo=NAIROBI)
BILLER = "stima"
PAYER = "+254711000041"
CSV: dict[str, Any] = {
    "format": "csv",
    "amount": "major",
    "day_format": "%Y-%m-%d",
    "sold": ["OK"],
    "reversed": ["REV"],
    "ignored": ["PENDING"],
    "columns": {"reference": "ref", "amount": "value", "day": "day", "status": "state"},
}
HEAD = "ref,value,day,state"
FORGOTTEN = (
    "reconciliation_exceptions", "reconciled_payments", "reconciliation_runs",
    "payment_resolutions", "payment_events", "payments",
)  # fmt: skip
DEBTOR = {"name": "Kibanda Trust", "account": "0110022033", "bank_code": "01109"}
CREDITOR = {"name": "Stima Power Ltd", "iban": "GB82WEST12345698765432", "bic": "KCBLKENX"}


def at(clock: str, day: date = DAY) -> datetime:
    """A time of the market's day."""
    return datetime.combine(day, time.fromisoformat(clock), NAIROBI)


def described(market: Market, **changes: Any) -> Market:
    """The market with a biller that has a report, and both sides of an order."""
    report = Report.model_validate_json(json.dumps(CSV | changes), strict=True)
    creditor, debtor = (BankParty.model_validate(one) for one in (CREDITOR, DEBTOR))
    biller = market.billers[BILLER].model_copy(update={"report": report, "payee": creditor})
    trust = market.trust.model_copy(update={"account": debtor})
    billers = market.billers | {BILLER: biller}
    return market.model_copy(update={"billers": billers, "trust": trust})


@dataclass
class PaymentRow:
    """A payment as the comparison sees it."""

    biller_ref: str
    amount_minor: int
    state: str = "captured"
    sent_at: datetime = field(default_factory=lambda: at("09:00"))
    settled_at: datetime = field(default_factory=lambda: at("09:01"))
    biller: str = BILLER
    id: UUID = field(default_factory=uuid4)


_CAME_FROM = {
    "captured": "sent", "released": "sent", "unknown": "sent", "sent": "held", "manual": "unknown",
    "cancelled": "held", "returned": "captured", "paid_late": "released",
}  # fmt: skip


@dataclass
class Desk:
    """One call a transaction, in a database of its own."""

    db: Database
    market: Market
    admin_url: str
    folder: Path
    two: list[Staff]
    numbers: Any = field(default_factory=lambda: count(1))

    def run(self, fn: Callable[[Session], T]) -> T:
        return self.db.transact(fn)

    def rows(self, query: str, **values: Any) -> list[Any]:
        return self.run(lambda session: list(session.execute(text(query), values)))

    # --- what we have

    def have(self, *payments: PaymentRow) -> None:
        """As the superuser, without the holds and intents behind them; one person paid them all."""
        payer = self.run(_payer)
        rows = [_row(one, payer) for one in payments]
        names = ", ".join(rows[0])
        holes = ", ".join(f"%({name})s" for name in rows[0])
        with psycopg.connect(self.admin_url, autocommit=True) as line, line.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.executemany(f"INSERT INTO payments ({names}) VALUES ({holes})".encode(), rows)

    def forget(self) -> None:
        """Everything of the comparison, and the payments."""
        with psycopg.connect(self.admin_url, autocommit=True) as line:
            line.execute("SET session_replication_role = replica")
            for table in FORGOTTEN:
                line.execute(f"DELETE FROM {table}".encode())

    def reference(self, payment: PaymentRow) -> str:
        (row,) = self.rows("SELECT reference FROM payments WHERE id = :id", id=payment.id)
        return str(row.reference)

    def set_state(self, payment: PaymentRow, state: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as line:
            line.execute("SET session_replication_role = replica")
            line.execute("DELETE FROM payments WHERE id = %s", (payment.id,))
        payment.state = state
        self.have(payment)

    # --- what they say

    def file(self, lines: Iterable[str], head: str = HEAD, name: str = "") -> Path:
        path = self.folder / (name or f"report-{next(self.numbers)}.csv")
        path.write_text("".join(f"{line}\n" for line in (head, *lines) if line is not None))
        return path

    def take(self, path: Path, now: datetime = NOW, **options: Any) -> Run:
        biller = options.pop("biller", BILLER)
        return self.run(
            lambda session: runs.take(
                session, self.market, biller, path, maker="asha", now=now, **options
            )
        )

    def compare(self, *lines: str, day: date = DAY, now: datetime = NOW) -> Run:
        return self.take(self.file(lines), day=day, now=now)

    def found(self, run: Run) -> list[tuple[str, str, str]]:
        """Kind, why and reference of every exception, in order."""
        listed = self.run(lambda session: exceptions.of_run(session, run))
        return [(one.kind, one.why, one.biller_ref) for _, one in listed]

    def told(self) -> list[str]:
        """The kinds of SMS about payments of this test, in order."""
        rows = self.rows(
            "SELECT m.kind FROM messages m JOIN payments p ON p.id = m.subject"
            " ORDER BY m.created_at"
        )
        return [row.kind for row in rows]

    def outcomes(self) -> dict[str, str | None]:
        rows = self.rows("SELECT biller_ref, outcome FROM reconciliation_exceptions")
        return {row.biller_ref: row.outcome for row in rows}

    def settle(self, now: datetime = NOW) -> int:
        return self.run(lambda session: exceptions.settle(session, now))

    # --- two people

    def staff(self) -> Sequence[Staff]:
        if not self.two:
            desk = StaffDesk(self.db, self.admin_url)
            self.two.append(desk.add("asha", "finance"))
            self.two.append(desk.add("baraka", "finance", by=self.two[0]))
        return self.two

    def propose(self, kind: str, about: Callable[[Session], Proposal], now: datetime = NOW) -> str:
        maker, _ = self.staff()

        def work(session: Session) -> str:
            subject, facts = about(session)
            case = cases.propose(
                session, kind=kind, subject=subject, facts=facts, evidence="their letter of today",
                maker=maker, now=now,
            )  # fmt: skip
            return case.reference

        return self.run(work)

    def approve(self, reference: str, now: datetime = NOW, by: int = 1) -> str:
        checker = self.staff()[by]
        return self.run(
            lambda session: cases.approve(
                session, reference, checker, now,
                lambda s, case: decisions.carry_out(s, self.market, case, checker, now),
            )
        )  # fmt: skip

    def withdraw(self, reference: str, now: datetime = NOW) -> None:
        maker, _ = self.staff()
        self.run(lambda session: cases.withdraw(session, reference, maker, now))

    # --- money

    def house(self, name: str) -> int:
        def read(session: Session) -> int:
            return ledger.balance(session, ledger.house_account(session, name, "KES")).balance_minor

        return self.run(read)

    def own(self) -> int:
        """What the operator has."""
        return self.run(
            lambda s: ledger.balance(s, ledger.operator_account(s, "KES")).balance_minor
        )

    def pay_in(self, amount_minor: int) -> int:
        """Money for the operator, against a line of the bank; its account."""

        def work(session: Session) -> int:
            own = ledger.operator_account(session, "KES")
            line = f"in-{new_key()}"
            ledger.record_bank_line(
                session, line_id=line, amount_minor=amount_minor, currency="KES", booked_on=DAY,
                maker="maker",
            )  # fmt: skip
            ledger.approve_bank_line(session, line_id=line, checker="checker")
            ledger.deposit(session, bank_line_id=line, account_id=own, now=datetime.now(UTC))
            return own

        return self.run(work)

    def owe(self, amount_minor: int, when: datetime, biller: str = BILLER) -> None:
        """A capture of that moment; negative: a sale that the biller took back."""
        own = self.pay_in(amount_minor) if amount_minor > 0 else 0
        payment = uuid4()

        def work(session: Session) -> None:
            owed = ledger.house_account(session, f"settlement:{biller}", "KES")
            suspense = ledger.house_account(session, "suspense:returned", "KES")
            if amount_minor > 0:
                move, authority = ledger.Move(own, owed, amount_minor), None
            else:
                move = ledger.Move(owed, suspense, -amount_minor)
                authority = f"payment:{payment}:returned"
            kind = "bill_payment" if amount_minor > 0 else "bill_payment_returned"
            posting = ledger.Posting(new_key(), kind, (move,), "test", authority)
            (answer,) = ledger.post(session, [posting], now=when)
            assert answer.refusal is None

        self.run(work)

    def bank_line(self, amount_minor: int, maker: str = "maker") -> str:
        line_id = f"BK-{new_key()}"
        self.run(
            lambda session: ledger.record_bank_line(
                session, line_id=line_id, amount_minor=amount_minor, currency="KES",
                booked_on=DAY, maker=maker,
            )
        )  # fmt: skip
        return line_id


def line(reference: str, amount: str = "500.00", day: date = DAY, status: str = "OK") -> str:
    return f"{reference},{amount},{day},{status}"


def _payer(session: Session) -> Person:
    return people.find(session, PAYER) or people.register(
        session, person_id=new_key(), msisdn=PAYER, name="Amina Wanjiru", language="en",
        tier="tier0", currency="KES", now=datetime.now(UTC),
    )  # fmt: skip


def _row(one: PaymentRow, payer: Person) -> dict[str, Any]:
    decided = one.state not in ("held", "sent", "unknown", "manual")
    sent = one.state not in ("held", "cancelled")
    return {
        "id": one.id,
        "reference": "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(8)),
        "biller_ref": one.biller_ref,
        "intent_id": uuid4(),
        "person_id": payer.id,
        "wallet_id": payer.wallet_id,
        "hold_id": uuid4(),
        "biller": one.biller,
        "product": "stima_token",
        "customer_no": "04123456789",
        "customer_name": "GRACE",
        "currency": "KES",
        "amount_minor": one.amount_minor,
        "fee_minor": 0,
        "tax_minor": 0,
        "commission_minor": 0,
        "state": one.state,
        "came_from": _CAME_FROM.get(one.state),
        "created_at": one.sent_at,
        "expires_at": one.sent_at + timedelta(minutes=10),
        "due_at": one.sent_at if one.state in ("held", "sent", "unknown") else None,
        "requests": int(sent),
        "first_sent_at": one.sent_at if sent else None,
        "settled_at": one.settled_at if decided else None,
    }
