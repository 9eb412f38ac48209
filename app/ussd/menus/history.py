"""Looking back: my payments, my balance, a lost token again. What shows money asks for the PIN."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.billers import catalogue, favourites, payments
from app.billers.payments import PaymentView
from app.billers.tokens import grouped
from app.ussd.menus.outcome import receipt_line
from app.ussd.menus.services import Services, act_with_pin, caller, open_with_pin
from app.ussd.menus.transfer import told_of_transfer
from app.ussd.states import End, Hop, Item, Menu, Option, Pick, Secret, State
from app.wallet import ledger, people
from app.wallet.transfers import records, stops, vouchers
from app.wallet.transfers.records import TransferView

SHOWN = 5
STATE_KEYS = tuple(
    f"menus.state.{name}"
    for name in (
        "held", "sent", "unknown", "manual", "captured", "released", "cancelled", "returned",
        "paid_late",
    )
)  # fmt: skip


# The words for transfers in a list; `got` is a send as its receiver sees it.
MOVED_KEYS = tuple(
    f"menus.moved.{word}"
    for word in (
        "send", "got", "voucher", "voucher_collect", "cash_in", "cash_out", "float_move",
        "float_payout", "closing", "reversed", "bill", "commission", "deposit",
    )
)  # fmt: skip


def _day(hop: Hop[Services], view: PaymentView | TransferView) -> str:
    return view.created_at.astimezone(hop.market.zone).strftime("%d/%m")


def line(hop: Hop[Services], view: PaymentView) -> Item:
    facts = {
        "day": _day(hop, view),
        "amount_minor": view.amount_minor,
        "customer_no": view.customer_no,
        "state": hop.say(f"menus.state.{view.state_for_payer}"),
    }
    return Item(str(view.id), facts)


def _moved(hop: Hop[Services], view: TransferView) -> Item:
    facts = {
        "day": _day(hop, view),
        "amount_minor": view.amount_minor,
        "state": hop.say(f"menus.moved.{_word(hop, view)}"),
    }
    return Item([view.kind, str(view.id)], facts)


def _word(hop: Hop[Services], view: TransferView) -> str:
    if view.reversed_at is not None:
        return "reversed"
    return "got" if view.kind == "send" and view.payee_id == caller(hop).id else view.kind


def last_movements(hop: Hop[Services]) -> list[Item]:
    """Bills and transfers of a person in one list, newest first."""
    person_id = caller(hop).id

    def read(session: Session) -> list[PaymentView | TransferView]:
        views: list[PaymentView | TransferView] = [
            *payments.recent(session, person_id, SHOWN),
            *records.recent(session, person_id, SHOWN),
        ]
        return sorted(views, key=lambda view: view.created_at, reverse=True)[:SHOWN]

    views = hop.services.db.transact(read)
    return [
        line(hop, view) if isinstance(view, PaymentView) else _moved(hop, view) for view in views
    ]


def choose_movement(hop: Hop[Services], chosen: str | list[str]) -> str:
    if isinstance(chosen, str):
        hop.data["payment"] = chosen
        return "history.bill" if _may_be_saved(hop, chosen) else "history.payment"
    hop.data["transfer"] = chosen[1]
    view = hop.services.db.transact(lambda session: records.outcome(session, uuid.UUID(chosen[1])))
    mine = view.payer_id == caller(hop).id and view.reversed_at is None
    if mine and view.kind == "voucher":
        return "history.voucher" if _waits(hop, view.id) else "history.transfer"
    window = timedelta(seconds=hop.market.stops.window_seconds)
    fresh = mine and view.kind == "send" and hop.now < view.created_at + window
    return "history.sent" if fresh else "history.transfer"


def _may_be_saved(hop: Hop[Services], payment_id: str) -> bool:
    """Whether its number is no favourite yet, and its product still sold."""
    person_id = caller(hop).id

    def read(session: Session) -> bool:
        view = payments.outcome(session, uuid.UUID(payment_id))
        named = favourites.name_of(session, person_id, view.product_code, view.customer_no)
        return named is None and catalogue.is_sold(hop.market, view.product_code)

    return hop.services.db.transact(read)


def _waits(hop: Hop[Services], transfer_id: uuid.UUID) -> bool:
    found = hop.services.db.transact(lambda session: vouchers.of_transfer(session, transfer_id))
    return found is not None and found.state == "open"


def take_back(hop: Hop[Services], pin: str) -> str:
    """The sender cancels what nobody has collected: amount and fee come back."""
    person_id, transfer_id = caller(hop).id, uuid.UUID(hop.data["transfer"])
    act_with_pin(
        hop,
        pin,
        lambda session: vouchers.cancel(session, transfer_id, by=person_id, now=hop.now),
        name="voucher_back",
    )
    return "voucher_back.done"


def transfer_facts(hop: Hop[Services]) -> dict[str, object]:
    transfer_id = uuid.UUID(hop.data["transfer"])
    view = hop.services.db.transact(lambda session: records.outcome(session, transfer_id))
    told = told_of_transfer(hop)
    return {
        **told,
        "who": " ".join(dict.fromkeys(str(told[part]) for part in ("name", "to") if told[part])),
        "at": view.created_at.astimezone(hop.market.zone).strftime("%d/%m/%Y %H:%M"),
        "state": hop.say(f"menus.moved.{_word(hop, view)}"),
    }


def ask_stop(hop: Hop[Services], pin: str) -> str:
    """A wrong number: what the receiver still has is set aside, and staff decide."""
    person_id, transfer_id = caller(hop).id, uuid.UUID(hop.data["transfer"])

    def ask(session: Session) -> None:
        stop = stops.ask(session, hop.market, transfer_id, by=person_id, now=hop.now)
        hop.data["stop"] = stop.reference

    act_with_pin(hop, pin, ask, name="stop")
    return "stop.asked"


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
        "state": hop.say(f"menus.state.{view.state_for_payer}"),
        "day": _day(hop, view),
        "tokens": "\n".join(grouped(token) for token in view.tokens),
        "receipt_line": receipt_line(hop, view),
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
    return [line(hop, view) for view in views]


def choose_token(hop: Hop[Services], payment_id: str) -> str:
    hop.data["payment"] = payment_id
    return "tokens.shown"


STATES: tuple[State[Any], ...] = (
    Pick(
        "history.payments",
        text="menus.payments.title",
        item="menus.payments.line",
        items=last_movements,
        accept=choose_movement,
        goes=(
            "history.payment",
            "history.bill",
            "history.transfer",
            "history.sent",
            "history.voucher",
        ),
        empty="history.none",
        extra_texts=(*STATE_KEYS, *MOVED_KEYS),
    ),
    End(
        "history.transfer",
        text="menus.payments.transfer",
        facts=transfer_facts,
        extra_texts=MOVED_KEYS,
        reads=True,
    ),
    Menu(
        "history.sent",
        text="menus.payments.transfer",
        facts=transfer_facts,
        extra_texts=MOVED_KEYS,
        reads=True,
        options=(Option("menus.stop.option", goes="stop.pin"),),
    ),
    Menu(
        "history.voucher",
        text="menus.payments.transfer",
        facts=transfer_facts,
        extra_texts=MOVED_KEYS,
        reads=True,
        options=(Option("menus.voucher_back.option", goes="voucher_back.pin"),),
    ),
    Secret(
        "voucher_back.pin",
        text="menus.voucher_back.pin",
        facts=transfer_facts,
        accept=take_back,
        goes=("voucher_back.done",),
        refusals=("pin_wrong",),
        ends=("pin_locked", "voucher_unknown"),
        commits=True,
    ),
    End("voucher_back.done", text="menus.voucher_back.done", facts=transfer_facts, reads=True),
    Secret(
        "stop.pin",
        text="menus.stop.pin",
        facts=transfer_facts,
        accept=ask_stop,
        goes=("stop.asked",),
        refusals=("pin_wrong",),
        ends=("pin_locked", "stop_known", "stop_too_late", "stop_not_yours"),
        commits=True,
    ),
    End("stop.asked", text="menus.stop.asked", facts=lambda hop: {"reference": hop.data["stop"]}),
    End("history.none", text="menus.payments.none"),
    End(
        "history.payment",
        text="menus.payments.detail",
        facts=payment_facts,
        extra_texts=(*STATE_KEYS, "menus.bill.receipt"),
        reads=True,
        pages=True,
    ),
    Menu(
        "history.bill",
        text="menus.payments.detail",
        facts=payment_facts,
        extra_texts=(*STATE_KEYS, "menus.bill.receipt"),
        reads=True,
        pages=True,
        options=(Option("menus.saved.option", goes="saved.name"),),
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
