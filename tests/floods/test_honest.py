"""The others notice nothing: an honest phone's hops beside a flood, over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.floods.honest import P50, P99, Times, dial, flooding, measure, reply
from tests.people import fresh_msisdn
from tests.web.posting import USSD, call, metric, ussd_form
from tests.world import World, wait_for

AddPerson = Callable[..., str]
SECONDS, BUSY_SECONDS = 3.0, 60.0
FLOODING = "Too much has come from this number."
# Generous, for the machine of a test run is busy with other tests; docs/performance.md has figures.
TIMES_MOST, MS_MOST = 10.0, 250.0


@pytest.fixture(scope="module")
def guarded(
    servers: Servers,
    world_database: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A web process with the limits of the defaults; nobody else is needed for a menu."""
    limits = {
        "NUMBER_HOPS_A_SECOND": "10",
        "NUMBER_DIALS_A_MINUTE": "30",
        "GATEWAY_DIALS_A_SECOND": "300",
        "STRANGER_TRIES_A_MINUTE": "20",
    }
    folder = tmp_path_factory.mktemp("guarded")
    urls = (servers.url(APPLICATION, world_database), servers.url(OWNER, world_database))
    world = World(folder, *urls, redis_url, extra=limits)
    world.start("sandbox", "web", "worker", "worker_sms", "schedule")
    try:
        world.wait_ready()
        yield world
    finally:
        world.stop()


def people(add_person: AddPerson, count: int) -> list[str]:
    return [add_person("en", 100_000) for _ in range(count)]


def noticed_nothing(before: Times, during: Times) -> None:
    assert not during.wrong, during.wrong[:3]
    assert len(during.ms) > 30
    most = max(MS_MOST, TIMES_MOST * before.at(P99))
    assert during.at(P99) <= most, (before.at(P50), before.at(P99), during.at(P50), during.at(P99))


def refused_by(world: World, *limits: str) -> float:
    """Hops that these limits have refused since the web process began."""
    name = 'kibanda_ussd_floods_total{gateway="africastalking",limit="%s"}'
    return sum(metric(world, name % limit) for limit in limits)


def alarms(world: World) -> list[dict[str, object]]:
    lines = (world.folder / "web.log").read_text().splitlines()
    return [json.loads(line) for line in lines if '"ussd_flood"' in line]


def test_one_number_floods(guarded: World, add_person: AddPerson) -> None:
    honest, flooder = people(add_person, 40), add_person("sw", 100_000)
    sample = ("number_dials", "number_hops")
    before = measure(guarded, honest[:20], SECONDS)
    assert not before.wrong, before.wrong[:3]
    with flooding(guarded, flooder, rate=200, connections=8) as flood:
        wait_for(lambda: refused_by(guarded, *sample), BUSY_SECONDS, "the flood")
        during = measure(guarded, honest[20:], SECONDS)
        wait_for(lambda: refused_by(guarded, *sample) > 50, BUSY_SECONDS, "enough of it")
    noticed_nothing(before, during)
    told = flood["told"]
    refused = sum(count for words, count in told.items() if "Maombi ni mengi mno" in words)
    assert refused > 50, told
    assert all(words.startswith("200 ") for words in told), told
    assert refused_by(guarded, *sample) >= refused
    lines = alarms(guarded)
    assert 1 <= len(lines) <= 4, "a line a minute and limit, not one a hop"
    assert {line["level"] for line in lines} == {"error"}
    assert flooder[1:] not in json.dumps(lines), "a number is masked"


def test_strangers_are_held_up_and_the_gateway_beside_them_is_not(guarded: World) -> None:
    """All come from one address, as behind a proxy."""
    with requests.Session() as stranger:
        url = f"{guarded.url}/callbacks/africastalking/ussd"
        told = [
            stranger.post(url, params={"token": "guess"}, data=ussd_form(), timeout=5)
            for _ in range(50)
        ]
    assert [answer.status_code for answer in told] == [403] * 20 + [429] * 30
    assert told[-1].headers["Retry-After"] == "60"
    assert call(guarded, USSD, data=ussd_form()).status_code == 200
    assert metric(guarded, 'kibanda_callbacks_refused_total{reason="stranger"}') == 30
    log = (guarded.folder / "web.log").read_text()
    assert log.count("callback_refused") <= 5
    assert log.count("strangers_flood") == 1


def test_many_numbers_flood(guarded: World, add_person: AddPerson) -> None:
    """More begin than the gateway may: who is inside a menu goes on, others are told to wait."""
    guarded.kill("web")
    guarded.extra["GATEWAY_DIALS_A_SECOND"] = "5"
    guarded.start("web")
    guarded.wait_ready()
    times = Times()
    inside = []
    for msisdn in people(add_person, 6):
        inside += dial(guarded, [msisdn], times)
        time.sleep(0.4)
    with flooding(guarded, fresh_msisdn(), numbers=100_000, connections=8) as flood:
        wait_for(lambda: refused_by(guarded, "gateway_dials"), BUSY_SECONDS, "the crowd")
        reply(guarded, inside, times)
        wait_for(lambda: refused_by(guarded, "gateway_dials") > 50, BUSY_SECONDS, "more of it")
    assert not times.wrong, times.wrong[:3]
    told = flood["told"]
    crowded = sum(
        count for words, count in told.items() if "Watu wengi" in words or "many" in words
    )
    assert crowded > 50, told
    assert all(words.startswith("200 ") for words in told), told
    let_in = sum(told.values()) - crowded
    assert let_in <= 5 * (flood["seconds"] + 2)
    assert refused_by(guarded, "gateway_dials") >= crowded
    time.sleep(1.1)
    assert dial(guarded, people(add_person, 1), after := Times())
    assert not after.wrong, "a second later it is open again"
