"""Stories of several phones: transcripts whose parts are played on the phone of whoever is named.

    super zawadi en 100,000.00          a super-agent: language, float
    agent neema en 20,000.00            an agent, below the super-agent if there is one
    customer amina en 5,000.00          a registered person: language, balance
    nobody musa                         a number that nobody has registered
    phone amina                         what follows is typed and shown on her phone

Everything else is as `app/ussd/transcript.py` has it. `{amina}` is her number as it is dialled at
home, `{neema_code}` the code of a kiosk, `{meter}` a meter; refs and codes are remembered across
phones.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli.demo import DemoPerson, add
from app.gateways import africastalking
from app.runtime import Runtime
from app.ussd.playback import Player
from app.ussd.transcript import parse
from app.wallet import agents, people
from tests.journeys.transcript import Handset, Stage
from tests.people import fresh_meter, fresh_msisdn
from tests.world import World

NAMES = {"amina": "Amina Wanjiru", "juma": "Juma Otieno", "neema": "Neema Kiosk"}
ROLES = {"customer": "customer", "agent": "agent", "super": "super_agent"}


class Cast:
    """Who is in a story, and what was said so far."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        self.world, self.runtime = world, runtime
        self.phones: dict[str, Handset] = {}
        self.known: dict[str, str] = {"meter": fresh_meter()}
        self._above: str | None = None

    def enter(self, role: str, name: str, language: str = "", money: str = "0") -> None:
        msisdn = fresh_msisdn(self.runtime.market.region)
        self.phones[name] = Handset(self.world, msisdn)
        self.known[name] = numbers.local(msisdn)
        if role == "nobody":
            return
        called = NAMES.get(name, f"{name.capitalize()} Barasa")
        who = DemoPerson(
            msisdn, called, language, ROLES[role], self.runtime.market.currency.parse(money)
        )
        parts = self.runtime
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC), above=self._above)
        if role != "customer":
            self.known[f"{name}_code"] = parts.db.transact(lambda session: _code(session, msisdn))
        if role == "super":
            self._above = msisdn

    def play(self, title: str, phone: str, text: str) -> None:
        """One part of a story on one phone."""
        player = Player(
            parse(title, text),
            Stage(self.world, _nobody),
            africastalking.GATEWAY,
            known=self.known,
            phone=self.phones[phone],
        )
        player.play()
        self.known = dict(player.memory.known)


def play(path: Path, world: World, runtime: Runtime) -> None:
    """Play one story. Lines keep their numbers: each part is led by as many empty lines."""
    cast, phone, part = Cast(world, runtime), "", [""]
    lines = path.read_text().split("\n")
    for number, line in enumerate([*lines, "phone "], 1):
        role, _, rest = line.partition(" ")
        if role in ("super", "agent", "customer", "nobody"):
            cast.enter(role, *rest.split())
        elif role == "phone":
            if phone:
                cast.play(f"{path.name}, {phone}", phone, "\n".join(part))
            phone, part = rest, [""] * number
        elif phone:
            part.append(line)


def _code(session: Session, msisdn: str) -> str:
    person = people.find(session, msisdn)
    assert person
    agent = agents.of_person(session, person.id)
    assert agent
    return agent.code


def _nobody(*_facts: object) -> str:
    raise AssertionError("a story of several phones names its people at the top")
