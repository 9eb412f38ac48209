"""Few wrong PINs each at many people: it is seen, told, and slowed; a right PIN never waits."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.demo import DemoPerson, add
from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from app.ussd.walk import SPRAYED_SECONDS
from app.wallet.sprays import wrong_pins
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.gateway_client import Session
from tests.people import fresh_msisdn
from tests.web.posting import PIN, metric
from tests.world import World

WRONG = "2580"
MANY = 5
SOON_SECONDS = 1.5


@dataclass
class Town:
    """A system over a database of its own, in which nobody else mistypes."""

    world: World
    parts: Runtime

    def people(self, count: int) -> list[str]:
        numbers = [fresh_msisdn() for _ in range(count)]
        for msisdn in numbers:
            who = DemoPerson(msisdn, "Amina Wanjiru", "en", "customer", 100_000)
            add(self.parts.db, self.parts.pins, self.parts.market, who, datetime.now(UTC), PIN)
        return numbers

    def asked(self, msisdn: str) -> Session:
        """A phone that is asked for its PIN."""
        session = Session(self.world, msisdn)
        session.home()
        assert session.reply("5").startswith("CON Enter PIN to see your balance")
        return session

    def wrong(self) -> int:
        return self.parts.db.transact(wrong_pins).people

    def alarms(self) -> list[dict[str, object]]:
        lines = (self.world.folder / "web.log").read_text().splitlines()
        return [json.loads(line) for line in lines if '"pin_spraying"' in line]


def timed(session: Session, pin: str) -> tuple[float, str]:
    """Seconds and screen of an answer to a PIN."""
    began = time.monotonic()
    shown = session.reply(pin)
    return time.monotonic() - began, shown


@pytest.fixture(scope="module")
def town(
    servers: Servers, own_name: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    application, owner = servers.url(APPLICATION, name), servers.url(OWNER, name)
    folder: Path = tmp_path_factory.mktemp("sprayed")
    extra = {"PIN_SPRAY_PEOPLE": str(MANY), "WEB_THREADS": "16"}
    world = World(folder, application, owner, redis_url, extra=extra)
    parts = build_runtime(Settings(database_url=application, redis_url=redis_url))
    try:
        world.start()
        world.wait_ready()
        yield Town(world, parts)
    finally:
        world.stop()
        parts.sessions.close()
        parts.db.dispose()
        servers.postgres.drop_database(name)


def test_a_spray_is_told_and_slowed_and_the_honest_are_not(town: Town) -> None:
    """One story, for each step needs what those before it left in the tables."""
    for msisdn in town.people(MANY - 1):
        took, shown = timed(town.asked(msisdn), WRONG)
        assert "Wrong PIN" in shown
        assert took < SOON_SECONDS
    forgetful = town.asked(town.people(1)[0])
    assert town.wrong() == MANY - 1
    assert not town.alarms()
    assert metric(town.world, "kibanda_pin_wrong_people") == MANY - 1
    assert metric(town.world, "kibanda_pin_spraying") == 0
    assert "wrong: 4\n" in town.world.flask("status").stdout

    took, shown = timed(forgetful, WRONG)
    assert took >= SPRAYED_SECONDS
    assert shown.startswith("CON Wrong PIN"), "late, but as ever"
    assert town.wrong() == MANY
    (alarm,) = town.alarms()
    assert alarm["level"] == "error"
    assert (alarm["people"], alarm["tries"]) == (MANY, MANY)
    assert metric(town.world, "kibanda_pin_spraying") == 1
    assert metric(town.world, "kibanda_pin_sprays_total") == 1
    assert "PINS ARE SPRAYED" in town.world.flask("status").stdout

    took, shown = timed(forgetful, PIN)
    assert shown.startswith("END Balance"), "a right PIN takes its person out of the count"
    assert took < SOON_SECONDS
    assert town.wrong() == MANY - 1


def test_many_sprayers_at_once_take_no_place_of_a_right_pin(town: Town) -> None:
    sprayed = [town.asked(msisdn) for msisdn in town.people(3 * MANY)]
    honest = [town.asked(msisdn) for msisdn in town.people(4)]
    for session in sprayed[:MANY]:
        session.reply(WRONG)
    with ThreadPoolExecutor(len(sprayed)) as pool:
        wrongs = [pool.submit(timed, session, WRONG) for session in sprayed[MANY:]]
        time.sleep(0.5)
        rights = [timed(session, PIN) for session in honest]
        told = [wrong.result() for wrong in wrongs]
    assert all(shown.startswith("END Balance") for _, shown in rights), rights
    assert max(took for took, _ in rights) < SOON_SECONDS
    waited = [shown for took, shown in told if took >= SPRAYED_SECONDS]
    at_once = [shown for took, shown in told if took < SPRAYED_SECONDS]
    assert waited, told
    assert at_once, told
    assert all(shown.startswith("CON Wrong PIN") for shown in waited)
    assert all(shown.startswith("END Wrong PIN") for shown in at_once), "and must dial anew"
    assert len(town.alarms()) <= 2, "a line a minute, not one a try"
