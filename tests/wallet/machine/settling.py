"""What billers are paid, and what does not fit in their files."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.billers.models import Payment
from app.billers.reconciliation import exceptions, runs
from app.billers.reconciliation.exceptions import ReportException
from app.errors import DomainError
from app.markets.model import Market
from app.markets.parties import BankParty
from app.markets.reports import Report
from app.staff import biller_cases, cases, decisions, payment_cases
from app.staff.accounts import Staff, StaffRow
from app.staff.cases import Proposal
from app.wallet.keys import new_key
from app.wallet.trust import matching, orders
from app.wallet.trust.orders import DueDay
from tests.staff.desk import Desk
from tests.wallet.machine.base import CHECKER, MAKER
from tests.wallet.machine.bills import Bill, Bills
from tests.wallet.machine.books import OPERATOR

PARTY = BankParty(name="Bank", account="1", bank_code="01")
REPORT = {
    "format": "csv",
    "amount": "minor",
    "day_format": "%Y-%m-%d",
    "columns": {"reference": "ref", "amount": "minor", "day": "day"},
}
NOBODYS = "NOBODYS"  # a reference of theirs that is none of ours


class Settling(Bills):
    office: tuple[Staff, Staff] | None = None

    @property
    def paying(self) -> Market:
        """The market with a report of its biller, and both sides of an order."""
        report = Report.model_validate_json(json.dumps(REPORT), strict=True)
        told = {"report": report, "payee": PARTY}
        biller = self.market.billers[self.biller].model_copy(update=told)
        trust = self.market.trust.model_copy(update={"account": PARTY})
        billers = self.market.billers | {self.biller: biller}
        return self.market.model_copy(update={"billers": billers, "trust": trust})

    @property
    def owed(self) -> str:
        return f"settlement:{self.biller}"

    def settle_biller(self, *, comes_back: bool) -> bool:
        """The oldest day that is over and owes the biller something is paid; whether there is one.

        An order moves nothing; the bank's line does.
        """
        day = next((one for one in self._unpaid_days() if one.net_minor > 0), None)
        if day is None:
            return False
        order_id, amounts = new_key(), list[int]()

        def order(session: Session) -> orders.SettlementOrder:
            shown = orders.to_order(session, self.paying, self.biller, day.day, self.now)
            amounts.append(sum(one.net_minor for one in shown))
            return orders.make(
                session, self.paying, self.biller, day.day, amounts[-1], order_id=order_id,
                maker=MAKER, checker=CHECKER, now=self.now,
            )  # fmt: skip

        try:
            made = self.town.run(order)
        except DomainError as error:
            if error.code != "nothing_due":
                raise
            return False  # earlier days take all of it
        self._order_line(made, -amounts[-1])
        if comes_back:
            self._order_line(made, amounts[-1])
        return True

    def reconcile_biller(self) -> None:
        """Their file has nothing of ours but what they took back, and one line that is nobody's."""
        today = self.now.astimezone(self.market.zone).date()
        days = [one.day for one in self._unpaid_days() if one.day < today]
        paid_back = self._bills_that_are("returned")[:1]
        lines = [*((reference, minor) for reference, minor, _ in paid_back), (NOBODYS, 700)]

        def take(session: Session) -> runs.Run:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "report.csv"
                with path.open("w", newline="") as file:
                    told = csv.writer(file)
                    told.writerow(["ref", "minor", "day"])
                    told.writerows([*one, days[-1].isoformat()] for one in lines)
                return runs.take(session, self.paying, self.biller, path, maker=MAKER, now=self.now)

        run = self.town.run(take)
        found = self.town.run(lambda s: exceptions.of_run(s, run))
        assert {one.kind for _, one in found} == {"only_theirs", "only_ours"}
        for at, one in found:
            self._write_off(exceptions.named(at, one), one)

    def bear_late_sales(self) -> None:
        """The operator bears each sale whose money had gone back."""
        for _, minor, reference in self._bills_that_are("paid_late"):

            def about(session: Session, reference: str = reference) -> Proposal:
                return biller_cases.about_late_sale(session, reference)

            def model(minor: int = minor) -> None:
                self.books.post([(OPERATOR, "suspense:late", minor)])

            self._two_agree("late_sale", about, model)

    def refund(self, bill: Bill) -> None:
        """What the biller took back is the payer's again, fee included."""

        def about(session: Session) -> Proposal:
            reference = session.get_one(Payment, bill.id).reference
            return payment_cases.about_refund(session, reference)

        self._two_agree("sale_refund", about, lambda: self.bill_refunded(bill))

    # ---- two people

    def _write_off(self, name: str, one: ReportException) -> None:
        def about(session: Session) -> Proposal:
            return biller_cases.about_write_off(session, name)

        def move() -> tuple[str, str, int]:
            if one.kind == "only_ours":
                assert one.ours_minor
                return (self.owed, OPERATOR, one.ours_minor)
            assert one.theirs_minor
            if one.why == "returned":
                return ("suspense:returned", self.owed, one.theirs_minor)
            return (OPERATOR, self.owed, one.theirs_minor)

        def model() -> None:
            self.books.post([move()])
            if one.why == "returned" and one.payment_id:
                bill = self.bills[one.payment_id]
                bill.written_off = True
                self.tell_of_bill(bill, "stands")

        self._two_agree("report_write_off", about, model)

    def _two_agree(self, kind: str, about: Any, model: Callable[[], None]) -> None:
        maker, checker = self._two()

        def real(session: Session) -> str:
            subject, facts = about(session)
            made = cases.propose(
                session, kind=kind, subject=subject, facts=facts, evidence="their letter",
                maker=maker, now=self.now,
            )  # fmt: skip
            return cases.approve(
                session, made.reference, checker, self.now,
                lambda s, case: decisions.carry_out(s, self.paying, case, checker, self.now),
            )  # fmt: skip

        self.same(f"two of the staff: {kind}", real, lambda _: model())

    def _two(self) -> tuple[Staff, Staff]:
        """The same for all lives in a database."""
        if self.office is None:
            first = self._clerk(MAKER, None)
            self.office = (first, self._clerk(CHECKER, first))
        return self.office

    def _clerk(self, name: str, by: Staff | None) -> Staff:
        known = self.town.run(lambda s: s.scalar(select(StaffRow.id).where(StaffRow.name == name)))
        if known is not None:
            return Staff(known, name, frozenset({"finance"}))
        return Desk(self.db, "").add(name, "finance", by=by)

    # ---- what there is

    def _unpaid_days(self) -> list[DueDay]:
        today = self.now.astimezone(self.market.zone).date()
        found = self.town.run(lambda s: orders.due(s, self.paying, self.biller, self.now))
        return [one for one in found if not one.order and one.day < today]

    def _order_line(self, order: orders.SettlementOrder, minor: int) -> None:
        def real(session: Session) -> matching.Confirmed:
            line_id = self.bank_line_of(session, minor)
            shown = matching.assign_reference(
                session, line_id, order.reference, proposer=MAKER, now=self.now
            )
            return matching.confirm(session, self.paying, shown, checker=CHECKER, now=self.now)

        sides = ("trust_bank", self.owed) if minor > 0 else (self.owed, "trust_bank")
        self.same(
            f"the bank's line of {minor} for the biller",
            real,
            lambda _: self.books.post([(*sides, abs(minor))]),
        )

    def _bills_that_are(self, state: str) -> list[tuple[str, int, str]]:
        query = text(
            "SELECT biller_ref, amount_minor, reference FROM payments"
            " WHERE biller = :biller AND state = :state ORDER BY id"
        )
        facts = {"biller": self.biller, "state": state}
        rows = self.town.run(lambda s: s.execute(query, facts).all())
        return [(row[0], row[1], row[2]) for row in rows]
