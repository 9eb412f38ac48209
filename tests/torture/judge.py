"""What is wrong, and what a phone is told of its money."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.cli.demo import PIN, DemoPerson, add
from app.runtime import Runtime
from tests.people import fresh_msisdn
from tests.world import Phone, World, wait_for

START_MINOR = 1_000_000
SETTLE_SECONDS = 60.0  # leases run 30 s; then comes the sweep
_BALANCE = re.compile(r"(?:Balance|Float) KES ([\d,]+)\.(\d\d)")


@dataclass
class Person:
    """A phone and what its owner has confirmed and seen."""

    phone: Phone
    meters: list[str] = field(default_factory=list)
    screens: list[str] = field(default_factory=list)


class Judge:
    """Collects what is wrong; says nothing while everything is right."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[str] = []

    def check(self, holds: bool, rule: str, detail: str) -> None:
        if not holds:
            self.faults.append(f"{rule}: {detail}")

    def ledger(self) -> None:
        for command in ("verify", "trial-balance"):
            answer = self.world.flask(command)
            self.check(answer.returncode == 0, "J6", f"{command}: {answer.stdout[-500:]}")

    def rest(self) -> None:
        """Wait until nothing moves; what still does then is judged as it stands."""
        try:
            wait_rest(self.world)
        except AssertionError as error:
            self.check(False, "rest", str(error))


def wait_rest(world: World) -> None:
    """Return when no payment is on its way and no SMS is due."""

    def rest() -> bool:
        answer = world.flask("status", "--json")
        if answer.returncode != 0:
            return False
        status = json.loads(answer.stdout)
        moving = {"held", "sent", "unknown"} & set(status["open_payments"])
        return not moving and not {"due", "sending"} & set(status["open_messages"])

    wait_for(rest, SETTLE_SECONDS, "payments and SMS to come to rest")


def dial_home(phone: Phone) -> str:
    """Dial, and start again where something was cut off."""
    screen = phone.dial()
    return phone.reply("2") if "Go on" in screen else screen


def balance_told(phone: Phone) -> int | None:
    """The balance in minor units that the phone is shown, after the PIN; of an agent the float."""
    home = dial_home(phone)
    if "Float" in home:
        home = phone.reply(
            next(one.split()[0] for one in home.splitlines() if one.endswith("Float"))
        )
    choice = next((line.split()[0] for line in home.splitlines() if line.endswith("Balance")), None)
    if choice is None:
        return None
    phone.reply(choice)
    found = _BALANCE.search(phone.reply(PIN))
    return int(found[1].replace(",", "")) * 100 + int(found[2]) if found else None


def add_people(parts: Runtime, world: World, count: int) -> list[Person]:
    """New registered people with `START_MINOR` each."""
    people = []
    for _ in range(count):
        who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", START_MINOR)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
        people.append(Person(Phone(world, who.msisdn)))
    return people
