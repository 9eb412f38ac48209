"""What the factory hands to the menus, and the one way in which a PIN opens something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from app.billers.inquiries import Inquiries
from app.db import Database
from app.errors import DomainError
from app.notices import Recipient, notify
from app.telemetry import PIN_SPRAYS, Seldom
from app.ussd.states import Caller, Hop, MenuError
from app.wallet import agents, sprays
from app.wallet.agents import Agent
from app.wallet.codes import Codes
from app.wallet.keys import new_key
from app.wallet.pins import Attempt, Pins

T = TypeVar("T")
_spraying = Seldom("pin_spraying")


@dataclass(frozen=True, slots=True)
class Services:
    """The product behind the menus. So many as `spray_people` whose last PIN was wrong are a
    spray.
    """

    db: Database
    pins: Pins
    codes: Codes
    inquiries: Inquiries
    spray_people: int = 100


def caller(hop: Hop[Services]) -> Caller:
    """The registered person of a state that only they can reach."""
    if hop.person is None:
        raise MenuError("an unregistered number reached a state of registered people")
    return hop.person


def acting_agent(hop: Hop[Services], session: Session) -> Agent:
    """The agent on the phone, read anew: a session may outlive an appointment.

    Raises DomainError `agent_suspended`.
    """
    agent = agents.of_person(session, caller(hop).id)
    if agent is None:
        raise DomainError("agent_suspended")
    agents.refuse_inactive(agent)
    return agent


def at_counter(hop: Hop[Services]) -> bool:
    """Whether the agent on the phone acts for a customer, and not for their own wallet."""
    return bool(hop.data.get("counter") or hop.data.get("walkin"))


def recipient(hop: Hop[Services], person_id: UUID) -> Recipient:
    return Recipient(hop.msisdn, hop.language, person_id)


def check_pin(hop: Hop[Services], pin: str, also: Callable[[Session], None] | None = None) -> None:
    """Count the try and commit it, with `also`, before looking at the PIN.

    The caller clears the counter (`pins.passed`) in the transaction that acts on the right PIN.
    Raises DomainError `pin_wrong` or `pin_locked`; the try that locks also sends an SMS. While many
    people's PINs are wrong at a time, its fact `sprayed` says so.
    """
    services, person = hop.services, caller(hop)

    def count(session: Session) -> Attempt:
        if also:
            also(session)
        return services.pins.begin(session, person.id)

    attempt = services.db.transact(count, name="attempt")
    try:
        services.pins.check(attempt, pin)
    except DomainError as error:
        if error.code == "pin_locked":
            _tell_locked(hop, person.id, error)
        if _sprayed(services):
            error.facts["sprayed"] = True
        raise


def open_with_pin(hop: Hop[Services], pin: str) -> None:
    """A right PIN for something that moves no money: the counter starts anew at once."""
    check_pin(hop, pin)
    person_id = caller(hop).id
    hop.services.db.transact(lambda session: hop.services.pins.passed(session, person_id))


def act_with_pin(hop: Hop[Services], pin: str, act: Callable[[Session], T], *, name: str) -> T:
    """What `act` gives, after a right PIN; for what is no confirmed movement of money. A refusal
    gives the try back. Raises what `check_pin` and `act` raise.
    """
    check_pin(hop, pin)
    services, person_id = hop.services, caller(hop).id

    def acting(session: Session) -> T:
        services.pins.passed(session, person_id)
        return act(session)

    try:
        return services.db.transact(acting, name=name)
    except DomainError as error:
        if not error.retryable:
            services.db.transact(lambda session: services.pins.passed(session, person_id))
        raise


def _sprayed(services: Services) -> bool:
    """Whether this wrong PIN is one of many; then somebody is told."""
    try:
        wrong = services.db.transact(sprays.wrong_pins)
    except DomainError:  # the answer to the PIN is known, and does not hang on this
        return False
    if wrong.people < services.spray_people:
        return False
    PIN_SPRAYS.inc()
    _spraying.error(people=wrong.people, tries=wrong.tries)
    return True


def _tell_locked(hop: Hop[Services], person_id: UUID, error: DomainError) -> None:
    message_id = new_key()
    hop.services.db.transact(
        lambda session: notify(
            session,
            "pin_locked",
            recipient(hop, person_id),
            message_id=message_id,
            subject=message_id,
            facts={"minutes": error.facts["minutes"], "care": hop.market.care_number},
            now=hop.now,
        )
    )
