"""The confirmation of a bill: what is agreed to and the agreement, the PIN, are one screen.

Showing it makes the intent that lets the money move once. Whoever paid just this a little while
ago is asked first; whoever was cut off here comes back by way of `bill.review`, with the same
intent.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from app.billers import payments
from app.billers.payments import PaymentView
from app.billers.quotes import Quote
from app.errors import DomainError
from app.ussd.menus import amount
from app.ussd.menus.agreement import (
    REFUSALS,
    agree,
    note_price,
    note_shown,
    priced_at,
    shown_at,
)
from app.ussd.menus.amount import whose
from app.ussd.menus.history import STATE_KEYS
from app.ussd.menus.services import Services, caller
from app.ussd.states import Hop, Menu, Option, Secret, State, Step
from app.wallet import intents, people

SESSION_MOST_SECONDS = 3_600


def find_repeat(hop: Hop[Services]) -> str:
    """Ask first when the same was paid a little while ago: a lost screen looks like no payment."""
    return "bill.ready" if paid_before(hop) is None else "bill.repeat"


def paid_before(hop: Hop[Services], besides_seconds: int = 0) -> PaymentView | None:
    """The newest payment of just this within the market's time, and `besides_seconds` before."""
    person_id, agreed = caller(hop).id, quoted(hop)
    since = hop.now - timedelta(seconds=hop.market.repeat_seconds + besides_seconds)
    return hop.services.db.transact(lambda session: _same(session, person_id, agreed, since))


def repeat_facts(hop: Hop[Services]) -> dict[str, object]:
    """Found again, also by whoever comes back here later in a session that was continued."""
    view = paid_before(hop, SESSION_MOST_SECONDS)
    if view is None:
        raise DomainError("intent_changed")
    return {
        "amount_minor": view.amount_minor,
        "customer_no": view.customer_no,
        "minutes": max(1, int((hop.now - view.created_at).total_seconds() // 60)),
        "state": hop.say(f"menus.state.{view.state}"),
        "reference": view.reference,
    }


def review(hop: Hop[Services], *, anew: str) -> str:
    """For somebody who was cut off here: the same intent, at the price of now."""
    note_price(hop)
    return _if_still_so(hop, "bill.review", anew)


def get_ready(hop: Hop[Services], *, anew: str) -> str:
    """The confirmation is shown next: what it shows is agreed to, and its time begins.

    The session has no room for the lines of a bill beside it.
    """
    goes = _if_still_so(hop, "bill.confirm", anew)
    if goes == "bill.confirm":
        note_shown(hop, quoted(hop).fingerprint)
        hop.forget("lines")
    return goes


def _if_still_so(hop: Hop[Services], goes: str, anew: str) -> str:
    """`goes`, or where to choose `anew` when the market has changed since, or the day."""
    try:
        quoted(hop)
    except DomainError as error:
        sold = error.code != "product_unknown"
        return "bill.amount" if sold and amount.is_free(hop) else anew
    return anew if amount.is_stale(hop) else goes


def quoted(hop: Hop[Services]) -> Quote:
    """At the price of when the amount was given, also when midnight has passed since."""
    return amount.quoted(hop, hop.data["amount"], priced_at(hop))


def confirm_facts(hop: Hop[Services]) -> dict[str, object]:
    shown = quoted(hop)
    return {
        **whose(hop),
        "product": shown.product_name,
        "amount_minor": shown.amount_minor,
        "fee_minor": shown.fee_minor,
        "total_minor": shown.total_minor,
    }


def confirm(hop: Hop[Services], pin: str) -> str:
    """The intent is of what the screen showed: a tariff that changed since is refused."""
    person_id, agreed, since = caller(hop).id, quoted(hop), shown_at(hop)

    def pay(session: Session, intent_id: uuid.UUID) -> uuid.UUID:
        _refuse_just_paid(session, person_id, agreed, intent_id, since)
        person = people.get(session, person_id)
        return payments.confirm(
            session, hop.market, person=person, intent_id=intent_id, quote=agreed, now=hop.now
        ).id

    hop.data["payment"] = str(agree(hop, pin, kind="bill_payment", act=pay, name="confirm"))
    return "bill.wait"


def _refuse_just_paid(
    session: Session, person_id: uuid.UUID, agreed: Quote, intent_id: uuid.UUID, since: datetime
) -> None:
    """Two confirmations of one bill stood open, and the other one was faster."""
    view = _same(session, person_id, agreed, since)
    if view is not None and not intents.became(session, intent_id, view.id):
        raise DomainError("just_paid", reference=view.reference)


def _same(
    session: Session, person_id: uuid.UUID, agreed: Quote, since: datetime
) -> PaymentView | None:
    return payments.same_since(
        session,
        person_id,
        product_code=agreed.product_code,
        customer_no=agreed.customer_no,
        amount_minor=agreed.amount_minor,
        since=since,
    )


_PAY_REFUSALS = (
    *REFUSALS, "just_paid", "bill_used", "bill_old", "biller_closed", "biller_paused",
    "biller_down", "agent_suspended",
)  # fmt: skip

STATES: tuple[State[Any], ...] = (
    Step("bill.repeated", run=find_repeat, goes=("bill.ready", "bill.repeat")),
    Menu(
        "bill.repeat",
        text="menus.bill.repeat",
        facts=repeat_facts,
        reads=True,
        options=(Option("menus.bill.repeat_pay", goes="bill.ready"),),
        extra_texts=STATE_KEYS,
    ),
    Step(
        "bill.go_on",
        run=partial(review, anew="bill.category"),
        goes=("bill.review", "bill.amount", "bill.category"),
        reads=False,
    ),
    Menu(
        "bill.review",
        text="menus.bill.review",
        facts=confirm_facts,
        options=(Option("menus.bill.review_pay", goes="bill.repeated"),),
    ),
    Step(
        "bill.ready",
        run=partial(get_ready, anew="bill.category"),
        goes=("bill.confirm", "bill.amount", "bill.category"),
        reads=False,
    ),
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
