"""Looking back: my payments, my balance, a lost token again. What shows money asks for the PIN."""

from __future__ import annotations

import uuid
from typing import Any

from app.billers import catalogue, payments
from app.billers.payments import PaymentView
from app.billers.tokens import grouped
from app.ussd.menus.services import Services, caller, open_with_pin
from app.ussd.states import End, Hop, Item, Pick, Secret, State
from app.wallet import ledger, people

SHOWN = 5
STATE_KEYS = tuple(
    f"menus.state.{name}"
    for name in (
        "held", "sent", "unknown", "manual", "captured", "released", "cancelled", "returned",
        "paid_late",
    )
)  # fmt: skip


def _day(hop: Hop[Services], view: PaymentView) -> str:
    return view.created_at.astimezone(hop.market.zone).strftime("%d/%m")


def _line(hop: Hop[Services], view: PaymentView) -> Item:
    facts = {
        "day": _day(hop, view),
        "amount_minor": view.amount_minor,
        "customer_no": view.customer_no,
        "state": hop.say(f"menus.state.{view.state}"),
    }
    return Item(str(view.id), facts)


def last_payments(hop: Hop[Services]) -> list[Item]:
    person_id = caller(hop).id
    views = hop.services.db.transact(lambda session: payments.recent(session, person_id, SHOWN))
    return [_line(hop, view) for view in views]


def choose_payment(hop: Hop[Services], payment_id: str) -> str:
    hop.data["payment"] = payment_id
    return "history.payment"


def payment_facts(hop: Hop[Services]) -> dict[str, object]:
    payment_id = uuid.UUID(hop.data["payment"])
    view = hop.services.db.transact(lambda session: payments.outcome(session, payment_id))
    return {
        "product": catalogue.product_name(hop.market, view.product_code),
        "customer_no": view.customer_no,
        "amount_minor": view.amount_minor,
        "fee_minor": view.fee_minor,
        "at": view.created_at.astimezone(hop.market.zone).strftime("%d/%m/%Y %H:%M"),
        "reference": view.reference,
        "state": hop.say(f"menus.state.{view.state}"),
        "day": _day(hop, view),
        "tokens": "\n".join(grouped(token) for token in view.tokens),
    }


def open_balance(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "balance.shown"


def balance_facts(hop: Hop[Services]) -> dict[str, object]:
    person_id = caller(hop).id
    balance = hop.services.db.transact(
        lambda session: ledger.balance(session, people.get(session, person_id).wallet_id)
    )
    return {"available_minor": balance.available_minor, "held_minor": balance.held_minor}


def open_tokens(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "tokens.list"


def last_tokens(hop: Hop[Services]) -> list[Item]:
    person_id = caller(hop).id
    views = hop.services.db.transact(lambda session: payments.tokens(session, person_id, SHOWN))
    return [_line(hop, view) for view in views]


def choose_token(hop: Hop[Services], payment_id: str) -> str:
    hop.data["payment"] = payment_id
    return "tokens.shown"


STATES: tuple[State[Any], ...] = (
    Pick(
        "history.payments",
        text="menus.payments.title",
        item="menus.payments.line",
        items=last_payments,
        accept=choose_payment,
        goes=("history.payment",),
        empty="history.none",
        extra_texts=STATE_KEYS,
    ),
    End("history.none", text="menus.payments.none"),
    End(
        "history.payment",
        text="menus.payments.detail",
        facts=payment_facts,
        extra_texts=STATE_KEYS,
        reads=True,
    ),
    Secret(
        "balance.pin",
        text="menus.balance.pin",
        accept=open_balance,
        goes=("balance.shown",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
    End("balance.shown", text="menus.balance.shown", facts=balance_facts, reads=True, private=True),
    Secret(
        "tokens.pin",
        text="menus.tokens.pin",
        accept=open_tokens,
        goes=("tokens.list",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
    Pick(
        "tokens.list",
        text="menus.tokens.title",
        item="menus.tokens.line",
        items=last_tokens,
        accept=choose_token,
        goes=("tokens.shown",),
        empty="tokens.none",
        private=True,
    ),
    End("tokens.none", text="menus.tokens.none"),
    End(
        "tokens.shown",
        text="menus.tokens.shown",
        facts=payment_facts,
        extra_texts=STATE_KEYS,
        reads=True,
        private=True,
        pages=True,
    ),
)
