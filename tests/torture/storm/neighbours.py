"""Whom a story needs: people to send to, agents, codes that wait, and bills with their numbers.

Nothing is drawn twice: an amount once for a person and a receiver, a customer's number for one
payment. So what the phones agreed to can be told apart in every log.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.luhn import passes_luhn
from tests.torture.storm.caller import Caller, Over, Person
from tests.torture.storm.wording import Wording
from tests.world import World

TRIES = 100


@dataclass
class Neighbours:
    """Who can be sent to, paid at, and served; safe for threads."""

    world: World
    people: Sequence[Person]
    agents: Sequence[Person]
    strangers: Sequence[Person]
    sms: Wording
    codes: list[str] = field(default_factory=list)  # numbers that a code waits for
    _drawn: set[tuple[str, str, int]] = field(default_factory=set)
    _customers: set[str] = field(default_factory=set)
    _lists: dict[int, Iterator[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def amount(self, dice: random.Random, who: Person, to: str, least: int, most: int) -> str:
        """Whole units that this person has not confirmed for this receiver; Over when all are."""
        with self._lock:
            for _ in range(TRIES):
                drawn = (who.msisdn, to, dice.randint(least, most))
                if drawn not in self._drawn:
                    self._drawn.add(drawn)
                    return str(drawn[2])
        raise Over("every amount was drawn")

    def other(self, dice: random.Random, than: Person) -> Person:
        found = dice.choice(self.people)
        if found is than:
            raise Over("alone in town")
        return found

    def customer(self, dice: random.Random, digits: int) -> str:
        """A number that its biller knows, that owes something, and that nobody else has drawn."""
        with self._lock:
            for _ in range(TRIES):
                drawn = owing(dice, digits)
                if drawn not in self._customers:
                    self._customers.add(drawn)
                    return drawn
        raise Over("every customer was drawn")

    def listed(self, first: int) -> str:
        """A number of the list of a biller that is paid by file, each once."""
        with self._lock:
            numbers = self._lists.setdefault(first, iter(_owing(first)))
            found = next(numbers, None)
        if found is None:
            raise Over("the list is at its end")
        return str(found)

    def code_waits(self, msisdn: str) -> None:
        with self._lock:
            self.codes.append(msisdn)

    def take_code(self, dice: random.Random) -> str:
        """A number that a code waits for, for one agent only."""
        with self._lock:
            if not self.codes:
                raise Over("no code waits")
            return self.codes.pop(dice.randrange(len(self.codes)))


# What may be dialled in one go: a code, and the most that is paid; 0 where the biller says it.
SHORTCUTS = (("51", 0, 400), ("52", 8, 0), ("53", 8, 0), ("55", 0, 400))


def _owing(first: int) -> Iterator[int]:
    """Of two hundred listed numbers those that owe something."""
    return (number for number in range(first + 1, first + 200) if number % 10 not in (8, 9))


def msisdn(dice: random.Random) -> str:
    """A mobile number of the demo market that is hardly anybody's."""
    return f"+2547{dice.randrange(10**8):08d}"


def owing(dice: random.Random, digits: int) -> str:
    """A number that its biller knows and that owes something; without digits a meter's."""
    body = f"54{dice.randrange(10**8):08d}"
    if not digits:
        return next(number for check in range(10) if passes_luhn(number := f"{body}{check}"))
    start = 10 ** (digits - 2)
    return f"{dice.randrange(start, 10 * start)}1"


@dataclass(frozen=True)
class Bill:
    """How a bill is found: by labels, then its number, then `after`, where {all} is what is owed,
    then an amount of whole units up to `most`, unless the biller or the price says it. The number
    has `digits` behind a `prefix`; without, it is a meter's, or of a list that begins at `first`.
    """

    labels: tuple[str, ...]
    digits: int = 0
    prefix: str = ""
    after: str = ""
    most: int = 0
    first: int = 0

    def number(self, dice: random.Random, town: Neighbours) -> str:
        """One that its biller knows and that owes something."""
        if self.first:
            return town.listed(self.first)
        return f"{self.prefix}{town.customer(dice, self.digits)}"


BILLS: Mapping[Bill, int] = {
    Bill(("Electricity", "Stima token"), most=400): 30,
    Bill(("Electricity", "Jiji token"), most=400): 12,
    Bill(("Electricity", "Stima bill"), 8, after="Pay {all}"): 10,
    Bill(("Electricity", "Jiji bill"), 8, after="Pay all {all}"): 8,
    Bill(("Water",), 8, after="Pay {all}"): 10,
    Bill(("Insurance",), 9, after="Pay all {all}"): 10,
    Bill(("TV", "King TV basic"), 10): 8,
    Bill(("Government fees",), 6, "AB", after="Pay {all}"): 8,
    Bill(("School fees",), after="Pay all {all}", first=100_000): 2,
    Bill(("Clinic",), most=400, first=1_000_000): 2,
}


def to_bill(caller: Caller, town: Neighbours, screen: str, customer: str = "") -> str:
    """From the categories to the confirmation."""
    (bill,) = caller.dice.choices(list(BILLS), list(BILLS.values()))
    number = bill.number(caller.dice, town)
    screen = caller.follow(screen, *bill.labels, f"={number}")
    if customer:
        screen = caller.reply(customer)
    if bill.after:
        screen = choose_all(caller, screen, bill.after)
    if bill.most:
        screen = caller.reply(town.amount(caller.dice, caller.person, number, 50, bill.most))
    return screen


def choose_all(caller: Caller, screen: str, label: str) -> str:
    """All that is owed; what it comes to stands in the option."""
    pattern = re.escape(label).replace(re.escape("{all}"), r"KES [\d,.]+")
    for _ in range(4):
        found = re.search(rf"^(\d+) {pattern}$", screen, re.MULTILINE)
        if found:
            return caller.reply(found[1])
        if "98 More" not in screen:
            break
        screen = caller.reply("98")
    raise Over(f"nothing to pay: {screen.splitlines()[:1]}")
