"""How much is paid: what was typed, all that is owed, or the price; and for whom.

    bill.inquiry (`bill`) ─┬─▶ bill.amount ───────────────▶ bill.repeated (`confirm`)
                           ├─▶ bill.owed ─┬─▶ bill.amount        ▲
                           │              └─▶ bill.whole ────────┤
                           └─▶ bill.whole ───────────────────────┘

The session keeps of the biller's answer what the payment needs: what is owed, and both names of the
inquiry; of a prepaid meter that is nothing. The lines of a bill are kept until a confirmation is
shown, as many as have room.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.billers import catalogue, quotes
from app.billers.protocols.answers import Bill
from app.billers.quotes import Quote, WalkIn, quote
from app.markets.billers import Product
from app.text.width import clip
from app.ussd.menus.agreement import note_price
from app.ussd.menus.services import Services
from app.ussd.states import Ask, Hop, Menu, Option, State, Step
from app.wallet.keys import new_key

LINES_MOST = 3
LABEL_MOST = 12
AMOUNT_STATES = ("bill.amount", "bill.owed", "bill.whole")


def keep(hop: Hop[Services], bill: Bill) -> None:
    """What the biller said, as small as it can be; with the local day on which it said so."""
    hop.data["name"] = hop.name(bill.name)
    hop.forget("bill", "lines")
    if bill.owed_minor or bill.bill_ref or bill.biller_ref:
        hop.data["bill"] = [bill.owed_minor, bill.bill_ref, bill.biller_ref, _today(hop)]
    if bill.lines:
        shown = [
            [clip(line.label, LABEL_MOST), line.amount_minor, line.penalty_minor]
            for line in bill.lines[:LINES_MOST]
        ]
        hop.data["lines"] = [len(bill.lines) - len(shown), *shown]


def kept(hop: Hop[Services]) -> Bill | None:
    if "bill" not in hop.data:
        return None
    owed, bill_ref, biller_ref, asked_on = hop.data["bill"]
    number, name = hop.data["customer_no"], hop.data["name"]
    day = date.fromordinal(asked_on)
    return Bill(number, name, owed, bill_ref=bill_ref, biller_ref=biller_ref, asked_on=day)


def is_stale(hop: Hop[Services]) -> bool:
    """Whether it is of a day before, at a biller whose inquiry and payment belong to one day."""
    _, rules, _ = catalogue.find(hop.market, hop.data["product"])
    return rules.same_day and "bill" in hop.data and hop.data["bill"][3] != _today(hop)


def _today(hop: Hop[Services]) -> int:
    return hop.now.astimezone(hop.market.zone).date().toordinal()


def how_much(hop: Hop[Services]) -> str:
    """Where it is said how much is paid."""
    product = _product(hop)
    if product.owes:
        return "bill.owed"
    return "bill.whole" if product.pay == "fixed" else "bill.amount"


def _product(hop: Hop[Services]) -> Product:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return product


def is_free(hop: Hop[Services]) -> bool:
    """Whether as much as one likes is bought, and nothing is owed."""
    return _product(hop).pay == "any"


def is_part(hop: Hop[Services]) -> bool:
    """Whether more or less than the whole may be paid."""
    return _product(hop).pay != "exact"


def is_exact(hop: Hop[Services]) -> bool:
    return not is_part(hop)


def whose(hop: Hop[Services]) -> dict[str, object]:
    """The number, and the name above it where the biller has said one."""
    name = hop.data["name"]
    return {"whose": f"{name}\n" if name else "", "customer_no": hop.data["customer_no"]}


def owed_facts(hop: Hop[Services]) -> dict[str, object]:
    return {**whose(hop), "lines": _lines(hop), "owed_minor": hop.data["bill"][0]}


def _lines(hop: Hop[Services]) -> str:
    """`08/2026 1,200 +50`, a line each, the penalty behind its plus."""
    if "lines" not in hop.data:
        return ""
    more, *shown = hop.data["lines"]
    said = [
        f"{label} {_bare(hop, amount_minor)}"
        + (f" +{_bare(hop, penalty_minor)}" if penalty_minor else "")
        for label, amount_minor, penalty_minor in shown
    ]
    if more:
        said.append(hop.say("menus.bill.more", count=more))
    return "".join(f"{line}\n" for line in said)


def _bare(hop: Hop[Services], amount_minor: int) -> str:
    """An amount without its currency, and without decimals that are nothing."""
    currency = hop.market.currency
    written = currency.format(amount_minor).removeprefix(f"{currency.code} ")
    return written.removesuffix("." + "0" * currency.exponent)


def amount_facts(hop: Hop[Services]) -> dict[str, object]:
    least_minor, most_minor = quotes.bounds(_product(hop), kept(hop))
    return {**whose(hop), "least_minor": least_minor, "most_minor": most_minor}


def quoted(hop: Hop[Services], amount_minor: int, at: datetime) -> Quote:
    """What it costs at the price of an instant. Raises what `quote` raises."""
    data = hop.data
    return quote(
        hop.market, data["product"], data["customer_no"], data["name"], amount_minor,
        at=at, walk_in=walk_in(hop), bill=kept(hop),
    )  # fmt: skip


def parse_amount(hop: Hop[Services], typed: str) -> Quote:
    return quoted(hop, hop.market.currency.parse(typed), hop.now)


def accept_amount(hop: Hop[Services], agreed: Quote) -> str:
    """Another amount is another intent, at the price of now."""
    hop.data["amount"] = agreed.amount_minor
    note_price(hop)
    hop.data["intent"] = new_key().hex
    return "bill.repeated"


def take_whole(hop: Hop[Services]) -> str:
    """All that is owed, or the price."""
    amount_minor = _product(hop).price_minor or hop.data["bill"][0]
    return accept_amount(hop, quoted(hop, amount_minor, hop.now))


def walk_in(hop: Hop[Services]) -> WalkIn | None:
    """The customer at the counter of the agent on the phone."""
    if not hop.data.get("walkin"):
        return None
    agent_id, float_id, has_super_agent, msisdn = hop.data["walkin"]
    return WalkIn(UUID(agent_id), float_id, has_super_agent, msisdn)


_REFUSALS = (
    "amount_not_a_number", "amount_too_small", "amount_too_large", "amount_step",
)  # fmt: skip
STATES: tuple[State[Any], ...] = (
    Menu(
        "bill.owed",
        text="menus.bill.owed",
        facts=owed_facts,
        extra_texts=("menus.bill.more",),
        pages=True,
        options=(
            Option("menus.bill.pay", goes="bill.whole", when=is_exact),
            Option("menus.bill.pay_all", goes="bill.whole", when=is_part),
            Option("menus.bill.pay_other", goes="bill.amount", when=is_part),
        ),
    ),
    Step(
        "bill.whole",
        run=take_whole,
        goes=("bill.repeated",),
        ends=("amount_too_large", "amount_step"),
        reads=False,
    ),
    Ask(
        "bill.amount",
        text="menus.bill.amount",
        facts=amount_facts,
        parse=parse_amount,
        accept=accept_amount,
        goes=("bill.repeated",),
        refusals=_REFUSALS,
    ),
)
