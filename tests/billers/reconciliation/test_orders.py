"""Paying billers: what a day comes to, one order of it, the bank's file, and the bank's word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.staff import biller_cases
from app.wallet import ledger
from app.wallet.keys import new_key
from app.wallet.trust import identity, matching, orders, pain001, waiting
from app.wallet.trust.orders import DueDay, SettlementOrder
from tests.billers.reconciliation.desk import BILLER, CREDITOR, DAY, DEBTOR, NAIROBI, Desk, at
from tests.billers.reconciliation.test_files import refusal
from tests.wallet.test_ledger_races import together

CHECKER = "baraka"
DAYS = count(10, 10)  # every test has days of its own: their database is shared


@dataclass
class Bank:
    """A desk and a day of its own, on which money is owed."""

    desk: Desk
    day: date

    @property
    def now(self) -> datetime:
        """Noon of the next day."""
        return at("12:00", self.day + timedelta(days=1))

    def owe(self, amount_minor: int, clock: str = "12:00", days: int = 0) -> None:
        self.desk.owe(amount_minor, at(clock, self.day + timedelta(days=days)))

    def due(self) -> list[DueDay]:
        found = self.desk.run(lambda s: orders.due(s, self.desk.market, BILLER, self.now))
        return [one for one in found if abs(one.day - self.day) < timedelta(days=5)]

    def about(self, day: date | None = None) -> Callable[[Session], Any]:
        wanted = day or self.day
        return lambda s: biller_cases.about_order(s, self.desk.market, BILLER, wanted, self.now)

    def propose(self, day: date | None = None) -> str:
        return self.desk.propose("settlement_order", self.about(day), self.now)

    def order(self, day: date | None = None) -> SettlementOrder:
        told = self.desk.approve(self.propose(day), self.now)
        reference = told.removeprefix("order ").split(";")[0]
        return self.get(reference)

    def get(self, reference: str) -> SettlementOrder:
        return self.desk.run(lambda s: orders.of_reference(s, reference))

    def line_of(self, order: SettlementOrder, sign: int = -1) -> str:
        line_id = self.desk.bank_line(sign * order.amount_minor)
        self.desk.run(
            lambda s: matching.assign_reference(
                s, line_id, order.reference.lower(), proposer="asha", now=self.now
            )
        )
        return line_id

    def confirm(self, line_id: str, checker: str = CHECKER) -> matching.Confirmed:
        shown = self.desk.run(lambda s: matching.proposal(s, line_id))
        return self.desk.run(
            lambda s: matching.confirm(s, self.desk.market, shown, checker=checker, now=self.now)
        )

    def cancel(self, order: SettlementOrder) -> str:
        case = self.desk.propose(
            "settlement_cancel", lambda s: biller_cases.about_order_of(s, order.reference), self.now
        )
        return self.desk.approve(case, self.now)

    def owed(self) -> int:
        return self.desk.house(f"settlement:{BILLER}")

    def check(self) -> None:
        assert self.desk.run(ledger.verify) == []
        assert self.desk.run(lambda s: identity.identity(s, "KES")).off_minor == 0


@pytest.fixture
def bank(desk: Desk) -> Bank:
    return Bank(desk, DAY - timedelta(days=next(DAYS)))


def test_a_day_is_what_was_captured_less_what_came_back(bank: Bank) -> None:
    bank.owe(50_000, "00:00")
    bank.owe(30_000, "23:59")
    bank.owe(-20_000)
    bank.owe(7_000, "23:59", days=-1)
    assert bank.due() == [
        DueDay(BILLER, bank.day - timedelta(days=1), 7_000, 0, None),
        DueDay(BILLER, bank.day, 80_000, 20_000, None),
    ]
    order = bank.order()
    assert (order.amount_minor, order.state, order.maker, order.checker) == (
        60_000, "ordered", "asha", "baraka",
    )  # fmt: skip
    assert bank.due()[1].order == order.reference


def test_an_order_moves_nothing_until_the_bank_says_that_it_left(bank: Bank) -> None:
    bank.owe(50_000)
    owed, order = bank.owed(), bank.order()
    assert bank.owed() == owed
    bank.check()
    assert ("payout", order.reference) in {
        (one.what, one.name)
        for one in bank.desk.run(lambda s: waiting.waiting(s, bank.desk.market, bank.now))
    }
    done = bank.confirm(bank.line_of(order))
    assert (done.kind, done.payee.name) == ("settlement", "biller stima")
    assert bank.owed() == owed - 50_000
    assert bank.get(order.reference).state == "paid"
    assert bank.due()[0].order == order.reference
    bank.check()


def test_a_line_that_names_the_order_needs_no_assignment(bank: Bank) -> None:
    bank.owe(50_000)
    order = bank.order()
    line_id = f"BK/{new_key()}"

    def entered(session: Session) -> None:
        ledger.record_bank_line(
            session, line_id=line_id, amount_minor=-50_000, currency="KES", booked_on=bank.day,
            maker="asha",
        )  # fmt: skip

    bank.desk.run(entered)
    assert bank.desk.run(lambda s: matching.proposal(s, line_id)).reason == "no_reference"
    named = replace(bank.desk.run(lambda s: matching.lines.get(s, line_id)), text=order.reference)
    found = bank.desk.run(lambda s: matching.targets.by_reference(s, [named]))
    assert found[line_id].order_id == order.id  # type: ignore[union-attr]


def test_what_comes_back_is_owed_again_and_ordered_again(bank: Bank) -> None:
    bank.owe(50_000)
    owed, order = bank.owed(), bank.order()
    code, facts = refusal(lambda: bank.line_of(order, sign=1))
    assert (code, facts) == ("line_does_not_fit", {"reason": "not_out_yet"})
    bank.confirm(bank.line_of(order))
    assert bank.confirm(bank.line_of(order, sign=1)).kind == "settlement_back"
    assert bank.owed() == owed
    assert bank.get(order.reference).state == "came_back"
    again = bank.order()
    bank.confirm(bank.line_of(again))
    assert bank.owed() == owed - 50_000
    bank.check()


def test_a_day_is_ordered_once_and_again_after_it_was_cancelled(bank: Bank) -> None:
    bank.owe(50_000)
    order = bank.order()
    code, facts = refusal(bank.propose)
    assert (code, facts["order"]) == ("day_ordered", order.reference)
    assert bank.cancel(order).endswith("its days can be ordered again")
    assert bank.get(order.reference).state == "cancelled"
    code, facts = refusal(lambda: bank.line_of(order))
    assert (code, facts) == ("line_does_not_fit", {"reason": "ended"})
    again = bank.order()
    assert again.reference != order.reference
    bank.check()


def test_a_paid_order_is_not_cancelled(bank: Bank) -> None:
    bank.owe(50_000)
    order = bank.order()
    case = bank.desk.propose(
        "settlement_cancel", lambda s: biller_cases.about_order_of(s, order.reference), bank.now
    )
    line_id = bank.line_of(order)
    bank.confirm(line_id)
    assert refusal(lambda: bank.desk.approve(case, bank.now)) == ("order_state", {"state": "paid"})


def test_a_line_for_a_cancelled_order_posts_nothing(bank: Bank) -> None:
    bank.owe(50_000)
    order = bank.order()
    line_id = bank.line_of(order)
    shown = bank.desk.run(lambda s: matching.proposal(s, line_id))
    bank.cancel(order)
    confirm = lambda: bank.desk.run(  # noqa: E731
        lambda s: matching.confirm(s, bank.desk.market, shown, checker=CHECKER, now=bank.now)
    )
    assert refusal(confirm) == ("order_state", {"state": "cancelled"})


def test_what_the_biller_owes_us_is_taken_off_the_next_order(bank: Bank) -> None:
    bank.owe(50_000)
    bank.owe(-20_000, days=-1)
    before = bank.day - timedelta(days=1)
    code, facts = refusal(lambda: bank.propose(before))
    assert (code, facts) == ("nothing_due", {"day": before, "amount": "KES -200.00"})
    order = bank.order()
    assert order.amount_minor == 30_000
    assert [one.order for one in bank.due()] == [order.reference] * 2
    bank.check()


def test_what_cannot_be_ordered(bank: Bank) -> None:
    market = bank.desk.market
    assert refusal(bank.propose)[0] == "nothing_due"
    tomorrow = bank.day + timedelta(days=1)
    assert refusal(lambda: bank.propose(tomorrow)) == ("day_not_over", {"day": tomorrow})
    bank.owe(50_000)
    stima = market.billers[BILLER].model_copy(update={"payee": None})
    bank.desk.market = market.model_copy(update={"billers": {BILLER: stima}})
    assert refusal(bank.propose) == ("payee_missing", {"biller": BILLER})
    trust = market.trust.model_copy(update={"account": None})
    bank.desk.market = market.model_copy(update={"trust": trust})
    assert refusal(bank.propose)[0] == "debtor_missing"


def test_a_day_that_changed_since_it_was_proposed_is_proposed_anew(bank: Bank) -> None:
    bank.owe(50_000)
    case = bank.propose()
    bank.owe(1)
    assert refusal(lambda: bank.desk.approve(case, bank.now))[0] == "order_changed"


def test_maker_and_checker_are_two(bank: Bank) -> None:
    bank.owe(50_000)
    case = bank.propose()
    assert refusal(lambda: bank.desk.approve(case, bank.now, by=0))[0] == "same_person"
    order = bank.desk.approve(case, bank.now).split()[1].rstrip(";")
    itself = text(
        "INSERT INTO settlement_orders (id, reference, biller, account_id, currency, amount_minor,"
        " debtor, creditor, maker, checker, made_at) SELECT gen_random_uuid(), 'ZZZZZZZZ', biller,"
        " account_id, currency, 1, debtor, creditor, maker, maker, made_at FROM settlement_orders"
        " WHERE reference = :one"
    )
    with pytest.raises(DBAPIError, match="settlement_orders_four_eyes"):
        bank.desk.run(lambda s: s.execute(itself, {"one": order}))
    line_id = bank.line_of(bank.get(order))
    for same in ("asha", "maker"):  # who assigned it, who imported it
        assert refusal(lambda: bank.confirm(line_id, same))[0] == "same_person"  # noqa: B023


def test_eight_confirm_and_it_is_posted_once(bank: Bank) -> None:
    bank.owe(50_000)
    owed, order = bank.owed(), bank.order()
    line_id = bank.line_of(order)
    shown = bank.desk.run(lambda s: matching.proposal(s, line_id))

    def confirm(at: int) -> str:
        by = f"checker{at % 2}"
        try:
            done = bank.desk.run(
                lambda s: matching.confirm(s, bank.desk.market, shown, checker=by, now=bank.now)
            )
        except DomainError as error:
            return error.code
        return f"{by} {done.posting_id}"

    heard = together(8, confirm)
    assert len({one for one in heard if one.startswith("checker")}) == 1
    assert set(heard) - {one for one in heard if one.startswith("checker")} == {"line_matched"}
    assert bank.owed() == owed - 50_000
    bank.check()


def test_eight_approve_orders_of_a_day_and_one_is_made(bank: Bank) -> None:
    bank.owe(50_000)

    def make(_: int) -> str:
        try:
            bank.desk.run(
                lambda s: orders.make(
                    s, bank.desk.market, BILLER, bank.day, 50_000, order_id=new_key(),
                    maker="asha", checker="baraka", now=bank.now,
                )
            )  # fmt: skip
        except DomainError as error:
            return error.code
        return "made"

    assert sorted(together(8, make)) == [*["day_ordered"] * 7, "made"]


def test_the_banks_file_reads_back_and_sums(bank: Bank) -> None:
    bank.owe(50_005)
    bank.owe(120_000, days=-1)
    made = [bank.order(), bank.order(bank.day - timedelta(days=1))]
    content = pain001.document(made, bank.desk.market.currency, bank.day)
    assert content == pain001.document(made, bank.desk.market.currency, bank.day)
    root = ET.fromstring(content)
    assert root.tag == f"{{{pain001.NAMESPACE}}}Document"
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{pain001.NAMESPACE}}}")
    (message,) = root
    assert [one.tag for one in message] == ["GrpHdr", "PmtInf"]
    header, payment = message
    assert [one.tag for one in header] == ["MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty"]
    assert [one.tag for one in payment] == [
        "PmtInfId", "PmtMtd", "NbOfTxs", "CtrlSum", "ReqdExctnDt", "Dbtr", "DbtrAcct", "DbtrAgt",
        "CdtTrfTxInf", "CdtTrfTxInf",
    ]  # fmt: skip
    assert [one.findtext("CtrlSum") for one in (header, payment)] == ["1700.05"] * 2
    assert [one.findtext("NbOfTxs") for one in (header, payment)] == ["2"] * 2
    assert len(header.findtext("MsgId") or "") <= 35
    assert payment.findtext("DbtrAcct/Id/Othr/Id") == DEBTOR["account"]
    assert payment.findtext("DbtrAgt/FinInstnId/ClrSysMmbId/MmbId") == DEBTOR["bank_code"]
    transfers = payment.findall("CdtTrfTxInf")
    amounts = [one.find("Amt/InstdAmt") for one in transfers]
    assert [(one.text, one.get("Ccy")) for one in amounts if one is not None] == [
        ("500.05", "KES"), ("1200.00", "KES"),
    ]  # fmt: skip
    assert [one.findtext("PmtId/EndToEndId") for one in transfers] == [
        one.reference for one in made
    ]
    assert [one.tag for one in transfers[0]] == [
        "PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf",
    ]  # fmt: skip
    assert transfers[0].findtext("CdtrAcct/Id/IBAN") == CREDITOR["iban"]
    assert transfers[0].findtext("CdtrAgt/FinInstnId/BIC") == CREDITOR["bic"]
    assert transfers[0].findtext("Cdtr/Nm") == CREDITOR["name"]
    assert NAIROBI.key == bank.desk.market.timezone


def test_verify_sees_a_day_that_an_order_does_not_pay(bank: Bank) -> None:
    bank.owe(50_000)
    order = bank.order()
    bank.owe(700)  # as if a posting of the day had come after all
    found = bank.desk.run(ledger.verify)
    assert [(one.rule, one.subject) for one in found] == [
        ("orders", f"{order.reference} {bank.day}")
    ]
    bank.cancel(order)
    bank.check()
