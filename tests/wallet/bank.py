"""What the wallet's tests do over and over: open accounts, pay money in, send, ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from app.wallet.ledger import Answer, Count, Move, Posting
from app.wallet.references import draw

NOW = datetime.now(UTC)
TODAY = NOW.date()
T = TypeVar("T")
STAFF = text("""
    INSERT INTO staff (id, name, roles, password, totp_secret, totp_step, state, attempts,
                       created_at, created_by)
    VALUES (:id, :name, ARRAY['support'], '$argon2id$', '', 0, 'active', 0, now(), :id)
""")
CASE = text("""
    INSERT INTO cases (id, reference, kind, subject, facts, evidence, state, maker_id, maker,
                       proposed_at, checker_id, checker, decided_at)
    SELECT :id, :reference, 'test', :id, '{}', 'none', :state, m.id, m.name, now(),
           c.id, c.name, CASE WHEN :checker <> '' THEN now() END
    FROM staff m LEFT JOIN staff c ON c.name = :checker WHERE m.name = :maker
""")


class Bank:
    """The ledger through the eyes of a test; every call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def run(self, fn: Callable[[Session], T]) -> T:
        """`fn(session)`, committed."""
        return self.database.transact(fn)

    def account(
        self,
        balance_minor: int = 0,
        *,
        kind: str = "wallet",
        owner_kind: str = "person",
        currency: str = "KES",
        floor_minor: int = 0,
    ) -> int:
        """A new account with money that came in through the trust bank."""
        account_id = self.run(
            lambda session: ledger.open_account(
                session,
                kind=kind,
                currency=currency,
                owner_kind=owner_kind,
                owner_id=uuid4(),
                floor_minor=floor_minor,
            )
        )
        if balance_minor:
            answer = self.pay_in(account_id, balance_minor, currency)
            assert answer.refusal is None
        return account_id

    def house(self, name: str, currency: str = "KES") -> int:
        """The house's account of this name."""
        return self.run(lambda session: ledger.house_account(session, name, currency))

    def line(self, amount_minor: int, currency: str = "KES", *, checker: str | None = "c") -> str:
        """A line of the bank's statement, approved unless there is no checker."""
        line_id = f"line-{uuid4()}"

        def record(session: Session) -> None:
            ledger.record_bank_line(
                session,
                line_id=line_id,
                amount_minor=amount_minor,
                currency=currency,
                booked_on=TODAY,
                maker="m",
            )
            if checker:
                ledger.approve_bank_line(session, line_id=line_id, checker=checker)

        self.run(record)
        return line_id

    def case(self, *, approved: bool = True) -> str:
        """The authority of a case that one of the staff proposed, and another approved."""
        case_id = uuid4()
        maker, checker = f"m-{case_id.hex[:12]}", f"c-{case_id.hex[:12]}"

        def work(session: Session) -> None:
            for name in (maker, checker):
                session.execute(STAFF, {"id": uuid4(), "name": name})
            facts = {
                "id": case_id,
                "reference": draw(lambda _: False),
                "state": "approved" if approved else "proposed",
                "maker": maker,
                "checker": checker if approved else "",
            }
            session.execute(CASE, facts)

        self.run(work)
        return f"case:{case_id}"

    def pay_in(self, account_id: int, amount_minor: int, currency: str = "KES") -> Answer:
        """A deposit against an approved line."""
        line_id = self.line(amount_minor, currency)
        return self.run(
            lambda session: ledger.deposit(
                session, bank_line_id=line_id, account_id=account_id, now=NOW
            )
        )

    def post(self, *postings: Posting, now: datetime = NOW) -> list[Answer]:
        """One call."""
        return self.run(lambda session: ledger.post(session, postings, now=now))

    def send(
        self, debit: int, credit: int, amount_minor: int, *, key: UUID | None = None, **more: Any
    ) -> Answer:
        """One posting of one move."""
        (answer,) = self.post(posting((debit, credit, amount_minor), key=key, **more))
        return answer

    def hold(
        self,
        account_id: int,
        amount_minor: int,
        *,
        key: UUID | None = None,
        expires_at: datetime | None = None,
        counts: Sequence[Count] = (),
    ) -> Answer:
        """Money set aside."""
        return self.run(
            lambda session: ledger.hold(
                session,
                key=key or new_key(),
                account_id=account_id,
                amount_minor=amount_minor,
                expires_at=expires_at,
                reference="test",
                counts=counts,
                now=NOW,
            )
        )

    def release(self, hold_id: UUID) -> bool:
        """The hold's money given back."""
        return self.run(lambda session: ledger.release(session, hold_id, reason="test", now=NOW))

    def reverse(self, posting_id: int | None, *, key: UUID | None = None) -> ledger.Reversal:
        """A posting taken back."""
        assert posting_id is not None
        return self.run(
            lambda session: ledger.reverse(
                session,
                key=key or new_key(),
                original_posting_id=posting_id,
                reference="test",
                now=NOW,
            )
        )

    def balance(self, account_id: int) -> int:
        """What is in it, held money included."""
        return self.run(lambda session: ledger.balance(session, account_id)).balance_minor

    def available(self, account_id: int) -> int:
        """What can be spent."""
        return self.run(lambda session: ledger.balance(session, account_id)).available_minor

    def used(self, account_id: int, name: str, period: date = TODAY) -> int:
        """What a limit counter says."""
        with self.database.engine.connect() as connection:
            return int(
                connection.exec_driver_sql(
                    "SELECT coalesce(sum(used), 0) FROM limit_counters"
                    " WHERE account_id = %s AND name = %s AND period = %s",
                    (account_id, name, period),
                ).scalar_one()
            )

    def verify(self) -> list[ledger.Finding]:
        """What is wrong with the whole ledger."""
        return self.run(ledger.verify)


def posting(*moves: tuple[int, int, int], key: UUID | None = None, **more: Any) -> Posting:
    """A posting of (debit, credit, amount) moves, with a fresh key unless told."""
    return Posting(
        key or new_key(), more.pop("kind", "test"), tuple(Move(*m) for m in moves), **more
    )


def count(account_id: int, amount_minor: int, cap_minor: int, name: str = "day") -> Count:
    """A limit counter of today."""
    return Count(account_id, name, TODAY, amount_minor, cap_minor)
