"""Pay a bill: product → customer number → amount → `confirm` → `outcome`.

A code that is dialled whole, `*384*123*51*METER*AMOUNT#`, goes the same way without the questions.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app import msisdn as numbers
from app.billers import catalogue, quotes
from app.billers.quotes import Quote, WalkIn, quote
from app.errors import DomainError
from app.markets import Market
from app.ussd.menubook import Shortcut
from app.ussd.menus.agreement import note_price
from app.ussd.menus.services import Services, acting_agent
from app.ussd.states import Ask, End, Hop, Item, Pick, State, Step
from app.wallet.keys import new_key


def products(hop: Hop[Services]) -> list[Item]:
    found = catalogue.products(hop.market, "electricity")
    return [Item(product.code, {"product": product.name}) for product in found]


def choose(hop: Hop[Services], product_code: str) -> str:
    hop.data["product"] = product_code
    return "bill.meter"


def choose_again(hop: Hop[Services]) -> str:
    hop.data["product"], hop.data["customer_no"] = hop.data["again"]
    return "bill.inquiry"


def product_facts(hop: Hop[Services]) -> dict[str, object]:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return {"product": product.name, "digits": catalogue.digits(product)}


def name_facts(hop: Hop[Services]) -> dict[str, object]:
    """Only the name: a product of an earlier payment may have left the market file."""
    return {"product": catalogue.product_name(hop.market, hop.data["product"])}


def parse_meter(hop: Hop[Services], typed: str) -> str:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return catalogue.customer_number(product, typed, hop.market.region)


def accept_meter(hop: Hop[Services], customer_no: str) -> str:
    hop.data["customer_no"] = customer_no
    return "bill.inquiry"


def inquire(hop: Hop[Services]) -> str:
    """Ask the biller whose meter this is; no money and no transaction is open."""
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


def amount_facts(hop: Hop[Services]) -> dict[str, object]:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return {
        "name": hop.data["name"],
        "customer_no": hop.data["customer_no"],
        "least_minor": product.least_minor,
        "most_minor": product.most_minor,
    }


def parse_amount(hop: Hop[Services], typed: str) -> Quote:
    amount_minor = hop.market.currency.parse(typed)
    data = hop.data
    return quote(
        hop.market, data["product"], data["customer_no"], data["name"], amount_minor,
        at=hop.now, walk_in=walk_in(hop),
    )  # fmt: skip


def accept_amount(hop: Hop[Services], quoted: Quote) -> str:
    """Another amount is another intent, at the price of now."""
    hop.data["amount"] = quoted.amount_minor
    note_price(hop)
    hop.data["intent"] = str(new_key())
    return "bill.repeated"


def parse_phone(hop: Hop[Services], typed: str) -> str:
    return numbers.parse(typed, hop.market.region)


def accept_phone(hop: Hop[Services], msisdn: str) -> str:
    """Whom the agent pays for: the receipt goes there, and the token in it."""
    agent = hop.services.db.transact(lambda session: acting_agent(hop, session))
    at_counter = quotes.at_counter(agent, msisdn)
    hop.data["walkin"] = [
        str(at_counter.agent_id), at_counter.float_id, at_counter.has_super_agent, msisdn,
    ]  # fmt: skip
    return "bill.amount"


def walk_in(hop: Hop[Services]) -> WalkIn | None:
    """The customer at the counter of the agent on the phone."""
    if not hop.data.get("walkin"):
        return None
    agent_id, float_id, has_super_agent, msisdn = hop.data["walkin"]
    return WalkIn(UUID(agent_id), float_id, has_super_agent, msisdn)


def shortcut_facts(hop: Hop[Services]) -> dict[str, object]:
    """How the code is dialled; the first of the market's, for one that was never whole."""
    stem = hop.service_code.removesuffix("#")
    return {"stem": stem, "number": min(hop.market.shortcuts), "code": hop.service_code}


def nothing_under_way(hop: Hop[Services]) -> bool:
    """While a confirmation is being worked on, home says so instead: it may be this very bill."""
    news = hop.data.get("news")
    return not news or news[0] != "open"


def shortcuts(market: Market) -> tuple[Shortcut, ...]:
    """A product's code goes through meter and amount to the confirmation."""
    return tuple(
        Shortcut(
            number,
            at="home",
            answers=("bill.meter", "bill.amount"),
            sets={"product": product_code},
            when=nothing_under_way,
        )
        for number, product_code in market.shortcuts.items()
    )


_METER_REFUSALS = ("customer_number_length", "customer_number_check")
_AMOUNT_REFUSALS = ("amount_not_a_number", "amount_too_small", "amount_too_large", "amount_step")
STATES: tuple[State[Any], ...] = (
    Pick(
        "bill.product",
        text="menus.bill.title",
        item="menus.bill.product",
        items=products,
        accept=choose,
        goes=("bill.meter",),
        empty="bill.none",
        reads=False,
        search=True,
    ),
    End("bill.none", text="menus.bill.none"),
    Ask(
        "bill.meter",
        text="menus.bill.meter",
        facts=product_facts,
        parse=parse_meter,
        accept=accept_meter,
        goes=("bill.inquiry",),
        refusals=_METER_REFUSALS,
    ),
    Ask(
        "bill.meter_unknown",
        text="menus.bill.meter_unknown",
        facts=product_facts,
        parse=parse_meter,
        accept=accept_meter,
        goes=("bill.inquiry",),
        refusals=_METER_REFUSALS,
    ),
    Step("bill.again", run=choose_again, goes=("bill.inquiry",), reads=False),
    Step(
        "bill.inquiry",
        run=inquire,
        goes=("bill.amount", "bill.phone", "bill.meter_unknown", "bill.slow", "bill.down"),
        slow=True,
        crowded="bill.slow",
    ),
    End("bill.slow", text="menus.bill.slow", facts=name_facts),
    End("bill.down", text="menus.bill.down", facts=name_facts),
    Ask(
        "bill.amount",
        text="menus.bill.amount",
        facts=amount_facts,
        parse=parse_amount,
        accept=accept_amount,
        goes=("bill.repeated",),
        refusals=_AMOUNT_REFUSALS,
    ),
    Ask(
        "bill.phone",
        text="menus.bill.phone",
        parse=parse_phone,
        accept=accept_phone,
        goes=("bill.amount",),
        refusals=("msisdn_invalid", "own_number"),
        ends=("agent_suspended",),
        reads=True,
    ),
    End("bill.shortcut", text="menus.bill.shortcut", facts=shortcut_facts),
)
