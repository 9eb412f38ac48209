"""Bills, paid from a wallet and at a counter, and all that a biller may answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.billers import claims, expiry, models, payments, quotes, settlement
from app.billers.protocols.answers import Answer, Outcome
from app.billers.settlement import Claim
from app.billers.states import State
from app.markets.billers import Product
from tests.people import fresh_meter
from tests.wallet.machine.base import Asked, Base
from tests.wallet.machine.books import Hold, Refused
from tests.wallet.machine.model import Movement, float_of

TOKEN = ("12345678901234567890",)
UNDECIDED = ("sent", "unknown", "manual")
# What is said of a bill of one's own; at the counter to the agent; and to the customer there.
NEWS = {
    "captured": ("payment_paid", "bill_paid_by_you", "bill_paid_for_you"),
    "released": ("payment_refused", "bill_refused_by_you", "bill_not_paid_for_you"),
    "cancelled": ("payment_cancelled", "bill_cancelled_by_you", "bill_not_paid_for_you"),
    "manual": ("payment_manual", "bill_manual_by_you", "bill_manual_for_you"),
    "returned": ("payment_returned", "bill_returned_by_you", "bill_returned_for_you"),
    "refunded": ("payment_refunded", "bill_refunded_by_you", "bill_refunded_for_you"),
    "stands": ("payment_stands", "bill_stands_by_you", "bill_stands_for_you"),
}


@dataclass(eq=False)
class Bill:
    """`walk_in` is whose cash an agent took; `claim` is the worker's once it was sent."""

    id: UUID
    movement: Movement
    hold_id: UUID
    expires: datetime
    walk_in: str | None
    state: str = "held"
    claim: Claim | None = None
    stale: bool = False  # its fence is another since it became manual
    sent_at: datetime | None = None
    accrued: list[tuple[str, int, int]] = field(default_factory=list)
    refunded: bool = False  # and these two exclude each other
    written_off: bool = False


class Bills(Base):
    @property
    def biller(self) -> str:
        return next(iter(self.market.billers))

    @property
    def product(self) -> Product:
        return self.market.billers[self.biller].products[0]

    def pay_bill(self, by: str, walk_in: str | None, amount: int, how: str) -> Asked | None:
        """From the own wallet, or by an agent for a number at the counter."""
        meter, agreed = fresh_meter(), list[Movement]()
        what = f"{by} pays a bill of {amount}" + (f" for {walk_in}" if walk_in else "")

        def quote(session: Session) -> quotes.Quote:
            counter = None
            if walk_in:
                counter = quotes.at_counter(self.agent(session, by), self.number(walk_in))
            return quotes.quote(
                self.market,
                self.product.code,
                meter,
                "GRACE KAMAU",
                amount,
                at=self.now,
                walk_in=counter,
            )

        shown = self.same(
            f"quote: {what}", quote, lambda _: agreed.append(self._quoted(by, walk_in, amount))
        )
        if shown is None:
            return None
        (it,) = agreed
        assert shown.total_minor == it.total, what

        def confirm(session: Session, intent_id: UUID) -> Any:
            return payments.confirm(
                session, self.market, intent_id=intent_id, person=self.person(session, by),
                quote=shown, now=self.now,
            )  # fmt: skip

        def model(made: Any) -> None:
            self._set_aside_for(it, walk_in, made)

        return self.ask(what, self.ids[by], shown.fingerprint, confirm, model, how)

    def biller_says(self, bill: Bill, says: Outcome) -> None:
        """A worker sends it if nobody has, and the biller answers, whatever came before."""
        if bill.state == "held":
            self._send_out(bill)
        if bill.claim is None:  # its hold had run out
            return
        claim = bill.claim
        answer = Answer(says, "machine", tokens=TOKEN if says is Outcome.PAID else ())
        self._answered(bill, says)
        state = self.town.run(lambda s: settlement.record(s, self.market, claim, answer, self.now))
        assert state == bill.state, f"{says} to a bill"

    def cancel_unsent(self) -> None:
        """What the clock brings: it looks at the database's own."""
        due = [b for b in self.bills.values() if b.state == "held" and b.expires <= self.now]
        run_out = text("UPDATE payments SET expires_at = clock_timestamp() WHERE id = ANY (:ids)")
        self.town.run(lambda s: s.execute(run_out, {"ids": [bill.id for bill in due]}))
        ended = expiry.cancel_unsent(self.db, self.market, self.now)
        assert ended == len(due), "bills that were not sent in time"
        for bill in due:
            self._bill_gives_back(bill, "cancelled")

    def end_bills(self) -> None:
        """No life leaves work for a worker of the next one."""
        for bill in self.bills.values():
            if bill.state == "held":
                self._send_out(bill)
            if bill.claim and bill.state in ("sent", "unknown"):
                refused, claim = Answer(Outcome.REFUSED, "machine"), bill.claim
                self.town.run(lambda s: settlement.record(s, self.market, claim, refused, self.now))  # noqa: B023
                self._answered(bill, Outcome.REFUSED)

    # ---- the model's part

    def _quoted(self, by: str, walk_in: str | None, amount: int) -> Movement:
        agent = by if walk_in else None
        if agent:
            self.model.refuse_agent(agent)
        if walk_in == by:
            raise Refused("own_number")
        if amount < self.product.least_minor:
            raise Refused("amount_too_small")
        if amount > self.product.most_minor:
            raise Refused("amount_too_large")
        if amount % self.product.step_minor:
            raise Refused("amount_step")
        price, _ = self.model.priced("agent_bill" if agent else "bill_payment", amount, agent)
        debit, payer = (float_of(agent), None) if agent else (by, by)
        credit = f"settlement:{self.biller}"
        return Movement("bill_payment", debit, credit, amount, price, payer=payer, agent=agent)

    def _set_aside_for(self, it: Movement, walk_in: str | None, made: Any) -> None:
        if it.agent:
            self.model.refuse_agent(it.agent)
        if it.payer:
            self.model.refuse_payer(it.payer)
        expires = self.now + timedelta(seconds=self.market.hold_seconds)
        counts = self.model.counts(it.payer, it.amount) if it.payer else ()
        hold_id = self._hold_of(made.id) if made else UUID(int=0)
        self.books.hold(hold_id, Hold(it.debit, it.total, counts, expires))
        if made:
            self.bills[made.id] = Bill(made.id, it, hold_id, expires, walk_in)
        if it.agent:
            self.model.fell(it.agent, made)

    def _send_out(self, bill: Bill) -> None:
        """The claim of a worker: from now on only an answer ends the hold."""
        now_due = text(
            "UPDATE payments SET due_at = clock_timestamp() + make_interval(secs =>"
            " CASE WHEN id = :id THEN 0 ELSE 3600 END) WHERE due_at IS NOT NULL"
        )
        self.town.run(lambda s: s.execute(now_due, {"id": bill.id}))
        work = self.town.run(lambda s: claims.claim(s, self.market, self.biller, 1, self.now))
        hold = self.books.holds.get(bill.hold_id)
        if hold is None:
            assert work == []
            self._bill_gives_back(bill, "cancelled")
            return
        hold.expires = None
        bill.claim, bill.state = work[0].claim, "sent"
        assert bill.claim.payment_id == bill.id
        # The worker looks at the database's clock; asking ends by the one of this life.
        sent = text("UPDATE payments SET first_sent_at = :now WHERE id = :id")
        self.town.run(lambda s: s.execute(sent, {"now": self.now, "id": bill.id}))
        bill.sent_at = self.now

    def _answered(self, bill: Bill, says: Outcome) -> None:
        """A biller's word, as the table of states has it."""
        movement, amount = bill.movement, bill.movement.amount
        if says is Outcome.PAID and bill.state in UNDECIDED:
            self.books.post(movement.moves(), hold_id=bill.hold_id)
            if movement.agent:
                bill.accrued = self.model.accrue(movement.agent, movement.price)
            self._bill_ends(bill, "captured")
        elif says is Outcome.PAID and bill.state == "released":
            self.books.post([("suspense:late", movement.credit, amount)])
            bill.state = "paid_late"
        elif says is Outcome.REFUSED and bill.state in ("sent", "unknown"):
            self._bill_gives_back(bill, "released")
        elif says is Outcome.REFUSED and bill.state == "captured" and not bill.stale:
            self.books.post([(movement.credit, "suspense:returned", amount)])
            self._bill_ends(bill, "returned")
        elif bill.state in ("sent", "unknown"):
            assert bill.sent_at
            rules = self.market.billers[self.biller]
            asked_long = self.now >= bill.sent_at + timedelta(seconds=rules.manual_after_seconds)
            bill.state = "unknown"
            if asked_long:
                bill.stale = True
                self._bill_ends(bill, "manual")

    def _bill_gives_back(self, bill: Bill, state: str) -> None:
        self.books.release(bill.hold_id)
        if bill.movement.agent:
            self.model.rose(bill.movement.agent)
        self._bill_ends(bill, state)

    def bill_refunded(self, bill: Bill) -> None:
        """All that its capture took, turned round; nobody has earned by it."""
        if bill.state != "returned":
            raise Refused("not_returned")
        if bill.refunded:
            raise Refused("sale_refunded")
        if bill.written_off:
            raise Refused("sale_written_off")
        (_, _, amount), *parts = bill.movement.moves()
        payer = bill.movement.debit
        back = [(account, payer, minor) for _, account, minor in parts]
        self.books.post([("suspense:returned", payer, amount), *back])
        bill.refunded = True
        if bill.movement.agent:
            self.model.take_back_accrued(bill.accrued)
            self.model.rose(bill.movement.agent)
        self.tell_of_bill(bill, "refunded")

    def _bill_ends(self, bill: Bill, state: str) -> None:
        bill.state = State(state)
        self.tell_of_bill(bill, state)

    def tell_of_bill(self, bill: Bill, news: str) -> None:
        own, to_agent, to_customer = NEWS[news]
        if bill.movement.payer:
            self.model.tell(bill.id, own, bill.movement.payer)
        if bill.movement.agent and bill.walk_in:
            self.model.tell(bill.id, to_agent, bill.movement.agent)
            if to_customer:
                self.model.tell(bill.id, to_customer, bill.walk_in)

    def _hold_of(self, payment_id: UUID) -> UUID:
        return self.town.run(lambda s: s.get_one(models.Payment, payment_id).hold_id)
