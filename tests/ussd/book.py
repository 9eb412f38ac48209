"""A small menu book that uses every kind of state, and the played services behind it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import DomainError, OutcomeUnknown
from app.ussd.menubook import MenuBook
from app.ussd.states import (
    Ask,
    Caller,
    End,
    Hop,
    Item,
    Menu,
    Option,
    Pick,
    Secret,
    State,
    Step,
    Wait,
)
from tests.ussd.texts import catalogues

PIN = "7391826450"
AMINA = Caller(uuid.UUID(int=7), "Amina", "customer")


@dataclass
class Played:
    """What the book's functions act on: it counts what ran, and can be told to misbehave.

    `dials` and `ran` count what a first hop and an input have set off. Money moves once an intent,
    as it does in the ledger: `paid` are (session hash, amount), `intents` names each one's place.
    """

    paid: list[tuple[bytes, int]] = field(default_factory=list)
    intents: dict[str, int] = field(default_factory=dict)
    dials: int = 0
    ran: int = 0
    attempts: int = 0
    inputs: list[tuple[bytes, str]] = field(default_factory=list)
    outcome_after: float = 0.0
    listed: list[int] = field(default_factory=lambda: [100, 200, 300])
    before_commit: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None
    fails_with: Exception | None = None
    who_fails_with: Exception | None = None
    biller_seconds: float = 0.0
    polls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    paid_at: float = 0.0
    kept_besides: str = ""

    def runs(self) -> None:
        with self.lock:
            self.ran += 1

    def saw(self, hop: Hop[Played], typed: str) -> None:
        with self.lock:
            self.inputs.append((hop.session_hash, typed))

    def pay(self, hop: Hop[Played], intent: str, amount: int) -> None:
        with self.lock:
            if intent not in self.intents:
                self.paid.append((hop.session_hash, amount))
                self.intents[intent] = len(self.paid)
                self.paid_at = time.monotonic()

    def outcome_of(self, session_hash: bytes) -> str | None:
        """The state that tells what became of a session that Redis has lost."""
        with self.lock:
            return "outcome" if any(who == session_hash for who, _ in self.paid) else None


def who(hop: Hop[Played]) -> Caller | None:
    with hop.services.lock:
        hop.services.dials += 1
    if hop.services.who_fails_with:
        raise hop.services.who_fails_with
    return None if hop.msisdn.endswith("9") else AMINA


def parse_amount(hop: Hop[Played], typed: str) -> int:
    hop.services.runs()
    hop.services.saw(hop, typed)
    if not typed.isdecimal():
        raise DomainError("not_a_number")
    if int(typed) > 9_999_999_999:
        raise DomainError("too_much", most_minor=100_000)
    return int(typed)


def accept_amount(hop: Hop[Played], amount: int) -> str:
    hop.data["amount"] = amount
    hop.data["intent"] = uuid.uuid4().hex
    if hop.services.kept_besides:
        hop.data["besides"] = hop.services.kept_besides
    return "pin"


def confirm(hop: Hop[Played], pin: str) -> str:
    played = hop.services
    played.runs()
    with played.lock:
        played.attempts += 1
    if pin != PIN:
        if played.attempts % 3 == 0:
            raise DomainError("pin_locked", lock_seconds=1700)
        raise DomainError("pin_wrong", left=3 - played.attempts % 3)
    played.before_commit()
    if played.fails_with:
        raise played.fails_with
    played.pay(hop, hop.data["intent"], hop.data["amount"])
    played.after_commit()
    return "wait"


def poll(hop: Hop[Played]) -> str | None:
    hop.services.polls += 1
    return "paid" if time.monotonic() > hop.services.paid_at + hop.services.outcome_after else None


def paid_facts(hop: Hop[Played]) -> dict[str, object]:
    return {"amount": hop.data["amount"], "count": hop.services.intents[hop.data["intent"]]}


def lines(hop: Hop[Played]) -> list[Item]:
    return [
        Item(amount, {"day": f"{at:02d}/01", "amount_minor": amount * 100})
        for at, amount in enumerate(hop.services.listed, 1)
    ]


def pick(hop: Hop[Played], value: int) -> str:
    hop.services.runs()
    hop.data["which"] = value
    return "one"


def ask_biller(hop: Hop[Played]) -> str:
    hop.services.runs()
    time.sleep(hop.services.biller_seconds)
    return "biller"


def first_pin(hop: Hop[Played], pin: str) -> str:
    hop.services.runs()
    hop.seal("pin", pin)
    return "second"


def second_pin(hop: Hop[Played], pin: str) -> str:
    hop.services.runs()
    hop.services.before_commit()
    return "changed" if hop.unseal("pin") == pin else "differ"


def to_swahili(hop: Hop[Played]) -> str:
    hop.language = "sw"
    return "language"


def check_pin(hop: Hop[Played], pin: str) -> str:
    hop.services.runs()
    if pin != PIN:
        raise DomainError("pin_wrong", left=1)
    hop.services.before_commit()
    return "balance"


def amount_facts(hop: Hop[Played]) -> dict[str, object]:
    return {"amount": hop.data["amount"]}


STATES: tuple[State[Played], ...] = (
    Step("enter", run=lambda _: "main", goes=("main",), reads=False),
    Menu(
        "main",
        text="menus.t.main",
        facts=lambda hop: {"name": hop.person.name if hop.person else "stranger"},
        options=(
            Option("menus.t.pay", goes="amount"),
            Option("menus.t.list", goes="list"),
            Option("menus.t.terms", goes="terms"),
            Option("menus.t.balance", goes="balance.pin"),
            Option("menus.t.swahili", goes="swahili"),
            Option("menus.t.ask_biller", goes="ask_biller"),
            Option("menus.t.hidden", goes="terms", when=lambda _: False),
            Option("menus.t.new_pin", goes="first", sets={"from": "main"}),
        ),
    ),
    Ask(
        "amount",
        text="menus.t.amount",
        parse=parse_amount,
        accept=accept_amount,
        goes=("pin",),
        refusals=("not_a_number", "too_much"),
        reads=True,
    ),
    Secret(
        "pin",
        text="menus.t.pin",
        again="menus.t.pin_again",
        facts=amount_facts,
        accept=confirm,
        goes=("wait",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
        commits=True,
    ),
    Wait("wait", poll=poll, goes=("paid",), late="late", seconds=0.6),
    End("paid", text="menus.t.paid", facts=paid_facts, reads=True, private=True),
    End("late", text="menus.t.late"),
    Pick(
        "list",
        text="menus.t.list",
        item="menus.t.line",
        items=lines,
        accept=pick,
        goes=("one",),
        empty="none",
    ),
    End("none", text="menus.t.none"),
    End("one", text="menus.t.one", facts=lambda hop: {"which": hop.data["which"]}),
    End("terms", text="menus.t.long", pages=True),
    Secret(
        "balance.pin",
        text="menus.t.balance_pin",
        accept=check_pin,
        goes=("balance",),
        refusals=("pin_wrong", "too_much"),
        ends=("too_poor",),
    ),
    End(
        "balance",
        text="menus.t.balance_shown",
        facts=lambda _: {"amount_minor": 123_456},
        private=True,
    ),
    Step("swahili", run=to_swahili, goes=("language",), reads=False),
    End("language", text="menus.t.language"),
    Step("ask_biller", run=ask_biller, goes=("biller",), slow=True, crowded="crowded"),
    End("biller", text="menus.t.biller"),
    End("crowded", text="menus.t.crowded"),
    Secret("first", text="menus.t.first", accept=first_pin, goes=("second",)),
    Secret(
        "second",
        text="menus.t.second",
        accept=second_pin,
        goes=("changed", "differ"),
        repeats=True,
        commits=True,
    ),
    End("changed", text="menus.t.changed"),
    End("differ", text="menus.t.differ"),
    End("outcome", text="menus.t.outcome"),
)


def book(version: str = "t1") -> MenuBook[Played]:
    return MenuBook(
        version=version,
        start="enter",
        home="enter",
        states=STATES,
        who=who,
        on_unknown_session=lambda hop: hop.services.outcome_of(hop.session_hash),
        entries=("outcome",),
    )


__all__ = ["AMINA", "PIN", "OutcomeUnknown", "Played", "book", "catalogues"]
