"""A small book for going on after a cut, and for codes dialled whole; and what it acts on."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from app.errors import DomainError
from app.gateways.wire import UssdGateway
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.states import (
    Ask,
    Caller,
    End,
    Hop,
    Item,
    Menu,
    Option,
    Pick,
    Resume,
    Secret,
    State,
    Step,
    Wait,
)
from tests.ussd.book import PIN, Played
from tests.ussd.phone import AT, Bench, Phone
from tests.ussd.texts import SHOP

JUMA = Caller(uuid.UUID(int=8), "Juma", "customer")
METER_MOST, AMOUNT_MOST = 8, 6
WRONG_PIN = "1111111111"

# Where a session that was cut off at a state goes on, if no PIN was tried in it.
GOES_ON = {
    "meter": "meter",
    "amount": "amount",
    "confirm": "review",
    "review": "review",
    "hint": "hint",
    "year": "year",
    "kinds": "kinds",
    "list": "list",
}
ASKS_PIN = {"confirm", "pin"}


@dataclass
class Shop(Played):
    """`who` is registered under a number; `right` counts the right PINs given for an intent."""

    who: dict[str, Caller | None] = field(default_factory=dict)
    right: Counter[str] = field(default_factory=Counter)
    tried: int = 0


def who(hop: Hop[Shop]) -> Caller | None:
    with hop.services.lock:
        hop.services.dials += 1
    if hop.services.who_fails_with:
        raise hop.services.who_fails_with
    return hop.services.who.get(hop.msisdn, JUMA)


def digits(hop: Hop[Shop], typed: str, most: int) -> str:
    hop.services.runs()
    hop.services.saw(hop, typed)
    if not (typed.isascii() and typed.isdecimal()):
        raise DomainError("not_a_number")
    if len(typed) > most:
        raise DomainError("too_long")
    return typed


def accept_meter(hop: Hop[Shop], meter: str) -> str:
    hop.data["meter"] = meter
    return "amount"


def accept_amount(hop: Hop[Shop], amount: str) -> str:
    hop.data.update(amount=int(amount), intent=uuid.uuid4().hex)
    return "confirm"


def confirm(hop: Hop[Shop], pin: str) -> str:
    shop, intent = hop.services, hop.data["intent"]
    shop.runs()
    with shop.lock:
        shop.tried += 1
    if pin != PIN:
        raise DomainError("pin_wrong", left=2)
    shop.before_commit()
    with shop.lock:
        shop.right[intent] += 1
    shop.pay(hop, intent, hop.data["amount"])
    shop.after_commit()
    return "wait"


def poll(hop: Hop[Shop]) -> str | None:
    shop = hop.services
    return "paid" if time.monotonic() > shop.paid_at + shop.outcome_after else None


def first(hop: Hop[Shop], pin: str) -> str:
    hop.services.runs()
    hop.seal("pin", pin)
    return "hint"


def accept_hint(hop: Hop[Shop], hint: str) -> str:
    hop.data["hint"] = hint
    return "done"


def accept_year(hop: Hop[Shop], year: str) -> str:
    hop.data["year"] = year
    return "kinds"


def check_pin(hop: Hop[Shop], pin: str) -> str:
    hop.services.runs()
    if pin != PIN:
        raise DomainError("pin_wrong", left=2)
    return "figures"


def to_swahili(hop: Hop[Shop]) -> str:
    hop.language = "sw"
    return "main"


def pick(hop: Hop[Shop], value: int) -> str:
    hop.services.runs()
    return "done"


def data(hop: Hop[Shop]) -> dict[str, Any]:
    known = ("meter", "amount", "year")
    return {name: hop.data[name] for name in known if name in hop.data}


REFUSALS = ("not_a_number", "too_long")
STATES: tuple[State[Shop], ...] = (
    Step(
        "enter",
        run=lambda hop: "main" if hop.left is None else "resume",
        goes=("main", "resume"),
        reads=False,
    ),
    Resume("resume", "menus.s.resume", "menus.s.go_on", "menus.s.again", again="main"),
    Menu(
        "main",
        "menus.s.main",
        options=(
            Option("menus.s.pay", goes="meter"),
            Option("menus.s.new_pin", goes="first"),
            Option("menus.s.figures", goes="year"),
            Option("menus.s.swahili", goes="swahili"),
        ),
        facts=lambda hop: {"name": hop.person.name if hop.person else ""},
    ),
    Ask(
        "meter",
        "menus.s.meter",
        parse=lambda hop, typed: digits(hop, typed, METER_MOST),
        accept=accept_meter,
        goes=("amount",),
        refusals=REFUSALS,
        reads=True,
    ),
    Ask(
        "amount",
        "menus.s.amount",
        parse=lambda hop, typed: digits(hop, typed, AMOUNT_MOST),
        accept=accept_amount,
        goes=("confirm",),
        refusals=REFUSALS,
        facts=data,
        reads=True,
    ),
    Secret(
        "confirm",
        "menus.s.confirm",
        accept=confirm,
        goes=("wait",),
        refusals=("pin_wrong",),
        facts=data,
        commits=True,
        resume="review",
    ),
    Menu(
        "review",
        "menus.s.review",
        options=(Option("menus.s.pay", goes="confirm"),),
        facts=data,
    ),
    Wait("wait", poll=poll, goes=("paid",), late="late", seconds=0.6),
    End("paid", "menus.s.paid", facts=data, private=True),
    End("late", "menus.s.late"),
    Secret("first", "menus.s.first", accept=first, goes=("hint",), new=True),
    Ask(
        "hint",
        "menus.s.hint",
        parse=lambda _, typed: typed,
        accept=accept_hint,
        goes=("done",),
    ),
    End("done", "menus.s.done"),
    Ask(
        "year",
        "menus.s.year",
        parse=lambda hop, typed: digits(hop, typed, 4),
        accept=accept_year,
        goes=("kinds",),
        refusals=REFUSALS,
        reads=True,
    ),
    Menu(
        "kinds",
        "menus.s.kinds",
        options=(
            Option("menus.s.open", goes="figures"),
            Option("menus.s.closed", goes="pin"),
            Option("menus.s.list", goes="list"),
        ),
        facts=data,
    ),
    Secret("pin", "menus.s.pin", accept=check_pin, goes=("figures",), refusals=("pin_wrong",)),
    Menu(
        "figures",
        "menus.s.shown",
        options=(Option("menus.s.pay", goes="meter"),),
        facts=data,
        private=True,
    ),
    Pick(
        "list",
        "menus.s.list",
        item="menus.s.line",
        items=lambda _: [Item(number, {"which": number}) for number in (1, 2, 3)],
        accept=pick,
        goes=("done",),
        empty="done",
    ),
    Step("swahili", run=to_swahili, goes=("main",), reads=False),
    End("bad_code", "menus.s.bad_code"),
    End("outcome", "menus.s.done"),
)
SHORTCUTS = (
    Shortcut("51", at="main", answers=("meter", "amount"), sets={"by": "code"}),
    Shortcut("512", at="main", answers=("meter",)),
)


def book(version: str) -> MenuBook[Shop]:
    return MenuBook(
        version=version,
        start="enter",
        home="enter",
        states=STATES,
        who=who,
        on_unknown_session=lambda hop: hop.services.outcome_of(hop.session_hash),
        entries=("outcome",),
        shortcuts=SHORTCUTS,
        bad_shortcut="bad_code",
    )


def bench(redis_url: str, **more: Any) -> Bench:
    return Bench(redis_url, played=Shop(), book=book, texts=SHOP, **more)


def redial(phone: Phone, gateway: UssdGateway = AT, msisdn: str = "") -> Phone:
    """The next session of that number: what is on the phone after dialling."""
    other = phone.bench.phone(msisdn or phone.msisdn, gateway)
    other.dial()
    return other
