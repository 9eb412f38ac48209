"""Two of the finance staff, who agree on what a case asks for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import Database
from app.markets.model import Market
from app.staff import cases, decisions, payment_cases
from app.staff.accounts import Staff
from app.staff.cases import Proposal
from app.wallet.keys import new_key
from tests.billers.stage import now
from tests.wallet.bank import STAFF


@dataclass
class Clerks:
    """Each call is a transaction of its own."""

    db: Database
    market: Market
    maker: Staff
    checker: Staff

    @classmethod
    def hired(cls, db: Database, market: Market) -> Clerks:
        def somebody() -> Staff:
            staff_id, name = new_key(), f"f{secrets.token_hex(8)}"
            db.transact(lambda s: s.execute(STAFF, {"id": staff_id, "name": name}))
            return Staff(staff_id, name, frozenset({"finance"}))

        return cls(db, market, somebody(), somebody())

    def propose(self, reference: str) -> str:
        """To give a payment back; the case."""

        def work(session: Session) -> str:
            about = payment_cases.about_refund(session, reference)
            return self.proposed(session, about).reference

        return self.db.transact(work)

    def approve(self, case: str, by: Staff | None = None) -> str:
        checker = by or self.checker

        def carry_out(session: Session, one: cases.Case) -> str:
            return decisions.carry_out(session, self.market, one, checker, now())

        return self.db.transact(lambda s: cases.approve(s, case, checker, now(), carry_out))

    def refund(self, reference: str) -> str:
        return self.approve(self.propose(reference))

    def agreed(self, subject: str, **facts: Any) -> UUID:
        """The id of a case that both agreed on, and that nobody has carried out."""

        def work(session: Session) -> UUID:
            case = self.proposed(session, Proposal(subject, facts)).reference
            return cases.approve(session, case, self.checker, now(), lambda _, one: one.id)

        return self.db.transact(work)

    def proposed(self, session: Session, about: Proposal) -> cases.Case:
        return cases.propose(
            session, kind="sale_refund", subject=about.subject, facts=about.facts,
            evidence="call with the biller, ticket 4711", maker=self.maker, now=now(),
        )  # fmt: skip
