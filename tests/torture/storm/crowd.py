"""The people of a storm: each is a thread with a phone, and lives on whatever the system does.

Most are customers, some agents. A few have a purpose: spenders send more than they have, guessers
type wrong PINs, strangers are not registered yet.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.cli.demo import DemoPerson, add, fund_operator
from app.runtime import Runtime
from app.wallet import agents as agents_of
from app.wallet import people as people_of
from tests.torture.storm import stories
from tests.torture.storm.caller import Caller, Lost, Over, Person, Town
from tests.torture.storm.journal import Journal
from tests.torture.storm.lookout import Lookout
from tests.torture.storm.neighbours import Neighbours, msisdn
from tests.torture.storm.stories import Story
from tests.torture.storm.wire import Gateway
from tests.torture.storm.wording import Wording
from tests.world import World

CUSTOMER_MINOR = 2_000_000
AGENT_MINOR = 50_000_000
SPENDER_MINOR = 6_000_000  # more than half of it may be sent at once, and all of it in a day
SPENDERS, GUESSERS, STRANGERS = 0.1, 0.03, 0.08  # of all people
PINS = 6
THINK_SECONDS = 0.4  # over a reply, on average
REST = 14.0  # between two stories, as a multiple of that
JOIN_SECONDS = 90.0
TRUST = text("""
    SELECT coalesce(-sum(a.balance + coalesce((
        SELECT sum(p.amount_minor) FROM house_pending p WHERE p.account_id = a.id), 0)), 0)::bigint
    FROM accounts a WHERE a.kind = 'trust_bank' AND a.currency = :currency
""")


class Crowd:
    """Made before the weather, with money that the bank has too; started and stopped once.

    `callback_url` is the USSD callback as the operator knows it. `broken` are stories that ended
    by a mistake of ours.
    """

    def __init__(
        self,
        callback_url: str,
        world: World,
        parts: Runtime,
        journal: Journal,
        dice: random.Random,
        people: int = 200,
        agents: int = 12,
        think_seconds: float = THINK_SECONDS,
    ) -> None:
        self.broken: list[str] = []
        self.stopping = threading.Event()
        self._world, self._parts, self._journal, self._dice = world, parts, journal, dice
        digits = parts.market.pin.length
        self.pins = [_pin(dice, digits) for _ in range(PINS)]
        self.wrong_pin = _pin(dice, digits)
        token = world.environment["CALLBACK_TOKEN"]
        self.town = Town(
            Gateway(callback_url, token, journal), journal, parts.market, parts.catalogues,
            self.stopping, f"{dice.randrange(16**8):08x}", think_seconds, self.wrong_pin,
        )  # fmt: skip
        self._before_minor = parts.db.transact(self._trust)
        self.agents = [self._agent(number) for number in range(agents)]
        self._roles = self._people(people - agents)
        self.everyone: list[Person] = [*self.agents, *(who for who, _ in self._roles)]
        self._neighbours = Neighbours(
            world,
            people=self.of(stories.CUSTOMERS),
            agents=self.agents,
            strangers=self.of(stories.STRANGERS),
            sms=Wording(parts.catalogues, ("sms.",), "en"),
        )
        self.lookout = Lookout(world, parts, journal)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """The bank gets what the wallets have; then everybody picks up the phone."""
        self._pay_in()
        self.lookout.start()
        plays = [(who, stories.AGENTS) for who in self.agents] + list(self._roles)
        for who, repertoire in plays:
            dice = random.Random(self._dice.random())
            thread = threading.Thread(
                target=self._live, args=(who, repertoire, dice), name=who.msisdn, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Nobody dials any more; returns when every answer is there. The lookout looks on. Raises
        AssertionError after JOIN_SECONDS, which no answer may take.
        """
        self.stopping.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "somebody still waits"
        self.town.gateway.close()

    @property
    def secrets(self) -> dict[str, str]:
        """What may be found nowhere, by a name that may be said."""
        named = {f"PIN {number}": pin for number, pin in enumerate(self.pins, 1)}
        return {**named, "wrong PIN": self.wrong_pin}

    def caller(self, who: Person) -> Caller:
        """Another phone of somebody, for the judge."""
        return Caller(self.town, who, random.Random(self._dice.random()))

    def play(self, story: Story, who: Person) -> None:
        """Tell one story. Raises Lost and Over."""
        story(self.caller(who), self._neighbours)

    def of(self, repertoire: Mapping[Story, int]) -> list[Person]:
        """Those who live by these stories."""
        return [who for who, plays in self._roles if plays is repertoire]

    def _live(self, who: Person, repertoire: Mapping[Story, int], dice: random.Random) -> None:
        """One story after the other, until the storm is over."""
        names, weights = list(repertoire), list(repertoire.values())
        rest = REST * self.town.think_seconds
        self.stopping.wait(dice.uniform(0, 2 * rest))
        while not self.stopping.is_set():
            (story,) = dice.choices(names, weights)
            caller = Caller(self.town, who, dice)
            try:
                story(caller, self._neighbours)
                if story is stories.register:
                    repertoire = stories.CUSTOMERS
                    names, weights = list(repertoire), list(repertoire.values())
            except (Over, Lost):
                self._after_loss(caller)
            except Exception as error:  # noqa: BLE001 - the others go on; the judge hears of it
                self.broken.append(f"{story.__name__}: {type(error).__name__}: {error}")
            caller.hang_up()
            self.stopping.wait(dice.expovariate(1 / rest))

    def _after_loss(self, caller: Caller) -> None:
        """Most dial again, some again and again, to see what became of it; some go on there."""
        for _ in range(caller.dice.choice((0, 1, 2, 4))):
            try:
                caller.think()
                stories.go_on(caller)
            except Lost:
                continue
            except Over:
                pass
            return

    def _people(self, count: int) -> list[tuple[Person, Mapping[Story, int]]]:
        spenders, guessers, strangers = (
            max(1, round(share * count)) for share in (SPENDERS, GUESSERS, STRANGERS)
        )
        customers = count - spenders - guessers - strangers
        made = [(self._customer(SPENDER_MINOR), stories.SPENDERS) for _ in range(spenders)]
        made += [(self._customer(CUSTOMER_MINOR), stories.GUESSERS) for _ in range(guessers)]
        made += [(self._customer(CUSTOMER_MINOR), stories.CUSTOMERS) for _ in range(customers)]
        made += [(self._stranger(), stories.STRANGERS) for _ in range(strangers)]
        return made

    def _customer(self, balance_minor: int) -> Person:
        who = Person(
            msisdn(self._dice), "Amina Wanjiru", "customer", self._one_pin(), "", balance_minor
        )
        self._add(who)
        return who

    def _agent(self, number: int) -> Person:
        name = f"Kiosk {_letters(number)}"
        who = Person(msisdn(self._dice), name, "agent", self._one_pin(), "", AGENT_MINOR)
        self._add(who)
        who.code = self._parts.db.transact(lambda session: _code(session, who.msisdn))
        return who

    def _stranger(self) -> Person:
        who = Person(msisdn(self._dice), "Baraka Otieno", "stranger", self._one_pin())
        self._journal.write("person", msisdn=who.msisdn, role=who.role, code="", balance_minor=0)
        return who

    def _add(self, who: Person) -> None:
        one = DemoPerson(who.msisdn, who.name, "en", who.role, who.balance_minor)
        parts = self._parts
        add(parts.db, parts.pins, parts.market, one, datetime.now(UTC), who.pin)
        self._journal.write(
            "person",
            msisdn=who.msisdn,
            role=who.role,
            code=who.code,
            balance_minor=who.balance_minor,
        )

    def _one_pin(self) -> str:
        return self._dice.choice(self.pins)

    def _trust(self, session: Session) -> int:
        return int(session.scalar(TRUST, {"currency": self._parts.market.currency.code}) or 0)

    def _pay_in(self) -> None:
        """The trust account at the bank grows by what was paid into the books."""
        market, db = self._parts.market, self._parts.db
        db.transact(lambda session: fund_operator(session, market, datetime.now(UTC)))
        paid_in = db.transact(self._trust) - self._before_minor
        before = self._world.sandbox("GET", "/bank/balance")["balance"]
        amount = f"{Decimal(paid_in) / market.currency.minor_per_major:.2f}"
        self._world.sandbox(
            "POST", "/bank/deposit", {"amount": amount, "reference": "storm", "text": "STORM"}
        )
        self._journal.write("bank", balance_before=before, books_before_minor=self._before_minor)


def _code(session: Session, msisdn: str) -> str:
    person = people_of.find(session, msisdn)
    assert person
    agent = agents_of.of_person(session, person.id)
    assert agent
    return agent.code


def _letters(number: int) -> str:
    return "".join(chr(ord("A") + int(digit)) for digit in f"{number:02d}")


def _pin(dice: random.Random, digits: int) -> str:
    """Digits that no rule of the market calls weak, as far as chance allows."""
    return f"{dice.randrange(3, 10)}{dice.randrange(10 ** (digits - 1)):0{digits - 1}d}"
