"""An agent helps: registering somebody, a forgotten PIN, a cash-in to the wrong number.

The customer chooses a PIN on their own phone: an agent never learns one, and never acts alone.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.errors import DomainError
from app.markets import Market
from app.ussd.menus.agent.cash import keep_number, parse_number
from app.ussd.menus.register import parse_name
from app.ussd.menus.services import Services, act_with_pin, acting_agent, caller
from app.ussd.menus.transfer import told_of_transfer, whom
from app.ussd.states import Ask, End, Hop, Item, Menu, Option, Pick, Secret, State
from app.wallet import people, registration, resets
from app.wallet.transfers import records, stops

SHOWN = 5


def accept_number(hop: Hop[Services], msisdn: str) -> str:
    keep_number(hop, msisdn)
    if hop.services.db.transact(lambda session: people.find(session, msisdn)) is not None:
        raise DomainError("already_registered")
    return "invite.name"


def accept_name(hop: Hop[Services], name: str) -> str:
    hop.data["name"] = name
    return "invite.id_kind"


def parse_id(hop: Hop[Services], typed: str) -> str:
    return registration.id_number(hop.market, hop.data["id_kind"], typed)


def accept_id(hop: Hop[Services], number: str) -> str:
    hop.seal("id", number)
    return "invite.pin"


def invite(hop: Hop[Services], pin: str) -> str:
    number, data = hop.unseal("id"), hop.data

    def act(session: Session) -> None:
        registration.invite(
            session,
            hop.market,
            hop.services.codes,
            agent=acting_agent(hop, session),
            msisdn=data["msisdn"],
            name=data["name"],
            id_kind=data["id_kind"],
            id_number=number,
            now=hop.now,
        )

    act_with_pin(hop, pin, act, name="invite")
    hop.forget("id")
    return "invite.done"


def accept_reset_number(hop: Hop[Services], msisdn: str) -> str:
    keep_number(hop, msisdn)
    person = hop.services.db.transact(lambda session: people.find(session, msisdn))
    if person is None:
        raise DomainError("person_unknown")
    return "reset_for.id"


def parse_any_id(_hop: Hop[Services], typed: str) -> str:
    return typed


def accept_reset_id(hop: Hop[Services], number: str) -> str:
    hop.seal("id", number)
    return "reset_for.pin"


def start_reset(hop: Hop[Services], pin: str) -> str:
    number, msisdn = hop.unseal("id"), hop.data["msisdn"]

    def act(session: Session) -> resets.Reset:
        person = people.find(session, msisdn)
        if person is None:
            raise DomainError("person_unknown")
        return resets.start(
            session,
            hop.services.codes,
            hop.market,
            person,
            by_agent=acting_agent(hop, session),
            id_number=number,
            now=hop.now,
        )

    resets.refuse_wrong_document(act_with_pin(hop, pin, act, name="reset_start"))
    hop.forget("id")
    return "reset_for.done"


def cash_ins(hop: Hop[Services]) -> list[Item]:
    def read(session: Session) -> list[records.TransferView]:
        agent = acting_agent(hop, session)
        return records.at_counter(session, agent.id, SHOWN, kinds=("cash_in",))

    return [
        Item(
            str(view.id),
            {
                "day": view.created_at.astimezone(hop.market.zone).strftime("%d/%m"),
                "amount_minor": view.amount_minor,
                "to": numbers.local(view.msisdn or ""),
            },
        )
        for view in hop.services.db.transact(read)
        if view.reversed_at is None
    ]


def choose_cash_in(hop: Hop[Services], transfer_id: str) -> str:
    hop.data["transfer"] = transfer_id
    return "mistake.pin"


def ask_back(hop: Hop[Services], pin: str) -> str:
    person_id, transfer_id = caller(hop).id, uuid.UUID(hop.data["transfer"])

    def act(session: Session) -> None:
        hop.data["stop"] = stops.ask(
            session, hop.market, transfer_id, by=person_id, now=hop.now
        ).reference

    act_with_pin(hop, pin, act, name="stop")
    return "mistake.asked"


def states(market: Market) -> tuple[State[Any], ...]:
    return (
        Menu(
            "customers",
            text="menus.customers.title",
            options=(
                Option("menus.customers.invite", goes="invite.number"),
                Option("menus.customers.reset", goes="reset_for.number"),
                Option("menus.customers.mistake", goes="mistake.list"),
            ),
        ),
        Ask(
            "invite.number",
            text="menus.invite.number",
            parse=parse_number,
            accept=accept_number,
            goes=("invite.name",),
            refusals=("msisdn_invalid", "already_registered"),
            reads=True,
        ),
        Ask(
            "invite.name",
            text="menus.invite.name",
            parse=parse_name,
            accept=accept_name,
            goes=("invite.id_kind",),
            refusals=("name_invalid",),
        ),
        Menu(
            "invite.id_kind",
            text="menus.invite.id_kind",
            options=tuple(
                Option(f"menus.id_kind.{kind}", goes="invite.id", sets={"id_kind": kind})
                for kind in market.people.id_kinds
            ),
        ),
        Ask(
            "invite.id",
            text="menus.invite.id",
            parse=parse_id,
            accept=accept_id,
            goes=("invite.pin",),
            refusals=("id_invalid",),
        ),
        Secret(
            "invite.pin",
            text="menus.invite.pin",
            facts=whom,
            accept=invite,
            goes=("invite.done",),
            refusals=("pin_wrong",),
            ends=("pin_locked", "already_registered", "agent_suspended"),
            commits=True,
        ),
        End("invite.done", text="menus.invite.done", facts=whom),
        Ask(
            "reset_for.number",
            text="menus.reset_for.number",
            parse=parse_number,
            accept=accept_reset_number,
            goes=("reset_for.id",),
            refusals=("msisdn_invalid", "person_unknown"),
            reads=True,
        ),
        Ask(
            "reset_for.id",
            text="menus.reset_for.id",
            parse=parse_any_id,
            accept=accept_reset_id,
            goes=("reset_for.pin",),
        ),
        Secret(
            "reset_for.pin",
            text="menus.reset_for.pin",
            facts=whom,
            accept=start_reset,
            goes=("reset_for.done",),
            refusals=("pin_wrong",),
            ends=(
                "pin_locked",
                "person_unknown",
                "person_suspended",
                "id_wrong",
                "too_many_codes",
                "own_number",
                "agent_suspended",
            ),
            commits=True,
        ),
        End("reset_for.done", text="menus.reset_for.done", facts=whom),
        Pick(
            "mistake.list",
            text="menus.mistake.title",
            item="menus.mistake.line",
            items=cash_ins,
            accept=choose_cash_in,
            goes=("mistake.pin",),
            empty="mistake.none",
        ),
        End("mistake.none", text="menus.mistake.none"),
        Secret(
            "mistake.pin",
            text="menus.mistake.pin",
            facts=told_of_transfer,
            accept=ask_back,
            goes=("mistake.asked",),
            refusals=("pin_wrong",),
            ends=("pin_locked", "stop_known", "stop_too_late", "stop_not_yours"),
            commits=True,
        ),
        End(
            "mistake.asked",
            text="menus.stop.asked",
            facts=lambda hop: {"reference": hop.data["stop"]},
        ),
    )
