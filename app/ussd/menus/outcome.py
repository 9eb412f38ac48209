"""What became of a confirmation: told after the PIN, and to a session that lost its memory.

A bill's outcome may take a while and has many screens; a transfer is done with its PIN, and its
last screen stands beside its confirmation.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.billers import catalogue, hours, payments
from app.billers.payments import PaymentView
from app.billers.tokens import grouped
from app.errors import DomainError
from app.ussd.menus.services import Services
from app.ussd.states import End, Hop, State, Wait
from app.wallet import intents

SCREEN_OF_STATE = {
    "captured": "bill.paid",
    "released": "bill.returned",
    "cancelled": "bill.cancelled",
    "manual": "bill.manual",
    "returned": "bill.manual",
    "paid_late": "bill.returned",
}
# Kinds of intents that become a transfer, or a withdrawal code: `<kind>.done` tells of them.
DONE_KINDS = (
    "send", "voucher", "cash_out", "withdrawal_code", "cash_in", "code_out", "voucher_collect",
    "float_move", "float_grant",
)  # fmt: skip
BILL_OUTCOMES = (
    "bill.paid",
    "bill.more_tokens",
    "bill.served",
    "bill.accepted",
    "bill.returned",
    "bill.cancelled",
    "bill.manual",
    "bill.progress",
    "bill.open",
    "bill.closed",
)
WITH_TOKENS = ("bill.paid", "bill.more_tokens")
UNTOLD = ("bill.progress", "bill.open", "bill.closed")  # no outcome yet, or none at all
OUTCOMES = (*BILL_OUTCOMES, *(f"{kind}.done" for kind in DONE_KINDS))


def poll(hop: Hop[Services]) -> str | None:
    """The screen of a known outcome; None while there is none."""
    screen = _screen(hop, _view(hop))
    return None if screen == "bill.progress" else screen


def _screen(hop: Hop[Services], view: PaymentView) -> str:
    if view.state == "captured" and len(view.tokens) != 1:
        return "bill.more_tokens" if view.tokens else "bill.served"
    if view.state == "held" and _by_file(hop, view):
        return "bill.accepted"
    return SCREEN_OF_STATE.get(view.state_for_payer, "bill.progress")


def _by_file(hop: Hop[Services], view: PaymentView) -> str:
    """When the day's file of its biller is written; empty for one that is told at once."""
    try:
        _, rules, _ = catalogue.find(hop.market, view.product_code)
    except DomainError:
        return ""
    if rules.family != "file":
        return ""
    zone = hop.market.zone
    return f"{hours.next_cut_off(rules, zone, view.created_at).astimezone(zone):%d/%m %H:%M}"


def of_lost_session(hop: Hop[Services]) -> str | None:
    """After a lost Redis: what became of the intent that this very session opened."""

    def read(session: Session) -> intents.Intent | None:
        found = intents.of_session(session, hop.session_hash)
        if found and found.state == "open":
            intents.abandon(session, found.person_id, now=hop.now)
            session.refresh(found)
        return found

    found = hop.services.db.transact(read)
    if found is None:
        return None
    if found.subject is None:
        return "bill.open" if found.state == "open" else "bill.closed"
    if found.kind in DONE_KINDS:
        hop.data["transfer"] = str(found.subject)
        return f"{found.kind}.done"
    hop.data["payment"] = str(found.subject)
    return _screen(hop, _view(hop))


def _view(hop: Hop[Services]) -> PaymentView:
    payment_id = uuid.UUID(hop.data["payment"])
    return hop.services.db.transact(lambda session: payments.outcome(session, payment_id))


def facts(hop: Hop[Services]) -> dict[str, object]:
    view = _view(hop)
    tokens = [grouped(token) for token in view.tokens]
    return {
        "product": catalogue.product_name(hop.market, view.product_code),
        "customer_no": view.customer_no,
        "amount_minor": view.amount_minor,
        "fee_minor": view.fee_minor,
        "reference": view.reference,
        "token": tokens[0] if tokens else "",
        "tokens": "\n".join(tokens),
        "receipt_line": receipt_line(hop, view),
        "by": _by_file(hop, view),
    }


def receipt_line(hop: Hop[Services], view: PaymentView) -> str:
    """The biller's own receipt number on a line of its own, if it gave one."""
    if not view.receipt_no:
        return ""
    return "\n" + hop.say("menus.bill.receipt", receipt=hop.name(view.receipt_no))


STATES: tuple[State[Any], ...] = (
    Wait(
        "bill.wait",
        poll=poll,
        goes=tuple(name for name in BILL_OUTCOMES if name not in UNTOLD),
        late="bill.progress",
    ),
    *(
        End(
            name,
            text=f"menus.{name}",
            facts=facts,
            reads=True,
            extra_texts=("menus.bill.receipt",) if name == "bill.served" else (),
            private=name in WITH_TOKENS,
            pages=name == "bill.more_tokens",
        )
        for name in BILL_OUTCOMES
        if name not in {"bill.open", "bill.closed"}
    ),
    End("bill.open", text="menus.news.open"),
    End("bill.closed", text="menus.news.not_done"),
)
