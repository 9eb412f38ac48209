"""Pay a bill: `choose` → customer number → the biller is asked → `amount` → `confirm` → `outcome`.

A code that is dialled whole, `*384*123*51*METER*AMOUNT#`, goes the same way without the questions.
"""

from __future__ import annotations

from typing import Any

from app import msisdn as numbers
from app.billers import catalogue, quotes
from app.errors import DomainError
from app.markets import Market
from app.markets.billers import Product
from app.ussd.menubook import Shortcut
from app.ussd.menus.amount import AMOUNT_STATES, how_much, keep
from app.ussd.menus.services import Services, acting_agent, at_counter
from app.ussd.states import Ask, End, Hop, State, Step

NUMBER_REFUSALS = (
    "customer_number_length",
    "customer_number_form",
    "customer_number_check",
    "msisdn_invalid",
)
_WHERE = {
    "customer_unknown": "bill.unknown",
    "nothing_owed": "bill.nothing_owed",
    "biller_closed": "bill.shut",
    "biller_slow": "bill.slow",
    **dict.fromkeys(NUMBER_REFUSALS, "bill.unknown"),  # the rules of its numbers have changed
}


def choose_again(hop: Hop[Services]) -> str:
    hop.data["product"], hop.data["customer_no"] = hop.data["again"]
    return "bill.inquiry"


def number_facts(hop: Hop[Services]) -> dict[str, object]:
    """What is asked for, and what was typed last."""
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return {
        "product": product.name,
        "hint": catalogue.hint(product, hop.language),
        "customer_no": hop.data.get("customer_no", ""),
    }


def name_facts(hop: Hop[Services]) -> dict[str, object]:
    """Only the name: a product of an earlier payment may have left the market file."""
    return {
        "product": catalogue.product_name(hop.market, hop.data["product"]),
        "customer_no": hop.data["customer_no"],
    }


def hours_facts(hop: Hop[Services]) -> dict[str, object]:
    _, rules, product = catalogue.find(hop.market, hop.data["product"])
    return {
        "product": product.name,
        "opens": f"{rules.opens:%H:%M}",
        "cut_off": f"{rules.cut_off:%H:%M}",
    }


def parse_number(hop: Hop[Services], typed: str) -> str:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return catalogue.customer_number(product, typed, hop.market.region)


def accept_number(hop: Hop[Services], customer_no: str) -> str:
    hop.data["customer_no"] = customer_no
    return "bill.inquiry"


def inquire(hop: Hop[Services]) -> str:
    """Ask the biller whose number this is and what is owed; no money and no transaction is open."""
    try:
        bill = hop.services.inquiries.inquire(
            hop.data["product"], hop.data["customer_no"], at=hop.now
        )
    except DomainError as error:
        return _WHERE.get(error.code, "bill.down")
    keep(hop, bill)
    return "bill.phone" if at_counter(hop) else how_much(hop)


def parse_phone(hop: Hop[Services], typed: str) -> str:
    return numbers.parse(typed, hop.market.region)


def accept_phone(hop: Hop[Services], msisdn: str) -> str:
    """Whom the agent pays for: the receipt goes there, and the token in it.

    The session has no room for what home says besides.
    """
    agent = hop.services.db.transact(lambda session: acting_agent(hop, session))
    who = quotes.at_counter(agent, msisdn)
    hop.data["walkin"] = [who.agent_id.hex, who.float_id, who.has_super_agent, msisdn]
    hop.forget("news", "again", "again_as", "saved", "counter")
    return how_much(hop)


def shortcut_facts(hop: Hop[Services]) -> dict[str, object]:
    """How the code of this product is dialled."""
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    form = "amount" if product.pay == "any" else "whole"
    stem = f"{hop.service_code.removesuffix('#')}*{product.shortcut}"
    return {
        "product": product.name,
        "form": hop.say(f"menus.bill.form_{form}", stem=stem),
        "code": hop.service_code,
    }


def nothing_under_way(hop: Hop[Services]) -> bool:
    """While a confirmation is being worked on, home says so instead: it may be this very bill."""
    news = hop.data.get("news")
    return not news or news[0] != "open"


def shortcuts(market: Market) -> tuple[Shortcut, ...]:
    """A product's code goes through number and amount to the confirmation."""
    return tuple(
        Shortcut(
            product.shortcut,
            at="home",
            answers=_answers(product),
            sets={"product": product.code},
            when=nothing_under_way,
        )
        for product in catalogue.products(market)
        if product.shortcut
    )


def _answers(product: Product) -> tuple[str, ...]:
    """An amount is dialled only where as much as one likes is bought."""
    return ("bill.number", "bill.amount") if product.pay == "any" else ("bill.number",)


STATES: tuple[State[Any], ...] = (
    Ask(
        "bill.number",
        text="menus.bill.number",
        facts=number_facts,
        parse=parse_number,
        accept=accept_number,
        goes=("bill.inquiry",),
        refusals=NUMBER_REFUSALS,
    ),
    Ask(
        "bill.unknown",
        text="menus.bill.unknown",
        facts=number_facts,
        again="menus.bill.number",
        parse=parse_number,
        accept=accept_number,
        goes=("bill.inquiry",),
        refusals=NUMBER_REFUSALS,
    ),
    Step("bill.again", run=choose_again, goes=("bill.inquiry",), reads=False),
    Step(
        "bill.inquiry",
        run=inquire,
        goes=(
            *AMOUNT_STATES,
            "bill.phone",
            "bill.unknown",
            "bill.nothing_owed",
            "bill.shut",
            "bill.slow",
            "bill.down",
        ),
        slow=True,
        crowded="bill.slow",
    ),
    End("bill.nothing_owed", text="menus.bill.nothing_owed", facts=name_facts),
    End("bill.shut", text="menus.bill.shut", facts=hours_facts),
    End("bill.slow", text="menus.bill.slow", facts=name_facts),
    End("bill.down", text="menus.bill.down", facts=name_facts),
    Ask(
        "bill.phone",
        text="menus.bill.phone",
        parse=parse_phone,
        accept=accept_phone,
        goes=AMOUNT_STATES,
        refusals=("msisdn_invalid", "own_number"),
        ends=("agent_suspended",),
        reads=True,
    ),
    End(
        "bill.shortcut",
        text="menus.bill.shortcut",
        facts=shortcut_facts,
        extra_texts=("menus.bill.form_amount", "menus.bill.form_whole"),
    ),
)
