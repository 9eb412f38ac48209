"""What the outside saw of a storm: phones, billers, the SMS gateway, the bank, the weather.

Nothing here is read from the system's own tables.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

from tests.torture.storm.journal import Record
from tests.torture.storm.weather import FILE as WEATHER_FILE
from tests.world import World


@dataclass(frozen=True)
class Answer:
    """What came back of one delivery of a hop; `status` 0 where nothing came."""

    delivery: str
    sent_at: float
    at: float
    status: int
    body: str

    @property
    def screen(self) -> str:
        return self.body.partition(" ")[2]

    @property
    def came(self) -> bool:
        return 200 <= self.status < 300 and self.body.startswith(("CON ", "END "))


@dataclass(frozen=True)
class Hop:
    """A hop of a session and every answer to it, the earliest first."""

    session: str
    msisdn: str
    number: int
    answers: tuple[Answer, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.session, self.number

    @property
    def said(self) -> list[Answer]:
        """The answers that a phone could show."""
        return [answer for answer in self.answers if answer.came]

    @property
    def sent_at(self) -> float:
        return min(answer.sent_at for answer in self.answers)


@dataclass(frozen=True)
class Confirmation:
    """What somebody agreed to with a right PIN. `key` belongs to no other movement of money."""

    msisdn: str
    session: str
    hop: int
    at: float
    flow: str
    party: str
    amount_minor: int
    fee_minor: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.flow, self.msisdn, self.party, self.amount_minor

    def __str__(self) -> str:
        return f"{self.flow} of {self.amount_minor} by {self.msisdn} for {self.party}"


@dataclass(frozen=True)
class Spell:
    """A stretch of bad weather, in epoch seconds, and what it hurt."""

    began: float
    ended: float
    hurts: frozenset[str]

    def is_of(self, name: str) -> bool:
        """Links are called `from-to`; those that lead to a server are not the server."""
        return any(hurt == name or hurt.startswith(f"{name}-") for hurt in self.hurts)


@dataclass
class Evidence:
    """`sales` and `undone` are by biller; `taken` is what the SMS gateway took; `bank_minor` what
    the bank has; `redials` the first screen that each phone was shown after all was over; `stores`
    whatever the system keeps or says, by its name.
    """

    records: list[Record]
    sales: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    undone: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)
    bank_minor: int = 0
    redials: dict[str, str] = field(default_factory=dict)
    spells: list[Spell] = field(default_factory=list)
    stores: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def of(self, *kinds: str) -> list[Record]:
        return [record for record in self.records if record["kind"] in kinds]

    @cached_property
    def hops(self) -> dict[tuple[str, int], Hop]:
        """Every hop that was delivered, by session and number, in the order of sending."""
        sent = {record["id"]: record["at"] for record in self.of("sent")}
        answers = defaultdict[tuple[str, int], list[Answer]](list)
        of: dict[tuple[str, int], str] = {}
        for shown in self.of("shown"):
            key = shown["session"], shown["hop"]
            of[key] = shown["msisdn"]
            answers[key].append(
                Answer(
                    shown["delivery"], sent[shown["id"]], shown["at"], shown["status"],
                    shown["body"],
                )
            )  # fmt: skip
        found = [
            Hop(key[0], of[key], key[1], tuple(sorted(some, key=lambda one: one.at)))
            for key, some in answers.items()
        ]
        return {hop.key: hop for hop in sorted(found, key=lambda hop: hop.sent_at)}

    @cached_property
    def confirmations(self) -> list[Confirmation]:
        return [
            Confirmation(
                one["msisdn"], one["session"], one["hop"], one["at"], one["flow"], one["party"],
                one["amount_minor"], one["fee_minor"],
            )
            for one in self.of("agreed")
        ]  # fmt: skip

    def given_up(self, msisdn: str, after: float, before: float = inf, but_of: str = "") -> bool:
        """Whether a number was asked for the PIN of something in that time, and mistyped it, in any
        session `but_of` one: where no right PIN follows, "not done" is about that.
        """
        return any(
            after < wrong["at"] < before and wrong["session"] != but_of
            for wrong in self._mistyped[msisdn]
        )

    @cached_property
    def _mistyped(self) -> dict[str, list[Record]]:
        """Wrong PINs of a confirmation, by number."""
        found = defaultdict[str, list[Record]](list)
        for wrong in self.of("mistyped"):
            if wrong["confirming"]:
                found[wrong["msisdn"]].append(wrong)
        return found

    @cached_property
    def _by_number(self) -> dict[str, list[Hop]]:
        found = defaultdict[str, list[Hop]](list)
        for hop in self.hops.values():
            found[hop.msisdn].append(hop)
        return found

    def hops_of(self, msisdn: str) -> list[Hop]:
        """Of one number, in the order of their sending."""
        return self._by_number[msisdn]

    @cached_property
    def people(self) -> dict[str, Record]:
        return {record["msisdn"]: record for record in self.of("person")}

    def answers_to(self, session: str, hop: int) -> list[Answer]:
        found = self.hops.get((session, hop))
        return found.said if found else []

    @cached_property
    def answered(self) -> int:
        """Confirmations whose phone was shown something."""
        return sum(bool(self.answers_to(one.session, one.hop)) for one in self.confirmations)

    def told(self) -> str:
        """How much happened, in two lines."""
        shown = self.of("shown")
        came = sum(bool(one["status"]) for one in shown)
        flows = Counter(one.flow for one in self.confirmations)
        sold = sum(len(sales) for sales in self.sales.values())
        return (
            f"{len(shown)} hops were sent and {came} answered; {len(self.confirmations)}"
            f" confirmations ({_counted(flows)}), {self.answered} of them answered;\n{sold} sales,"
            f" {len(self.taken)} SMS, {len(self.of('look'))} looks"
        )

    def troubled(self, began: float, ended: float, *names: str) -> bool:
        """Whether one of these, or a link from one of these, was hurt in that time."""
        return any(
            spell.began < ended and began < spell.ended and spell.is_of(name)
            for spell in self.spells
            for name in names
        )


def collect(world: World, records: Sequence[Record]) -> Evidence:
    """Ask the outside world, which must be up. Stores, secrets and redials are the caller's."""
    codes = world.country.billers
    bank = Decimal(world.sandbox("GET", "/bank/balance")["balance"])
    return Evidence(
        list(records),
        sales={code: world.sales(code) for code in codes},
        undone={code: world.sandbox("GET", f"/billers/{code}/undone") for code in codes},
        taken=world.gateway_took(),
        bank_minor=int(bank * 10**world.country.exponent),
        spells=[*_by_weather(world.folder / WEATHER_FILE), *_by_looks(records)],
    )


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def _by_weather(path: Path) -> Iterable[Spell]:
    """What the weather has noted of itself; nothing where there was none."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        told = json.loads(line)
        yield Spell(told["began"], told["ended"], frozenset((*told["hurts"], told["kind"])))


def _by_looks(records: Iterable[Record]) -> Iterable[Spell]:
    """What the lookout saw down, from the look before to the look after."""
    looks = [record for record in records if record["kind"] == "look"]
    times = [look["at"] for look in looks]
    for look in looks:
        if look["down"]:
            here = bisect_right(times, look["at"])
            before = times[here - 2] if here > 1 else look["at"] - 1.0
            after = times[here] if here < len(times) else look["at"] + 1.0
            yield Spell(before, after, frozenset(look["down"]))
