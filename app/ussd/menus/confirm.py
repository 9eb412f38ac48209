"""The confirmation of a bill: what is agreed to and the agreement, the PIN, are one screen.

Showing it makes the intent that lets the money move once. Whoever paid just this a little while
ago is asked first; whoever was cut off here comes back by way of `bill.review`, with the same
intent.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.billers import payments
from app.billers.payments import PaymentView
from app.billers.quotes import Quote, quote
from app.errors import DomainError
from app.ussd.menus.history import STATE_KEYS
from app.ussd.menus.services import Services, caller, check_pin
from app.ussd.states import Hop, Menu, Option, Secret, State, Step
from app.wallet import intents, people
from app.wallet.keys import new_key


def find_repeat(hop: Hop[Services]) -> str:
    """Ask first when the same was paid a little while ago: a lost screen looks like no payment."""
    person_id, agreed = caller(hop).id, quoted(hop)
    since = hop.now - timedelta(seconds=hop.market.repeat_seconds)
    view = hop.services.db.transact(lambda session: _same(session, person_id, agreed, since))
    if view is None:
        return "bill.ready"
    hop.data["before"] = view.id.hex
    return "bill.repeat"


def repeat_facts(hop: Hop[Services]) -> dict[str, object]:
    before = uuid.UUID(hop.data["before"])
    view = hop.services.db.transact(lambda session: payments.outcome(session, before))
    return {
        "amount_minor": view.amount_minor,
        "customer_no": view.customer_no,
        "minutes": max(1, int((hop.now - view.created_at).total_seconds() // 60)),
        "state": hop.say(f"menus.state.{view.state}"),
        "reference": view.reference,
    }


def review(hop: Hop[Services]) -> str:
    """For somebody who was cut off here: the same intent, at the price of now."""
    hop.data["priced"] = int(hop.now.timestamp())
    return _if_still_sold(hop, "bill.review")


def get_ready(hop: Hop[Services]) -> str:
    """The confirmation is shown next: what it shows is agreed to, and its time begins."""
    goes = _if_still_sold(hop, "bill.confirm")
    if goes == "bill.confirm":
        note_shown(hop)
    return goes


def note_shown(hop: Hop[Services]) -> None:
    """An intent keeps its time and price from its first PIN on: shown anew it is a new one."""
    if hop.data.get("tried") == hop.data["intent"]:
        hop.data["intent"] = str(new_key())
    deadline = hop.now + timedelta(seconds=hop.market.confirm_seconds)
    hop.data["shown"] = quoted(hop).fingerprint.hex()
    hop.data["deadline"] = int(deadline.timestamp())


def _if_still_sold(hop: Hop[Services], goes: str) -> str:
    """`goes`, or where to choose anew when the market has changed since."""
    try:
        quoted(hop)
    except DomainError as error:
        return "bill.product" if error.code == "product_unknown" else "bill.amount"
    return goes


def quoted(hop: Hop[Services]) -> Quote:
    """At the price of when the amount was given, also when midnight has passed since."""
    data = hop.data
    at = datetime.fromtimestamp(data["priced"], UTC) if "priced" in data else hop.now
    return quote(
        hop.market, data["product"], data["customer_no"], data["name"], data["amount"], at=at
    )


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
    hop.data["tried"] = hop.data["intent"]
    deadline = datetime.fromtimestamp(hop.data["deadline"], UTC)
    shown_at = deadline - timedelta(seconds=hop.market.confirm_seconds)

    def note_intent(session: Session) -> None:
        intents.open_intent(
            session,
            intent_id,
            session_hash=hop.session_hash,
            person_id=person_id,
            kind="bill_payment",
            fingerprint=bytes.fromhex(hop.data["shown"]),
            deadline=deadline,
            now=hop.now,
        )

    def pay(session: Session) -> uuid.UUID:
        services.pins.passed(session, person_id)  # from here on a person's PINs wait in a row
        _refuse_just_paid(session, person_id, agreed, intent_id, shown_at)
        intents.supersede(session, intent_id, hop.session_hash, now=hop.now)
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


def _refused(hop: Hop[Services], session: Session, person_id: uuid.UUID) -> None:
    """The PIN was right though the money did not move: the try is given back."""
    hop.services.pins.passed(session, person_id)
    intents.abandon(session, person_id, now=hop.now)


_PAY_REFUSALS = (
    "pin_locked",
    "just_paid",
    "insufficient_funds",
    "limit_transaction",
    "limit_day",
    "limit_month",
    "not_offered_yet",
    "intent_closed",
    "intent_changed",
    "intent_expired",
    "person_suspended",
    "biller_paused",
    "biller_down",
)

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
        run=review,
        goes=("bill.review", "bill.amount", "bill.product"),
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
        run=get_ready,
        goes=("bill.confirm", "bill.amount", "bill.product"),
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
