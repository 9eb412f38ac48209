"""Pay a bill: product → customer number → amount → confirmation with PIN → `outcome`.

The confirmation asks for the PIN: what the person agrees to and the agreement are one screen.
Showing it makes the intent that lets the money move once.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.billers import catalogue, payments
from app.billers.quotes import Quote, quote
from app.errors import DomainError
from app.markets import Market
from app.text.width import clip
from app.ussd.menubook import Shortcut
from app.ussd.menus.history import STATE_KEYS
from app.ussd.menus.services import Services, caller, check_pin
from app.ussd.states import Ask, End, Hop, Item, Menu, Option, Pick, Secret, State, Step
from app.wallet import intents, people
from app.wallet.keys import new_key

NAME_MOST = 20


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
    return {"product": product.name, "digits": product.customer_digits}


def name_facts(hop: Hop[Services]) -> dict[str, object]:
    """Only the name: a product of an earlier payment may have left the market file."""
    return {"product": catalogue.product_name(hop.market, hop.data["product"])}


def parse_meter(hop: Hop[Services], typed: str) -> str:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return catalogue.customer_number(product, typed)


def accept_meter(hop: Hop[Services], customer_no: str) -> str:
    hop.data["customer_no"] = customer_no
    return "bill.inquiry"


def inquire(hop: Hop[Services]) -> str:
    """Ask the biller whose meter this is; no money and no transaction is open."""
    try:
        customer = hop.services.inquiries.inquire(hop.data["product"], hop.data["customer_no"])
    except DomainError as error:
        return {
            "customer_unknown": "bill.meter_unknown",
            "biller_slow": "bill.slow",
        }.get(error.code, "bill.down")
    hop.data["name"] = clip(customer.name, NAME_MOST)
    return "bill.amount"


def amount_facts(hop: Hop[Services]) -> dict[str, object]:
    _, _, product = catalogue.find(hop.market, hop.data["product"])
    return {
        "name": hop.data["name"],
        "customer_no": hop.data["customer_no"],
        "least_minor": product.min_minor,
        "most_minor": product.max_minor,
    }


def parse_amount(hop: Hop[Services], typed: str) -> Quote:
    amount_minor = hop.market.currency.parse(typed)
    return quote(
        hop.market, hop.data["product"], hop.data["customer_no"], hop.data["name"], amount_minor
    )


def accept_amount(hop: Hop[Services], quoted: Quote) -> str:
    """Another amount is another intent."""
    hop.data["amount"] = quoted.amount_minor
    hop.data["intent"] = str(new_key())
    _about_to_show(hop, quoted)
    return "bill.repeated"


def _about_to_show(hop: Hop[Services], quoted: Quote) -> None:
    """What the confirmation shows is what is agreed to; the deadline runs from showing it."""
    deadline = hop.now + timedelta(seconds=hop.market.confirm_seconds)
    hop.data["shown"] = quoted.fingerprint.hex()
    hop.data["deadline"] = int(deadline.timestamp())


def find_repeat(hop: Hop[Services]) -> str:
    """Ask first when the same was paid a little while ago: a lost screen looks like no payment."""
    person_id, agreed = caller(hop).id, quoted(hop)
    since = hop.now - timedelta(seconds=hop.market.repeat_seconds)
    view = hop.services.db.transact(
        lambda session: payments.same_since(
            session,
            person_id,
            product_code=agreed.product_code,
            customer_no=agreed.customer_no,
            amount_minor=agreed.amount_minor,
            since=since,
        )
    )
    if view is None:
        return "bill.confirm"
    minutes = max(1, int((hop.now - view.created_at).total_seconds() // 60))
    hop.data["before"] = [minutes, view.state, view.reference]
    return "bill.repeat"


def repeat_facts(hop: Hop[Services]) -> dict[str, object]:
    minutes, state, reference = hop.data["before"]
    return {
        "amount_minor": hop.data["amount"],
        "customer_no": hop.data["customer_no"],
        "minutes": minutes,
        "state": hop.say(f"menus.state.{state}"),
        "reference": reference,
    }


def go_on(hop: Hop[Services]) -> str:
    """A confirmation that was cut off: the same intent, at the price of now."""
    try:
        _about_to_show(hop, quoted(hop))
    except DomainError:
        return "bill.amount"
    return "bill.review"


def quoted(hop: Hop[Services]) -> Quote:
    data = hop.data
    return quote(hop.market, data["product"], data["customer_no"], data["name"], data["amount"])


def confirm_facts(hop: Hop[Services]) -> dict[str, object]:
    shown = quoted(hop)
    return {
        "product": shown.product_name,
        "customer_no": shown.customer_no,
        "name": shown.customer_name,
        "amount_minor": shown.amount_minor,
        "fee_minor": shown.fee_minor,
        "total_minor": shown.total_minor,
    }


def confirm(hop: Hop[Services], pin: str) -> str:
    """One right PIN, one intent, one payment, whatever is retried.

    The intent is of what the screen showed: a tariff that changed since is refused, not charged.
    """
    services, person_id, agreed = hop.services, caller(hop).id, quoted(hop)
    intent_id = uuid.UUID(hop.data["intent"])

    def note_intent(session: Session) -> None:
        intents.open_intent(
            session,
            intent_id,
            session_hash=hop.session_hash,
            person_id=person_id,
            kind="bill_payment",
            fingerprint=bytes.fromhex(hop.data["shown"]),
            deadline=datetime.fromtimestamp(hop.data["deadline"], UTC),
            now=hop.now,
        )

    def pay(session: Session) -> uuid.UUID:
        services.pins.passed(session, person_id)
        person = people.get(session, person_id)
        return payments.confirm(
            session, hop.market, person=person, intent_id=intent_id, quote=agreed, now=hop.now
        ).id

    check_pin(hop, pin, also=note_intent)

    try:
        payment_id = services.db.transact(pay, name="confirm", idempotent=True)
    except DomainError as error:
        if not error.retryable:
            services.db.transact(lambda session: _refused(hop, session, person_id))
        raise
    hop.data["payment"] = str(payment_id)
    return "bill.wait"


def _refused(hop: Hop[Services], session: Session, person_id: uuid.UUID) -> None:
    """The PIN was right though the money did not move: the try is given back."""
    hop.services.pins.passed(session, person_id)
    intents.abandon(session, person_id, now=hop.now)


def shortcut_facts(hop: Hop[Services]) -> dict[str, object]:
    """How the code is dialled; the first of the market's, for one that was never whole."""
    stem = hop.service_code.removesuffix("#")
    return {"stem": stem, "number": min(hop.market.shortcuts), "code": hop.service_code}


def shortcuts(market: Market) -> tuple[Shortcut, ...]:
    """A product's code goes through meter and amount to the confirmation."""
    return tuple(
        Shortcut(
            number,
            at="home",
            answers=("bill.meter", "bill.amount"),
            sets={"product": product_code},
        )
        for number, product_code in market.shortcuts.items()
    )


_METER_REFUSALS = ("customer_number_length", "customer_number_check")
_AMOUNT_REFUSALS = ("amount_not_a_number", "amount_too_small", "amount_too_large", "amount_step")
_PAY_REFUSALS = (
    "pin_locked",
    "insufficient_funds",
    "limit_transaction",
    "limit_day",
    "intent_closed",
    "intent_changed",
    "intent_expired",
    "person_suspended",
    "biller_paused",
    "biller_down",
)

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
        goes=("bill.amount", "bill.meter_unknown", "bill.slow", "bill.down"),
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
    Step("bill.repeated", run=find_repeat, goes=("bill.confirm", "bill.repeat")),
    Menu(
        "bill.repeat",
        text="menus.bill.repeat",
        facts=repeat_facts,
        options=(Option("menus.bill.repeat_pay", goes="bill.confirm"),),
        extra_texts=STATE_KEYS,
    ),
    Step("bill.go_on", run=go_on, goes=("bill.review", "bill.amount"), reads=False),
    Menu(
        "bill.review",
        text="menus.bill.review",
        facts=confirm_facts,
        options=(Option("menus.bill.review_pay", goes="bill.confirm"),),
    ),
    End("bill.shortcut", text="menus.bill.shortcut", facts=shortcut_facts),
    Secret(
        "bill.confirm",
        text="menus.bill.confirm",
        facts=confirm_facts,
        accept=confirm,
        goes=("bill.wait",),
        refusals=("pin_wrong",),
        ends=_PAY_REFUSALS,
        again="menus.bill.confirm_again",
        commits=True,
        resume="bill.go_on",
    ),
)
