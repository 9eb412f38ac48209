"""A new PIN for somebody who forgot it: staff or an agent asked for it, the code came by SMS.

It takes two: who asked for it never learns the code, and the phone alone asks for nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.ussd.menus.newpin import typed_twice
from app.ussd.menus.services import Services, caller
from app.ussd.states import End, Hop, Menu, Option, Secret, State
from app.wallet import resets
from app.wallet.codes import CodeAttempt
from app.wallet.resets import OpenReset


def check_code(hop: Hop[Services], code: str) -> str:
    """The try is counted and committed before the code is looked at."""
    services = hop.services

    def begin(session: Session) -> tuple[OpenReset, CodeAttempt]:
        request = _request(hop, session)
        return request, services.codes.begin(session, request.code_id)

    request, attempt = services.db.transact(begin, name="attempt")
    services.codes.check(attempt, code)
    hop.data["reset_id"] = str(request.id)
    return "reset.new"


def keep(hop: Hop[Services], pin: str) -> str:
    """The code is used once, in the transaction that sets the PIN."""
    services, person_id = hop.services, caller(hop).id
    sealed = services.pins.seal(person_id, pin)

    def complete(session: Session) -> None:
        request = _request(hop, session, uuid.UUID(hop.data["reset_id"]))
        resets.complete(
            session, services.codes, services.pins, hop.market, request, sealed, now=hop.now
        )

    services.db.transact(complete, name="pin")
    return "reset.done"


def _request(
    hop: Hop[Services], session: Session, request_id: uuid.UUID | None = None
) -> OpenReset:
    request = resets.open_request(session, caller(hop).id, hop.now, request_id)
    if request is None:
        raise DomainError("code_expired")
    return request


STATES: tuple[State[Any], ...] = (
    Menu(
        "reset",
        text="menus.reset.title",
        options=(
            Option("menus.reset.have", goes="reset.code"),
            Option("menus.reset.later", goes="enter"),
        ),
    ),
    Secret(
        "reset.code",
        text="menus.reset.code",
        accept=check_code,
        goes=("reset.new",),
        refusals=("code_wrong",),
        ends=("code_locked", "code_expired", "code_used"),
        digits=resets.CODE_DIGITS,
    ),
    *typed_twice("reset", keep=keep, goes="reset.done", ends=("code_expired", "code_used")),
    End("reset.done", text="menus.reset.done"),
)
