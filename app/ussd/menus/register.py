"""An unregistered number opens a wallet: language, consent, name, PIN twice."""

from __future__ import annotations

import re
import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets import Market
from app.notices import notify
from app.ussd.menus.account import language_options
from app.ussd.menus.newpin import typed_twice
from app.ussd.menus.services import Services, recipient
from app.ussd.states import Ask, Caller, End, Hop, Menu, Option, State, Step
from app.wallet import people, registration
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.transfers import vouchers

_NAME = re.compile(r"[^\W\d_][^\W\d_ .'-]*(?:[ .'-]+[^\W\d_]+)*[.]?\Z")


def take_language(hop: Hop[Services]) -> str:
    hop.language = hop.data.pop("language")
    return "register.consent"


def parse_name(_hop: Hop[Services], typed: str) -> str:
    name = " ".join(typed.split())
    if not 2 <= len(name) <= people.NAME_MOST or not _NAME.match(name):
        raise DomainError("name_invalid")
    return name


def accept_name(hop: Hop[Services], name: str) -> str:
    hop.data["name"] = name
    return "register.new"


def ask_name(hop: Hop[Services]) -> str:
    """Whom an agent registered has a name already."""
    return "register.new" if hop.data.get("invited") else "register.name"


def register(hop: Hop[Services], pin: str) -> str:
    """The wallet, its PIN, what waited for the number and the welcome SMS in one transaction."""
    services, market = hop.services, hop.market
    invited = services.db.transact(lambda session: people.find(session, hop.msisdn))
    person_id = invited.id if invited else new_key()
    sealed = services.pins.seal(person_id, pin)

    def add(session: Session) -> Person:
        enter = _accepted if invited else _added
        person = enter(hop, session, person_id, sealed)
        vouchers.collect_on_registration(session, market, person, hop.now)
        notify(
            session,
            "registered",
            recipient(hop, person_id),
            message_id=new_key(),
            subject=person_id,
            facts={"name": person.name, "service_code": hop.service_code},
            now=hop.now,
        )
        return person

    person = services.db.transact(add, name="register")
    hop.data["name"] = person.name
    hop.person = Caller(id=person_id, name=person.name, role="customer")
    return "register.done"


def _added(hop: Hop[Services], session: Session, person_id: uuid.UUID, sealed: bytes) -> Person:
    person = people.register(
        session,
        person_id=person_id,
        msisdn=hop.msisdn,
        name=hop.data["name"],
        language=hop.language,
        tier=hop.market.default_tier,
        currency=hop.market.currency.code,
        now=hop.now,
    )
    hop.services.pins.put(session, person_id, sealed, hop.now)
    return person


def _accepted(hop: Hop[Services], session: Session, person_id: uuid.UUID, sealed: bytes) -> Person:
    """Whom an agent registered agrees: the name and the tier are those of the document."""
    person, pins = people.get(session, person_id), hop.services.pins
    registration.accept(session, pins, person, sealed, language=hop.language, now=hop.now)
    return person


def done_facts(hop: Hop[Services]) -> dict[str, object]:
    return {"name": hop.name(hop.data["name"]), "code": hop.service_code}


def states(market: Market) -> tuple[State[Any], ...]:
    return (
        Menu(
            "register.language",
            text="menus.register.language",
            options=language_options(market, "register.take_language"),
        ),
        Step(
            "register.take_language",
            run=take_language,
            goes=("register.consent",),
            reads=False,
        ),
        Menu(
            "register.consent",
            text="menus.register.consent",
            options=(
                Option("menus.register.agree", goes="register.named"),
                Option("menus.register.refuse", goes="register.refused"),
            ),
        ),
        End("register.refused", text="menus.register.refused"),
        Step("register.named", run=ask_name, goes=("register.name", "register.new"), reads=False),
        Ask(
            "register.name",
            text="menus.register.name",
            parse=parse_name,
            accept=accept_name,
            goes=("register.new",),
            refusals=("name_invalid",),
        ),
        *typed_twice(
            "register",
            keep=register,
            goes="register.done",
            ends=("already_registered",),
            resume="register.name",
        ),
        End("register.done", text="menus.register.done", facts=done_facts),
    )
