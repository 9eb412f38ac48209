"""From PIN to receipt: 10 payments a second through the whole system, a biller of 200 ms.

The time runs from the phone sending its PIN to the receipt reaching the sandbox's inbox, by the
clock of this machine, which both share.
"""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.settings import Settings
from bench.figures import Figure
from bench.web import START_SECONDS
from launcher.servers import temporary_servers
from tests.people import fresh_meter, fresh_msisdn
from tests.servers import migrate
from tests.world import Phone, World

PAYMENTS_A_SECOND = 10
SECONDS = 20
BILLER_SECONDS = 0.2
TYPING_AT_ONCE = 4


def run() -> list[Figure]:
    """Seconds from the PIN to the receipt."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        world = World(
            Path(folder),
            app_url,
            owner_url,
            servers.redis_url,
            extra={"WEB_WORKERS": "2"},
            forked=False,
        )
        world.start()
        try:
            world.wait_ready(START_SECONDS)
            phones = _phones(world, app_url, servers.redis_url)
            world.fault("biller:stima", "slow", seconds=BILLER_SECONDS)
            sent = _pay_all(phones)
            return _figures(world, phones, sent)
        finally:
            world.stop()


def _phones(world: World, database_url: str, redis_url: str) -> list[Phone]:
    parts = build_runtime(Settings(database_url=database_url, redis_url=redis_url))
    phones = [Phone(world, fresh_msisdn()) for _ in range(PAYMENTS_A_SECOND * SECONDS)]
    for phone in phones:
        who = DemoPerson(phone.msisdn, "Amina Wanjiru", "en", "customer", 100_000)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
    parts.db.dispose()
    return phones


def _pay_all(phones: list[Phone]) -> dict[str, float]:
    """Every phone types up to its PIN; then the PINs leave at an even pace.

    Few type at a time: name checks beyond the places for waiting would be refused as crowded.
    """
    sent: dict[str, float] = {}
    lock = threading.Lock()

    def until_pin(phone: Phone) -> None:
        phone.dial()
        for reply in ("1", "1", "1", fresh_meter(), "200"):
            phone.reply(reply)

    def confirm(phone: Phone) -> None:
        with lock:
            sent[phone.msisdn] = time.time()
        phone.reply(PIN)

    per_round = PAYMENTS_A_SECOND * 5
    with ThreadPoolExecutor(TYPING_AT_ONCE) as typing, ThreadPoolExecutor(per_round) as pool:
        for start in range(0, len(phones), per_round):
            batch = phones[start : start + per_round]
            list(typing.map(until_pin, batch))
            began, paying = time.monotonic(), []
            for place, phone in enumerate(batch):
                time.sleep(max(0.0, began + place / PAYMENTS_A_SECOND - time.monotonic()))
                paying.append(pool.submit(confirm, phone))
            for future in paying:
                future.result()
    return sent


def _figures(world: World, phones: list[Phone], sent: dict[str, float]) -> list[Figure]:
    seconds = []
    for phone in phones:
        phone.wait_sms(1)
        arrived = datetime.fromisoformat(world.inbox(phone.msisdn)[0]["at"]).timestamp()
        seconds.append(arrived - sent[phone.msisdn])
    cuts = quantiles(seconds, n=100)
    print(f"{len(seconds)} payments, a biller that takes {BILLER_SECONDS * 1000:.0f} ms")
    wanted = (("p50", cuts[49], 1.0), ("p95", cuts[94], None), ("p99", cuts[98], 3.0))
    return [
        Figure(f"PIN to receipt at {PAYMENTS_A_SECOND}/s, {name}", found, "s", most=most)
        for name, found, most in wanted
    ]
