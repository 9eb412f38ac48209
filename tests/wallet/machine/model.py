"""Who there is in the model, and the ladder that every movement between them goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.markets.model import Market
from app.markets.tariffs import Operation
from tests.wallet.machine.books import Books, Count, Move, Refused
from tests.wallet.machine.prices import Price, price

AWAKE = ("active", "dormant")
NO_WALLET = ("unknown", "invited")
FREE = Price()
Sms = tuple[UUID | None, str, str]  # about what, kind, number


@dataclass
class Someone:
    """A number. Unknown is who has no wallet yet."""

    number: str
    tier: str = ""
    state: str = "unknown"


@dataclass
class Accrual:
    minor: int
    funded: int
    at: datetime


@dataclass
class Agent:
    above: str | None
    suspended: bool = False
    told_low: bool = False
    accruals: list[Accrual] = field(default_factory=list)
    paid: dict[datetime, int] = field(default_factory=dict)  # by the period's first instant


@dataclass(frozen=True)
class Movement:
    """What is agreed to. `payer` and `payee` are people, whose states and limits count."""

    kind: str
    debit: str
    credit: str
    amount: int
    price: Price = FREE
    fee_payer: str = "sender"
    payer: str | None = None
    payee: str | None = None
    agent: str | None = None

    @property
    def total(self) -> int:
        return self.amount + (self.price.fee if self.fee_payer == "sender" else 0)

    @property
    def received(self) -> int:
        return self.amount - (self.price.fee if self.fee_payer == "receiver" else 0)

    def moves(self) -> list[Move]:
        pays = self.debit if self.fee_payer == "sender" else self.credit
        amount = (self.debit, self.credit, self.amount)
        return [amount, *((pays, account, minor) for account, minor in self.price.shares)]


@dataclass
class Transfer:
    movement: Movement
    at: datetime
    accrued: list[tuple[str, int, int]] = field(default_factory=list)
    reversed: bool = False


@dataclass
class Model:
    """The wallet's rules, one after the other, on one thread."""

    market: Market
    now: datetime
    books: Books = field(default_factory=Books)
    people: dict[str, Someone] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    transfers: dict[UUID, Transfer] = field(default_factory=dict)
    sms: set[Sms] = field(default_factory=set)

    # ---- who may

    def has_wallet(self, name: str) -> bool:
        return self.people[name].state not in NO_WALLET

    def refuse_payer(self, name: str) -> None:
        if self.people[name].state != "active":
            raise Refused("person_suspended")

    def refuse_payee(self, name: str) -> None:
        if self.people[name].state not in AWAKE:
            raise Refused("payee_suspended")

    def refuse_agent(self, name: str) -> None:
        if self.agents[name].suspended or self.people[name].state != "active":
            raise Refused("agent_suspended")

    # ---- how much

    def at_counter(self, amount: int) -> None:
        if amount < self.market.agents.least_minor:
            raise Refused("amount_too_small")
        if amount % self.market.agents.step_minor:
            raise Refused("amount_step")

    def priced(
        self, operation: Operation, amount: int, agent: str | None = None
    ) -> tuple[Price, str]:
        """The fee, and who pays it."""
        tariff = self.market.tariffs[operation][-1]
        if amount <= 0:
            raise Refused("amount_too_small")
        if amount > tariff.most_minor:
            raise Refused("amount_too_large")
        above = agent is not None and self.agents[agent].above is not None
        found = price(self.market, operation, amount, agent=agent is not None, above=above)
        if tariff.payer == "receiver" and found.fee >= amount:
            raise Refused("amount_too_small")
        return found, tariff.payer

    def counts(self, name: str, amount: int) -> list[Count]:
        """What of the payer's day and month it takes."""
        limits = self.market.tiers[self.people[name].tier]
        if amount > limits.per_transaction_minor:
            raise Refused("limit_transaction")
        today = self.now.astimezone(self.market.zone).date()
        return [
            Count((name, "day", today), amount, limits.per_day_minor),
            Count((name, "month", today.replace(day=1)), amount, limits.per_month_minor),
        ]

    def refuse_over_ceiling(self, name: str, gain: int) -> None:
        most = self.market.tiers[self.people[name].tier].balance_minor
        if self.books.money[name] + gain > most:
            raise Refused("limit_balance")

    # ---- what happens

    def carry_out(self, it: Movement, answer: Any, *, hold_id: UUID | None = None) -> Transfer:
        """As `transfers.posting` says; the answer is the wallet's."""
        if it.payer:
            self.refuse_payer(it.payer)
        if it.payee:
            self.refuse_payee(it.payee)
        if it.agent:
            self.refuse_agent(it.agent)
        counts: Sequence[Count] = ()
        if it.payer and it.kind in ("send", "voucher", "cash_out") and hold_id is None:
            counts = self.counts(it.payer, it.amount)
        if it.payee and it.kind in ("send", "voucher_collect", "cash_in"):
            self.refuse_over_ceiling(it.payee, it.received)
        try:
            self.books.post(it.moves(), counts=counts, hold_id=hold_id)
        except Refused as refused:
            raise Refused("intent_closed") if refused.code == "hold_not_held" else refused from None
        done = Transfer(it, self.now)
        if it.agent:
            done.accrued = self.accrue(it.agent, it.price)
        if answer is not None:
            self.transfers[answer.id] = done
        return done

    def take_back(self, done: Transfer) -> int:
        """Reversed as far as the payee still has it; what the payer got, the fee included."""
        given = self.books.reverse(done.movement.moves())
        if not given:
            return 0
        done.reversed = True
        self.take_back_accrued(done.accrued)
        back_to_receiver = done.movement.price.fee if done.movement.fee_payer == "receiver" else 0
        return given - back_to_receiver

    def take_back_accrued(self, accrued: Sequence[tuple[str, int, int]]) -> None:
        for name, minor, funded in accrued:
            self.agents[name].accruals.append(Accrual(-minor, -funded, self.now))

    def accrue(self, agent: str, found: Price) -> list[tuple[str, int, int]]:
        above = self.agents[agent].above
        shares = [(agent, found.earned - found.above), (above or agent, found.above)]
        left, accrued = found.funded, []
        for name, minor in shares:
            if minor:
                accrued.append((name, minor, min(minor, left)))
                left -= accrued[-1][2]
                self.agents[name].accruals.append(Accrual(minor, accrued[-1][2], self.now))
        return accrued

    # ---- who is told

    def tell(self, about: Any, kind: str, name: str) -> None:
        """An SMS to somebody about what the wallet answered, or about an id."""
        subject = about if about is None or isinstance(about, UUID) else about.id
        self.sms.add((subject, kind, self.people[name].number))

    def fell(self, agent: str, about: Any) -> None:
        """Something left a float."""
        one, bound = self.agents[agent], self.market.agents.low_float_minor
        if not one.told_low and self.books.left(float_of(agent)) < bound:
            one.told_low = True
            self.tell(about, "float_low", agent)

    def rose(self, agent: str) -> None:
        if self.books.left(float_of(agent)) >= self.market.agents.low_float_minor:
            self.agents[agent].told_low = False


def float_of(agent: str) -> str:
    return f"float of {agent}"
