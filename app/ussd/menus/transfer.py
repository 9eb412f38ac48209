"""The states that every movement between people and agents shares: amount, confirmation, outcome.

    <s>.amount ─▶ <s>.repeated ─┬────────────────▶ <s>.ready ─▶ <s>.confirm ─▶ <s>.done
                                └─▶ <s>.repeat ──▶     ▲              │ cut off
                                                       └─ <s>.review ◀┘ <s>.go_on

A Flow says what is particular: the offer and how it is carried out. What is asked before the amount
(a number, an agent's code) has states of its own and leaves its answer in `hop.data`; a flow whose
amount is known has the states of `agreeing` only and starts with `begin`. Texts are
`menus.<s>.amount`, `.confirm`, `.confirm_again`, `.review` and `.done`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.errors import DomainError
from app.ussd.menus.agreement import (
    REFUSALS,
    agree,
    note_price,
    note_shown,
    priced_at,
    shown_at,
)
from app.ussd.menus.services import Services, caller
from app.ussd.states import Ask, End, Hop, Keys, Menu, Option, Secret, State, Step
from app.wallet import agents, intents, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers import records
from app.wallet.transfers.offers import Offer
from app.wallet.transfers.records import TransferView

AMOUNT_REFUSALS = ("amount_not_a_number", "amount_too_small", "amount_too_large", "amount_step")
# What can have changed about the parties since they were named.
PARTY_REFUSALS = ("person_unknown", "payee_suspended", "limit_balance", "agent_suspended")


@dataclass(frozen=True)
class Flow:
    """A movement that the caller confirms; its methods are the functions of its states.

    `offer(hop, session, amount_minor, at)` is what it costs, from what `hop.data` holds;
    `carry_out(hop, session, offered, intent_id)` posts it and gives the id of what it became.
    `told(hop)` gives the facts of its last screen, by the id in `hop.data["transfer"]`. `subject`
    is also the kind of the intent and the name of the transaction. `refusals` are its own.
    """

    subject: str
    offer: Callable[[Hop[Services], Session, int, datetime], Offer]
    carry_out: Callable[[Hop[Services], Session, Offer, uuid.UUID], uuid.UUID]
    told: Callable[[Hop[Services]], Mapping[str, object]]
    refusals: Keys = ()

    def name(self, state: str) -> str:
        return f"{self.subject}.{state}"

    def text(self, state: str) -> str:
        return f"menus.{self.subject}.{state}"

    def offered(self, hop: Hop[Services], session: Session) -> Offer:
        """At the price of when the amount was given, also when midnight has passed since."""
        return self.offer(hop, session, hop.data.get("amount", 0), priced_at(hop))

    def parse(self, hop: Hop[Services], typed: str) -> Offer:
        amount_minor = hop.market.currency.parse(typed)
        return hop.services.db.transact(
            lambda session: self.offer(hop, session, amount_minor, hop.now)
        )

    def accept(self, hop: Hop[Services], chosen: Offer) -> str:
        """Another amount is another intent, at the price of now."""
        hop.data["amount"], hop.data["intent"] = chosen.amount_minor, new_key().hex
        note_price(hop)
        return self.name("repeated")

    def find_repeat(self, hop: Hop[Services]) -> str:
        """Ask first when just this was done shortly before: a lost screen looks like nothing."""
        since = hop.now - timedelta(seconds=hop.market.repeat_seconds)
        before = hop.services.db.transact(
            lambda session: records.same_since(session, self.offered(hop, session), since)
        )
        if before is None:
            return self.name("ready")
        hop.data["before"] = before.reference
        hop.data["minutes"] = max(1, int((hop.now - before.created_at).total_seconds() // 60))
        return self.name("repeat")

    def facts(self, hop: Hop[Services]) -> dict[str, object]:
        return facts_of(hop, hop.services.db.transact(lambda session: self.offered(hop, session)))

    def repeat_facts(self, hop: Hop[Services]) -> dict[str, object]:
        again = {"reference": hop.data["before"], "minutes": hop.data["minutes"]}
        return {**self.facts(hop), **again}

    def review(self, hop: Hop[Services]) -> str:
        """For somebody who was cut off here: the same intent, at the price of now."""
        note_price(hop)
        hop.services.db.transact(lambda session: self.offered(hop, session))
        return self.name("review")

    def get_ready(self, hop: Hop[Services]) -> str:
        """The confirmation is shown next: what it shows is agreed to, and its time begins."""
        offer = hop.services.db.transact(lambda session: self.offered(hop, session))
        note_shown(hop, offer.fingerprint)
        return self.name("confirm")

    def begin(self, hop: Hop[Services]) -> str:
        """Where a movement starts whose amount is known: another intent, at the price of now."""
        hop.data["intent"] = new_key().hex
        note_price(hop)
        return self.name("ready")

    def confirm(self, hop: Hop[Services], pin: str) -> str:
        since = shown_at(hop)

        def act(session: Session, intent_id: uuid.UUID) -> uuid.UUID:
            done = intents.subject_of(session, intent_id)
            if done is not None:  # its COMMIT was lost: what it was offered for may be gone
                return done
            offer = self.offered(hop, session)
            _refuse_just_done(session, offer, intent_id, since)
            return self.carry_out(hop, session, offer, intent_id)

        hop.data["transfer"] = str(agree(hop, pin, kind=self.subject, act=act, name=self.subject))
        return self.name("done")


def facts_of(hop: Hop[Services], offer: Offer) -> dict[str, object]:
    return {
        "amount_minor": offer.amount_minor,
        "fee_minor": offer.fee_minor,
        "total_minor": offer.total_minor,
        "received_minor": offer.received_minor,
        "name": hop.name(offer.name),
        "to": hop.data.get("to") or (numbers.local(offer.msisdn) if offer.msisdn else ""),
    }


def payee_of(hop: Hop[Services], msisdn: str) -> Person | None:
    """Whose wallet a number is; None while it has none.

    Raises DomainError `own_number`, `payee_suspended`.
    """
    if msisdn == hop.msisdn:
        raise DomainError("own_number")
    payee = hop.services.db.transact(lambda session: people.find(session, msisdn))
    if payee is None or payee.state == "invited":
        return None
    if not people.may_receive(payee):
        raise DomainError("payee_suspended")
    return payee


def told_of_transfer(hop: Hop[Services]) -> dict[str, object]:
    """The facts of a transfer that was carried out, as the caller sees it."""
    transfer_id, me = uuid.UUID(hop.data["transfer"]), caller(hop).id

    def read(session: Session) -> tuple[TransferView, str]:
        view = records.outcome(session, transfer_id)
        return view, other_party(session, view, me)

    view, name = hop.services.db.transact(read)
    others = view.msisdn is not None and view.msisdn != hop.msisdn
    got = view.payee_id == me
    paid_fee = (view.fee_payer == "receiver") == got
    return {
        "amount_minor": view.received_minor if got else view.amount_minor,
        "fee_minor": view.fee_minor if paid_fee else 0,
        "total_minor": view.total_minor,
        "received_minor": view.received_minor,
        "name": hop.name(name),
        "to": numbers.local(view.msisdn) if view.msisdn and others else "",
        "reference": view.reference,
    }


def other_party(session: Session, view: TransferView, me: uuid.UUID) -> str:
    """Whom a person moved money with: a masked name, an agent's name, or a number."""
    if view.kind == "float_move" and view.msisdn:
        payee = people.find(session, view.msisdn)
        kiosk = agents.of_person(session, payee.id) if payee and payee.id != me else None
        if kiosk:
            return kiosk.name
    for person_id in (view.payee_id, view.payer_id):
        if person_id is not None and person_id != me:
            return people.masked(people.get(session, person_id).name)
    if view.agent_id is not None:
        agent = agents.get(session, view.agent_id)
        if agent.person_id != me:
            return agent.name
    return numbers.local(view.msisdn) if view.msisdn else ""


def asking(flow: Flow) -> tuple[State[Any], ...]:
    """The amount, and whether it was done a moment ago."""
    name = flow.name
    return (
        Ask(
            name("amount"),
            text=flow.text("amount"),
            facts=whom,
            parse=flow.parse,
            accept=flow.accept,
            goes=(name("repeated"),),
            refusals=AMOUNT_REFUSALS,
            ends=_each(PARTY_REFUSALS, flow.refusals, ("not_offered_yet",)),
            reads=True,
        ),
        Step(
            name("repeated"),
            run=flow.find_repeat,
            goes=(name("ready"), name("repeat")),
            ends=_late(flow),
        ),
        Menu(
            name("repeat"),
            text="menus.transfer.repeat",
            facts=flow.repeat_facts,
            reads=True,
            options=(Option("menus.transfer.again", goes=name("ready")),),
        ),
    )


def agreeing(flow: Flow) -> tuple[State[Any], ...]:
    """The confirmation, its way back after a cut, and the last screen."""
    name, text = flow.name, flow.text
    return (
        Step(name("go_on"), run=flow.review, goes=(name("review"),), ends=_late(flow)),
        Menu(
            name("review"),
            text=text("review"),
            facts=flow.facts,
            reads=True,
            options=(Option("menus.transfer.go", goes=name("ready")),),
        ),
        Step(name("ready"), run=flow.get_ready, goes=(name("confirm"),), ends=_late(flow)),
        Secret(
            name("confirm"),
            text=text("confirm"),
            facts=flow.facts,
            accept=flow.confirm,
            goes=(name("done"),),
            refusals=("pin_wrong",),
            ends=_each(
                REFUSALS, ("just_paid",), PARTY_REFUSALS, flow.refusals, AMOUNT_REFUSALS[1:]
            ),
            again=text("confirm_again"),
            commits=True,
            resume=name("go_on"),
        ),
        End(name("done"), text=text("done"), facts=flow.told, reads=True),
    )


def states(flow: Flow) -> tuple[State[Any], ...]:
    """All states of a flow that asks for an amount."""
    return (*asking(flow), *agreeing(flow))


def whom(hop: Hop[Services]) -> dict[str, object]:
    """Name and number or code of the other party, as the session has them."""
    return {"name": hop.data.get("name", ""), "to": hop.data.get("to", "")}


def _late(flow: Flow) -> Keys:
    """What can have become untrue since the amount was given."""
    return _each(PARTY_REFUSALS, flow.refusals, AMOUNT_REFUSALS[1:], ("not_offered_yet",))


def _each(*codes: Keys) -> Keys:
    return tuple(dict.fromkeys(code for some in codes for code in some))


def _refuse_just_done(
    session: Session, offer: Offer, intent_id: uuid.UUID, since: datetime
) -> None:
    """Two confirmations of one thing stood open, and the other one was faster."""
    before = records.same_since(session, offer, since)
    if before is not None and not intents.became(session, intent_id, before.id):
        raise DomainError("just_paid", reference=before.reference)
