"""The menus of the release before, as differences from today's.

Sessions that began with them end with them, and processes of that release know no others. When a
release changes the menus, this file is written anew and `menus.VERSION` counts up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from app.billers import catalogue
from app.errors import DomainError
from app.markets import Market
from app.markets.billers import Product
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.menus import bill, confirm, history, outcome, start
from app.ussd.menus.services import Services
from app.ussd.states import Caller, Hop, Item, Menu, Pick, State

VERSION = "3"
# Categories, what is owed and saved numbers came with version 4.
NEW_STATES = frozenset(
    {"bill.category", "bill.product", "bill.own", "bill.mine", "bill.owed", "bill.whole",
     "bill.nothing_owed", "bill.shut", "history.bill"}
)  # fmt: skip
RENAMED = {"bill.number": "bill.meter", "bill.unknown": "bill.meter_unknown"}
AT_CHOICE = {"bill.category": "bill.product"}  # where an option of today's led then


def _could_be_paid(product: Product) -> bool:
    """Prepaid meters, of whatever amount."""
    return product.pay == "any" and product.inquiry and product.sells == "token"


def arrive(hop: Hop[Services]) -> Caller | None:
    """Only what could be paid can be paid again."""
    person = start.arrive(hop)
    again = hop.data.get("again")
    if again and not _could_be_paid(catalogue.find(hop.market, again[0])[2]):
        hop.forget("again", "again_as")
    return person


def products(hop: Hop[Services]) -> list[Item]:
    found = [one for one in catalogue.products(hop.market, "electricity") if _could_be_paid(one)]
    return [Item(product.code, {"line": product.name}) for product in found]


def choose(hop: Hop[Services], product_code: str) -> str:
    hop.data["product"] = product_code
    return "bill.meter"


def inquire(hop: Hop[Services]) -> str:
    """The answer is not kept: processes of that release agree without it."""
    try:
        customer = hop.services.inquiries.inquire(
            hop.data["product"], hop.data["customer_no"], at=hop.now
        )
    except DomainError as error:
        return {
            "customer_unknown": "bill.meter_unknown",
            "biller_slow": "bill.slow",
        }.get(error.code, "bill.down")
    hop.data["name"] = hop.name(customer.name)
    return "bill.phone" if hop.data.get("counter") else "bill.amount"


def find_repeat(hop: Hop[Services]) -> str:
    """The payment was kept, for the screen that tells of it."""
    view = confirm.paid_before(hop)
    if view is None:
        return "bill.ready"
    hop.data["before"] = view.id.hex
    return "bill.repeat"


def choose_movement(hop: Hop[Services], chosen: str | list[str]) -> str:
    """No number was saved."""
    goes = history.choose_movement(hop, chosen)
    return "history.payment" if goes == "history.bill" else goes


PRODUCTS: Pick[Any] = Pick(
    "bill.product",
    text="menus.bill.title",
    item="menus.bill.line",
    items=products,
    accept=choose,
    goes=("bill.meter",),
    empty="bill.none",
    reads=False,
    search=True,
)


def _changed(states: dict[str, State[Any]]) -> dict[str, dict[str, Any]]:
    """The fields that were different, by the names of today's states."""
    return {
        **{name: {"name": before} for name, before in RENAMED.items()},
        **{name: {"options": _options(states[name])} for name in ("home", "agent")},
        "bill.inquiry": {
            "run": inquire,
            "goes": ("bill.amount", "bill.phone", "bill.meter_unknown", "bill.slow", "bill.down"),
        },
        "bill.repeated": {"run": find_repeat},
        "bill.phone": {"goes": ("bill.amount",)},
        "bill.go_on": {
            "run": partial(confirm.review, anew="bill.product"),
            "goes": ("bill.review", "bill.amount", "bill.product"),
        },
        "bill.ready": {
            "run": partial(confirm.get_ready, anew="bill.product"),
            "goes": ("bill.confirm", "bill.amount", "bill.product"),
        },
        "history.payments": {
            "accept": choose_movement,
            "goes": ("history.payment", "history.transfer", "history.sent", "history.voucher"),
        },
    }


def _options(menu: State[Any]) -> tuple[Any, ...]:
    assert isinstance(menu, Menu)
    return tuple(replace(one, goes=AT_CHOICE.get(one.goes, one.goes)) for one in menu.options)


def shortcuts(market: Market) -> tuple[Shortcut, ...]:
    """Codes of what could be paid, by the names of then."""
    return tuple(
        replace(one, answers=tuple(RENAMED.get(name, name) for name in one.answers))
        for one in bill.shortcuts(market)
        if _could_be_paid(market.product(one.sets["product"])[2])
    )


def book(market: Market, today: tuple[State[Any], ...]) -> MenuBook[Services]:
    """The book of the release before, made from the states of today's."""
    kept = {
        state.name: state
        for state in today
        if state.name not in NEW_STATES and not state.name.startswith("saved.")
    }
    changed = _changed(kept)
    return MenuBook(
        version=VERSION,
        start="enter",
        home="enter",
        states=[
            *(replace(state, **changed.get(name, {})) for name, state in kept.items()),
            PRODUCTS,
        ],
        who=arrive,
        on_unknown_session=outcome.of_lost_session,
        entries=outcome.OUTCOMES,
        shortcuts=shortcuts(market),
        bad_shortcut="bill.shortcut",
        fresh=start.FRESH,
    )
