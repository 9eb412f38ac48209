"""L6: what the functions of a state are given: who is on the phone, and the session's data.

A hop lives for one request. What it may keep is `data`, `language` and `person`; they go into the
session. The request's text is not here: a state sees its input only as an argument.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from app.markets import Market
from app.sealing import Sealer
from app.text import Catalogues, names

S = TypeVar("S")
NAME_MOST = 20
SEALED = "sealed."  # the names of sealed entries begin so: no other session takes them over


class MenuError(Exception):
    """A menu is wrong: a programming error, never something that a person did."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The registered person on the phone, as the session remembers them."""

    id: UUID
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Surroundings(Generic[S]):
    """What is the same for every hop of a process."""

    services: S
    market: Market
    catalogues: Catalogues
    sealer: Sealer
    clock: Callable[[], datetime]


class Hop(Generic[S]):
    """One request, as the functions of states see it.

    `msisdn` is E.164. `session_hash` (16 bytes) names this session in intents; it is a keyed hash
    of gateway and session id. `data` is a small JSON object of the menus' own (the whole session
    is at most 1 KiB). `person` is None for a number that is not registered; set it after a
    registration. Setting `language` changes the screens from here on.

    `left` is the data of a session of this number that was cut off not long ago and could be
    continued, else None; only on the first hop. Set it to None where it must not be continued.
    """

    __slots__ = (
        "_around",
        "data",
        "gateway",
        "language",
        "left",
        "may_read",
        "msisdn",
        "network",
        "now",
        "person",
        "service_code",
        "session_hash",
    )

    def __init__(
        self,
        around: Surroundings[S],
        *,
        gateway: str,
        session_hash: bytes,
        msisdn: str,
        service_code: str,
        network: str,
        language: str,
        person: Caller | None,
        data: dict[str, Any],
        now: datetime,
    ) -> None:
        self._around = around
        self.gateway = gateway
        self.session_hash = session_hash
        self.msisdn = msisdn
        self.service_code = service_code
        self.network = network
        self.language = language
        self.person = person
        self.data = data
        self.now = now
        self.may_read = False
        self.left: Mapping[str, Any] | None = None

    @property
    def market(self) -> Market:
        return self._around.market

    @property
    def services(self) -> S:
        """The product behind the menus. Raises MenuError in a state without `reads=True`."""
        if not self.may_read:
            raise MenuError("a state without reads=True asked for the services")
        return self._around.services

    def say(self, key: str, **facts: object) -> str:
        """A sentence in the person's language; declare its key in `extra_texts`."""
        return self._around.catalogues.say(self.language, key, facts)

    def name(self, value: str, most: int = NAME_MOST) -> str:
        """A name as a screen in this language shows it, at most `most` characters."""
        return names.shown(value, most, wide=self.is_wide)

    @property
    def is_wide(self) -> bool:
        """Whether the person's language is written in letters that GSM-7 has not."""
        return self._around.catalogues.wide(self.language)

    def money(self, amount_minor: int) -> str:
        """`KES 1,200.50` in the market's currency."""
        return self._around.market.currency.format(amount_minor)

    def seal(self, name: str, value: str) -> None:
        """Keep a secret in `data`, readable only in this session and with our key."""
        sealed = self._around.sealer.seal(value.encode(), self.session_hash)
        self.data[SEALED + name] = base64.b64encode(sealed).decode()

    def unseal(self, name: str) -> str:
        """The secret that `seal` kept. Raises KeyError when there is none, ValueError when it was
        changed or belongs to another session."""
        sealed = base64.b64decode(self.data[SEALED + name])
        return self._around.sealer.unseal(sealed, self.session_hash).decode()

    def forget(self, *names: str) -> None:
        """Drop entries of `data`, sealed ones too; absent ones are no error."""
        for name in names:
            self.data.pop(name, None)
            self.data.pop(SEALED + name, None)
