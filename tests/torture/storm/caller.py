"""Somebody on the phone: dials, chooses by what the screen says, types, confirms, hangs up.

What a confirmation is about is written down before its PIN leaves, for the judge to ask what became
of it.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from app import msisdn as numbers
from app.errors import DomainError
from app.markets import Market
from app.text import Catalogues
from tests.torture.storm.journal import Journal
from tests.torture.storm.wire import Gateway, Session
from tests.torture.storm.wording import Said, Wording

WRONG_PIN = 0.04  # how likely somebody mistypes; never twice before a right one
FLOWS = ("bill", "send", "voucher", "cash_out", "cash_in", "voucher_collect")
_OPTION = re.compile(r"^(\d+) (.*)$", re.MULTILINE)
_sessions = itertools.count(1)


class Lost(Exception):
    """No answer came: the network shows its own error."""


class Over(Exception):
    """The story cannot go on: another screen came than it needs."""


@dataclass
class Person:
    """Who has a phone. `code` is an agent's; `confirmed` what may not be confirmed once more."""

    msisdn: str
    name: str
    role: str
    pin: str = field(repr=False, default="")
    code: str = ""
    balance_minor: int = 0


@dataclass
class Town:
    """What all callers share. `spell` names this run in the ids of its sessions."""

    gateway: Gateway
    journal: Journal
    market: Market
    catalogues: Catalogues
    stopping: threading.Event
    spell: str
    think_seconds: float
    wrong_pin: str = field(repr=False, default="")

    def __post_init__(self) -> None:
        self.confirms = Wording(
            self.catalogues, tuple(f"menus.{flow}.confirm" for flow in FLOWS), "en"
        )
        self.again = self.catalogues.say("en", "menus.resume.again")
        self._confirmations = itertools.count(1)

    def next_confirmation(self) -> int:
        return next(self._confirmations)


class Caller:
    """One phone of one person; a story is told with its methods, which raise Lost and Over."""

    def __init__(self, town: Town, person: Person, dice: random.Random) -> None:
        self.town, self.person, self.dice = town, person, dice
        self.open = False
        self._session: Session | None = None
        self._mistyped = False

    def think(self) -> None:
        """A moment, longer for some; Over when the storm is."""
        pause = min(self.dice.expovariate(1 / self.town.think_seconds), 5 * self.town.think_seconds)
        if self.town.stopping.wait(pause):
            raise Over("the storm is over")

    def dial(self, text: str = "") -> str:
        """A new session; `text` is dialled behind the service code. A menu that was open is left
        without a word, as by a lost network."""
        session = Session(
            f"ATUid_{self.town.spell}{next(_sessions):08d}",
            self.person.msisdn,
            self.town.market.service_codes[0],
            [text],
        )
        self._session = session
        return self._hop()

    def home(self) -> str:
        """Dial up to the first menu; what was cut off is left."""
        screen = self.dial()
        for _ in range(2):
            if not screen.endswith(f" {self.town.again}"):
                return screen
            screen = self.choose(screen, self.town.again)
        raise Over("no way home")

    def reply(self, typed: str) -> str:
        if not self.open or self._session is None:
            raise Over("the menu is closed")
        self.think()
        return self._reply(typed)

    def choose(self, screen: str, label: str) -> str:
        """Take the option that is called so, on this page or a later one."""
        for _ in range(4):
            for key, said in _OPTION.findall(screen):
                if said == label:
                    return self.reply(key)
            if "98 More" not in screen:
                break
            screen = self.reply("98")
        raise Over(f"no {label} in {screen.splitlines()[:1]}")

    def follow(self, screen: str, *steps: str) -> str:
        """Go on by labels; what begins with `=` is typed."""
        for step in steps:
            typed = step.startswith("=")
            screen = self.reply(step[1:]) if typed else self.choose(screen, step)
        return screen

    def hang_up(self) -> None:
        """The red key: the operator tells us, or forgets to."""
        if self._session is not None and self.open and self.dice.random() < 0.5:
            self.town.gateway.end(self._session, "Incomplete")
        self.open = False

    def confirm(self, screen: str, at_once: Callable[[], object] | None = None) -> str:
        """Agree with the PIN to what the screen shows, having mistyped it before or not.

        `at_once` is called just before the PIN leaves, for confirmations that are to race.
        """
        said = self.town.confirms.read(screen)
        if said is None or not self.open:
            raise Over(f"nothing to confirm: {screen.splitlines()[:1]}")
        if not self._mistyped and self.dice.random() < WRONG_PIN:
            self.mistype()
        self.think()
        if at_once:
            at_once()
        self._note("agreed", **self._agreed(said))
        shown = self._reply(self.person.pin)
        self._mistyped = False
        return shown

    def mistype(self) -> None:
        """A wrong PIN where the right one would agree to something."""
        self._mistyped = True
        self._note("mistyped", confirming=True)
        if "Wrong PIN" not in self.reply(self.town.wrong_pin):
            raise Over("the wrong PIN was not called wrong")

    def enter_pin(self) -> str:
        """The PIN where it only opens something."""
        self.think()
        self._note("pin")
        shown = self._reply(self.person.pin)
        self._mistyped = False
        return shown

    def guess(self) -> str:
        """A wrong PIN, and nothing but."""
        self._note("mistyped", confirming=False)
        return self.reply(self.town.wrong_pin)

    def _agreed(self, said: Said) -> dict[str, object]:
        flow = said.key.split(".")[1]
        party = said.facts.get("customer_no") or said.facts.get("to", "")
        if flow not in ("bill", "cash_out"):
            try:
                party = numbers.parse(party, self.town.market.region)
            except DomainError:
                raise Over("the screen names no number") from None
        return {
            "confirmation": self.town.next_confirmation(),
            "flow": flow,
            "amount_minor": said.minor["amount"],
            "fee_minor": said.minor.get("fee", 0),
            "party": party,
            "product": said.facts.get("product", ""),
        }

    def _note(self, kind: str, **facts: object) -> None:
        """About the hop that leaves next."""
        assert self._session
        self.town.journal.write(
            kind,
            session=self._session.id,
            msisdn=self.person.msisdn,
            hop=len(self._session.texts),
            **facts,
        )

    def _reply(self, typed: str) -> str:
        assert self._session
        self._session.extend(typed)
        return self._hop()

    def _hop(self) -> str:
        assert self._session
        screen = self.town.gateway.hop(self._session, self.dice)
        self.open = screen is not None and screen.open
        if screen is None:
            raise Lost
        return screen.text
