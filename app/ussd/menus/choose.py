"""What is paid for: categories, their products, and first letters that find any product.

bill.category ─┬─▶ bill.product ─┬─▶ bill.own ─┬─▶ bill.number (`bill`)
               ├─────────────────┘             └─▶ bill.mine ─▶ bill.inquiry
               └─▶ saved.list (`saved`)
"""

from __future__ import annotations

from typing import Any

from app import msisdn as numbers
from app.billers import catalogue
from app.markets.billers import CATEGORIES, Product
from app.ussd.menus.services import Services, at_counter
from app.ussd.states import End, Hop, Item, Menu, Option, Pick, State, Step

SAVED, CATEGORY, PRODUCT = "saved", "category", "product"
CATEGORY_KEYS = tuple(f"menus.category.{category}" for category in CATEGORIES)


def categories(hop: Hop[Services]) -> list[Item]:
    """What this market sells, below the person's own numbers."""
    found = [
        Item([CATEGORY, category], {"line": hop.say(f"menus.category.{category}")})
        for category in catalogue.categories(hop.market)
    ]
    if hop.data.get("saved") and not at_counter(hop):
        return [Item([SAVED, ""], {"line": hop.say("menus.bill.saved")}), *found]
    return found


def products(hop: Hop[Services]) -> list[Item]:
    """Those of the category that was chosen, or of the product when one was."""
    category = hop.data.get("category")
    if category is None:
        _, _, product = catalogue.find(hop.market, hop.data["product"])
        category = product.category
    return [_line(hop, each) for each in catalogue.products(hop.market, category)]


def every_product(hop: Hop[Services]) -> list[Item]:
    return [_line(hop, product) for product in catalogue.products(hop.market)]


def _line(hop: Hop[Services], product: Product) -> Item:
    """A product is found by the name of its category too."""
    facts = {"line": product.name, "category": hop.say(f"menus.category.{product.category}")}
    return Item([PRODUCT, product.code], facts)


def choose(hop: Hop[Services], chosen: list[str]) -> str:
    kind, code = chosen
    if kind == SAVED:
        return "saved.list"
    if kind == PRODUCT:
        return chosen_product(hop, code)
    hop.data["category"] = code
    found = catalogue.products(hop.market, code)
    return chosen_product(hop, found[0].code) if len(found) == 1 else "bill.product"


def chosen_product(hop: Hop[Services], code: str) -> str:
    """Where its number is asked for; the caller's own phone is one key."""
    hop.data["product"] = code
    hop.forget("category")
    _, _, product = catalogue.find(hop.market, code)
    mine = product.customer.kind == "phone" and not at_counter(hop)
    return "bill.own" if mine else "bill.number"


def own_facts(hop: Hop[Services]) -> dict[str, object]:
    return {
        "product": catalogue.product_name(hop.market, hop.data["product"]),
        "customer_no": numbers.local(hop.msisdn),
    }


def take_own(hop: Hop[Services]) -> str:
    hop.data["customer_no"] = numbers.local(hop.msisdn)
    return "bill.inquiry"


STATES: tuple[State[Any], ...] = (
    Pick(
        "bill.category",
        text="menus.bill.title",
        item="menus.bill.line",
        items=categories,
        accept=choose,
        goes=("saved.list", "bill.product", "bill.own", "bill.number"),
        empty="bill.none",
        extra_texts=("menus.bill.saved", *CATEGORY_KEYS),
        reads=False,
        search=True,
        among=every_product,
    ),
    Pick(
        "bill.product",
        text="menus.bill.title",
        item="menus.bill.line",
        items=products,
        accept=choose,
        goes=("bill.own", "bill.number"),
        empty="bill.category",
        reads=False,
        search=True,
        among=every_product,
    ),
    End("bill.none", text="menus.bill.none"),
    Menu(
        "bill.own",
        text="menus.bill.own",
        facts=own_facts,
        options=(
            Option("menus.bill.own_number", goes="bill.mine"),
            Option("menus.bill.other_number", goes="bill.number"),
        ),
    ),
    Step("bill.mine", run=take_own, goes=("bill.inquiry",), reads=False),
)
