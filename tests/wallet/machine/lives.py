"""The states and tiers of people and agents, and the clock with all that it brings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from app.wallet import agents, ledger, people
from tests.wallet.machine.base import Base
from tests.wallet.machine.books import Refused
from tests.wallet.machine.model import AWAKE

LIFE_MOST = timedelta(days=60)
ALL_PEOPLE = 100_000


class Lives(Base):
    def change(self, name: str, what: str) -> None:
        """As staff or the clock do."""
        changes: dict[str, Callable[[str], None]] = {
            "suspend": self.suspend, "resume": self.resume, "sleep": self.fall_asleep,
            "wake": self.wake,
            "shut the counter": partial(self.set_agent, suspended=True),
            "open the counter": partial(self.set_agent, suspended=False),
        }  # fmt: skip
        if what in changes:
            changes[what](name)
        else:
            self.set_tier(name, what)

    def is_suspended(self, name: str) -> bool:
        return self.model.people[name].state == "suspended"

    def set_tier(self, name: str, tier: str) -> None:
        def model() -> None:
            self.model.people[name].tier = tier

        self._change(
            f"{name} has {tier}",
            name,
            lambda s: people.set_tier(s, self.ids[name], tier, self.now),
            (*AWAKE, "suspended"),
            model,
        )

    def suspend(self, name: str) -> None:
        self._change_state(name, people.suspend, AWAKE, "suspended")

    def resume(self, name: str) -> None:
        self._change_state(name, people.resume, ("suspended",), "active")

    def fall_asleep(self, name: str) -> None:
        """Half a year in which nobody else was quiet."""
        later = self.now + timedelta(days=self.market.people.dormant_days + 1)

        def sleep(session: Session) -> None:
            people.find_dormant(session, self.market, later, limit=ALL_PEOPLE)
            for other, person_id in self.ids.items():
                if other != name and self.model.people[other].state == "active":
                    people.wake(session, person_id, self.now)

        self.town.run(sleep)
        if self.model.people[name].state == "active" and name not in self.agent_ids:
            self.model.people[name].state = "dormant"
        self.check_states()

    def wake(self, name: str) -> None:
        """A right PIN."""
        self.town.run(lambda s: people.wake(s, self.ids[name], self.now))
        if self.model.people[name].state == "dormant":
            self.model.people[name].state = "active"
        self.check_states()

    def set_agent(self, name: str, *, suspended: bool) -> None:
        if name not in self.agent_ids:
            return
        state = "suspended" if suspended else "active"
        self.town.run(lambda s: agents.set_state(s, self.agent_ids[name], state))
        self.model.agents[name].suspended = suspended

    # ---- the clock

    def pass_time(self, by: timedelta) -> None:
        if self.now + by - self.began < LIFE_MOST:
            self.model.now += by

    def end_holds(self) -> None:
        """The ledger's own end of holds, which no chore waits for."""
        self.town.run(lambda s: ledger.expire_holds(s, now=self.now, limit=10_000))
        self.books.run_out(self.now)

    def roll_up(self) -> None:
        self.town.run(ledger.roll_up)

    def check_states(self) -> None:
        for name, person_id in self.ids.items():
            state = self.town.run(lambda s: people.get(s, person_id).state)  # noqa: B023
            assert state == self.model.people[name].state, name

    def _change_state(
        self, name: str, change: Callable[..., None], before: tuple[str, ...], state: str
    ) -> None:
        def model() -> None:
            self.model.people[name].state = state

        self._change(
            f"{name} becomes {state}",
            name,
            lambda s: change(s, self.ids[name], self.now),
            before,
            model,
        )

    def _change(
        self,
        what: str,
        name: str,
        real: Callable[[Session], Any],
        before: tuple[str, ...],
        then: Callable[[], None],
    ) -> None:
        """Something that only people in one of these states can become."""

        def model(_: Any) -> None:
            if self.model.people[name].state not in before:
                raise Refused("person_state")
            then()

        self.same(what, real, model)
