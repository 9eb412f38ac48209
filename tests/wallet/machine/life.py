"""The rules: one step of a life each, and what comes of it at once or later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple

from app.billers.protocols.answers import Outcome
from tests.wallet.machine.base import ABOVE, FLOATS, NEW, START, TIER, Asked, step
from tests.wallet.machine.counter import Counter
from tests.wallet.machine.floats import Floats, Request
from tests.wallet.machine.lives import Lives
from tests.wallet.machine.sending import Sending
from tests.wallet.machine.settling import Settling
from tests.wallet.machine.stops import Stops
from tests.wallet.machine.trust import OnWay, Trust

CUSTOMERS = st.sampled_from([*START, *START, *NEW])
NUMBERS = st.sampled_from([*START, *START, *NEW, *FLOATS])
NO_WALLET = st.sampled_from([*NEW, *NEW, "amina"])
AGENTS = st.sampled_from([*FLOATS])
AMOUNTS = st.sampled_from(
    [5_000, 10_000, 10_100, 20_000, 30_000] * 4
    + [45_000, 60_000, 100_000] * 2
    + [0, 4_900, 5_050, 30_100, 100_100]
)
HOW = st.sampled_from(["once", "once", "again", "at once", "later"])
MINOR = st.sampled_from([3_000, 10_000, 10_000, 40_000, 40_000, 90_000, 0])
STEPS = st.sampled_from(
    [timedelta(seconds=90), timedelta(minutes=11), timedelta(hours=9), timedelta(days=1),
     timedelta(days=1), timedelta(days=8)]
)  # fmt: skip
SELDOM = st.sampled_from([False, False, True])
STOP = st.sampled_from(["ask", "approve", "approve", "collect", "refuse", "another asks"])
TOP_UP = st.sampled_from(["nothing", "some", "the rest", "the rest", "too much"])
VOUCHER = st.sampled_from(
    ["right code", "right code", "wrong code", "no code", "cancel", "another cancels"]
)
CODE = st.sampled_from(
    ["right code", "right code", "wrong code", "no code", "cancel", "another cancels"]
)
REQUEST = st.sampled_from(["grant", "grant", "another grants", "refuse"])
ON_WAY = st.sampled_from(["line", "line", "two lines", "take back"])
CHANGES = st.sampled_from(
    [*sorted(set(TIER.values())), "suspend", "resume", "sleep", "wake", "close", "shut the counter",
     "open the counter"]
)  # fmt: skip
Acts = list[str]
PAID, REFUSED, UNKNOWN = Outcome.PAID, Outcome.REFUSED, Outcome.UNKNOWN
SAYS = st.sampled_from(
    [(), (PAID,), (REFUSED,), (UNKNOWN,), (UNKNOWN, PAID), (PAID, REFUSED), (REFUSED, PAID)]
)


def at_once(acts: st.SearchStrategy[str]) -> st.SearchStrategy[Acts]:
    """What comes of it in the same step."""
    return st.lists(acts, max_size=2)


def kept(it: Any) -> Any:
    """For the bundles; what was refused is not kept."""
    return multiple() if it is None else it


class Life(Sending, Counter, Floats, Settling, Stops, Trust, Lives):
    """A person who has no wallet yet does none of what needs one."""

    asked = Bundle("asked")
    transfers = Bundle("transfers")
    vouchers_sent = Bundle("vouchers_sent")
    codes_made = Bundle("codes_made")
    bills_paid = Bundle("bills_paid")
    requests = Bundle("requests")
    on_way = Bundle("on_way")

    @step(it=asked, how=HOW)
    def confirm_or_repeat(self, it: Asked, how: str) -> None:
        """What was shown before, or was carried out already: then nothing moves."""
        if how != "later":
            self.confirm(it, how)

    # ---- people

    @step(
        targets=(asked, transfers), payer=CUSTOMERS, payee=NUMBERS, amount=AMOUNTS, how=HOW,
        then=at_once(STOP), top_up=TOP_UP,
    )  # fmt: skip
    def sends(self, payer: str, payee: str, amount: int, how: str, then: Acts, top_up: str) -> Any:
        if payer not in self.ids:
            return multiple()
        it = self.send(payer, payee, amount, how)
        if it:
            for act in then:
                spent = act == "collect"
                self.follow_transfer(it=it, act=act, by="chika", top_up=top_up, spent=spent)
        return kept(it)

    @step(it=transfers, act=STOP, by=CUSTOMERS, top_up=TOP_UP, spent=st.booleans())
    def follow_transfer(self, it: Asked, act: str, by: str, top_up: str, spent: bool) -> None:
        """It is asked back; staff decide."""
        transfer = self.model.transfers.get(it.made.id) if it.made else None
        if transfer is None or by not in self.ids:
            return
        if spent and transfer.movement.payee:
            self.spend(transfer.movement.payee)
        if act == "another asks":
            self.ask_back(it, by)
            return
        stop = self.stop_of(transfer) or self.ask_back(it, self.sender_of(transfer))
        if stop and act == "refuse":
            self.refuse_stop(stop)
        elif stop and act != "ask":
            if act == "approve" or stop.state == "open":
                self.approve(stop, top_up)
            if act == "collect":
                self.collect_later(stop)

    def spend(self, name: str) -> None:
        """As much as goes out at once, but for what it costs."""
        most = self.market.tiers[self.model.people[name].tier].per_transaction_minor
        amount = min(self.books.left(name) - 3_000 * self.scale, most)
        amount -= amount % self.market.agents.step_minor
        self.cash_out(name, "zawadi" if name == "omari" else "omari", amount, "once")

    @step(
        targets=(asked, vouchers_sent), payer=CUSTOMERS, payee=NO_WALLET, amount=AMOUNTS, how=HOW,
        then=at_once(VOUCHER), agent=AGENTS,
    )  # fmt: skip
    def sends_a_voucher(
        self, payer: str, payee: str, amount: int, how: str, then: Acts, agent: str
    ) -> Any:
        if payer not in self.ids:
            return multiple()
        it = self.send_voucher(payer, payee, amount, how)
        if it:
            for act in then:
                self.follow_voucher(it=it, act=act, agent=agent, by="chika", how=how)
        return kept(it)

    @step(target=asked, it=vouchers_sent, act=VOUCHER, agent=AGENTS, by=CUSTOMERS, how=HOW)
    def follow_voucher(self, it: Asked, act: Any, agent: str, by: str, how: str) -> Any:
        voucher = self.vouchers.get(it.made.id) if it.made else None
        if voucher is None or by not in self.ids:
            return multiple()
        if "cancel" not in act:
            return kept(self.collect(agent, voucher, act, how))
        self.cancel_voucher(voucher, voucher.sender if act == "cancel" else by)
        return multiple()

    @step(
        name=st.sampled_from(NEW), agent=AGENTS,
        what=st.sampled_from(["registers", "registers", "is invited", "fetches"]),
    )  # fmt: skip
    def newcomer(self, name: str, agent: str, what: str) -> None:
        if what == "registers":
            self.register(name)
        elif what == "is invited":
            self.invite(agent, name)
        elif self.model.has_wallet(name):
            self.fetch(name)

    @step(target=on_way, name=NUMBERS, what=CHANGES)
    def changes(self, name: str, what: str) -> Any:
        if name not in self.ids:
            return multiple()
        if what == "close":
            return kept(self.close(name))
        self.change(name, what)
        return multiple()

    @step()
    def all_is_well(self) -> None:
        """Whoever may be active again is."""
        for name in self.ids:
            if self.model.people[name].state in ("suspended", "dormant"):
                self.change(name, "resume" if self.is_suspended(name) else "wake")
            if name in FLOATS and self.model.agents[name].suspended:
                self.change(name, "open the counter")

    # ---- the counter

    @step(
        targets=(asked, transfers), agent=AGENTS, customer=NUMBERS, amount=AMOUNTS, how=HOW,
        then=at_once(STOP), top_up=TOP_UP,
    )  # fmt: skip
    def takes_cash(
        self, agent: str, customer: str, amount: int, how: str, then: Acts, top_up: str
    ) -> Any:
        it = self.cash_in(agent, customer, amount, how)
        if it:
            for act in then:
                spent = act == "collect"
                self.follow_transfer(it=it, act=act, by="chika", top_up=top_up, spent=spent)
        return kept(it)

    @step(targets=(asked, transfers), customer=CUSTOMERS, agent=AGENTS, amount=AMOUNTS, how=HOW)
    def gives_cash(self, customer: str, agent: str, amount: int, how: str) -> Any:
        if customer not in self.ids:
            return multiple()
        return kept(self.cash_out(customer, agent, amount, how))

    @step(
        targets=(asked, codes_made), customer=CUSTOMERS, agent=AGENTS, amount=AMOUNTS, how=HOW,
        then=at_once(CODE),
    )  # fmt: skip
    def makes_a_code(self, customer: str, agent: str, amount: int, how: str, then: Acts) -> Any:
        if customer not in self.ids:
            return multiple()
        it = self.make_code(customer, agent, amount, how)
        if it:
            for act in then:
                self.follow_code(it=it, act=act, agent=agent, by="chika", how=how)
        return kept(it)

    @step(target=asked, it=codes_made, act=CODE, agent=AGENTS, by=CUSTOMERS, how=HOW)
    def follow_code(self, it: Asked, act: Any, agent: str, by: str, how: str) -> Any:
        made = self.withdrawals.get(it.made.id) if it.made else None
        if made is None or by not in self.ids:
            return multiple()
        if "cancel" not in act:
            return kept(self.redeem(agent, made.movement.debit, act, how))
        self.cancel_code(made, made.movement.debit if act == "cancel" else by)
        return multiple()

    # ---- floats

    @step(target=asked, giver=AGENTS, taker=AGENTS, amount=AMOUNTS, how=HOW)
    def moves_float(self, giver: str, taker: str, amount: int, how: str) -> Any:
        return kept(self.move_float(giver, taker, amount, how))

    @step(
        target=requests, agent=st.sampled_from([*FLOATS, "neema", "neema"]), amount=AMOUNTS,
        how=HOW, then=at_once(REQUEST),
    )  # fmt: skip
    def asks_for_float(self, agent: str, amount: int, how: str, then: Acts) -> Any:
        request = self.request(agent, amount)
        if request:
            for act in then:
                self.follow_request(asked_for=request, act=act, how=how)
        return kept(request)

    @step(target=asked, asked_for=requests, act=REQUEST, how=HOW)
    def follow_request(self, asked_for: Request, act: str, how: str) -> Any:
        above = ABOVE[asked_for.agent] or "omari"
        if act != "refuse":
            return kept(self.grant(asked_for, above if act == "grant" else "omari", how))
        self.refuse_request(asked_for, above)
        return multiple()

    @step(agent=AGENTS, tomorrow=st.booleans())
    def is_paid(self, agent: str, tomorrow: bool) -> None:
        """Commission of before this day; what accrued today is paid tomorrow."""
        if tomorrow:
            self.pass_time(timedelta(days=1))
        self.pay_commission(agent)

    # ---- bills

    @step(targets=(asked, bills_paid), payer=CUSTOMERS, amount=AMOUNTS, how=HOW, says=SAYS)
    def pays_a_bill(self, payer: str, amount: int, how: str, says: tuple[Outcome, ...]) -> Any:
        if payer not in self.ids:
            return multiple()
        return self.billed(self.pay_bill(payer, None, amount, how), says)

    @step(
        targets=(asked, bills_paid), agent=AGENTS, customer=NUMBERS, amount=AMOUNTS, how=HOW,
        says=SAYS,
    )  # fmt: skip
    def pays_a_bill_at_the_counter(
        self, agent: str, customer: str, amount: int, how: str, says: tuple[Outcome, ...]
    ) -> Any:
        return self.billed(self.pay_bill(agent, customer, amount, how), says)

    def billed(self, it: Asked | None, says: tuple[Outcome, ...]) -> Any:
        if it:
            self.follow_bill(it=it, says=says)
        return kept(it)

    @step(it=bills_paid, says=SAYS)
    def follow_bill(self, it: Asked, says: tuple[Outcome, ...]) -> None:
        bill = self.bills.get(it.made.id) if it.made else None
        if bill:
            for answer in says:
                self.biller_says(bill, answer)

    @step(it=bills_paid)
    def gives_back(self, it: Asked) -> None:
        """Two of the staff, whatever became of it."""
        bill = self.bills.get(it.made.id) if it.made else None
        if bill:
            self.refund(bill)

    # ---- the bank

    @step(target=on_way, name=NUMBERS, minor=MINOR, then=at_once(ON_WAY))
    def pays_in(self, name: str, minor: int, then: Acts) -> Any:
        if name not in self.ids:
            return multiple()
        return self.sent_on(self.expect_deposit(name, minor), then)

    @step(target=on_way, agent=AGENTS, minor=MINOR, then=at_once(ON_WAY))
    def is_paid_out(self, agent: str, minor: int, then: Acts) -> Any:
        return self.sent_on(self.pay_out(agent, minor), then)

    def sent_on(self, it: OnWay | None, then: Acts) -> Any:
        if it:
            for act in then:
                self.follow_on_way(it=it, act=act)
        return kept(it)

    @step(it=on_way, act=ON_WAY)
    def follow_on_way(self, it: OnWay, act: str) -> None:
        if act == "take back":
            self.take_back(it)
            return
        for _ in range(2 if act == "two lines" else 1):
            self.bank_line(it)

    @step(comes_back=st.booleans())
    def pays_the_biller(self, comes_back: bool) -> None:
        """A day that is over."""
        self.settle_biller(comes_back=comes_back)

    @step(minor=st.sampled_from([-20_000, -1_000, 2_000, 20_000]))
    def operator_has(self, minor: int) -> None:
        self.operator_line(minor)

    # ---- the clock

    @step(by=STEPS, house_is_kept=st.booleans(), holds_run_out=SELDOM)
    def time_passes(self, by: timedelta, house_is_kept: bool, holds_run_out: bool) -> None:
        self.pass_time(by)
        if holds_run_out:
            self.end_holds()
        if house_is_kept:
            self.keep_house()

    def keep_house(self) -> None:
        """As the schedule does."""
        self.return_vouchers()
        self.expire_codes()
        self.expire_requests()
        self.lapse_stops()
        self.cancel_unsent()
        self.roll_up()

    def teardown(self) -> None:
        """At its end nothing is open, and the whole ledger keeps every rule."""
        if self.sound:
            self.end_bills()
            self.model.now += timedelta(days=8)  # nothing stays open longer
            self.keep_house()
            self.agree()
            self.check_ledger()
