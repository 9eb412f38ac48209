"""The system around a soak: it is started, paid into at the workers' pace, and brought to rest."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from requests import RequestException
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.cli.demo import DemoPerson, add
from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from app.wallet import people
from app.wallet.people import Person
from bench.figures import Figure
from bench.soak import judging, purchases
from bench.soak.judging import Seconds, Verdict
from bench.soak.paying import Payer
from bench.soak.purchases import Purchase
from launcher.servers import temporary_servers
from sandbox.billers.accounts import from_billers
from sandbox.billers.kinds import kinds_of
from tests import quick_market
from tests.people import fresh_msisdn
from tests.servers import migrate
from tests.world import READY_SECONDS, World, wait_for

PAYERS_AT_ONCE = 4
AT_ONCE = 100  # payments between two looks at how far the workers are
HELD_MOST = 60
PURCHASES_A_PERSON = 50
BALANCE_MINOR = 20_000_000
FILES_WAIT_SECONDS = 10.0
DRAINED_SECONDS = 300.0
REST_SECONDS = 60.0  # beyond the doubt: leases run 30 s
_HELD = text("SELECT count(*) FROM payments WHERE state = 'held' AND NOT biller = ANY (:by_file)")
_MOVING = text("""
    SELECT (SELECT count(*) FROM payments WHERE state IN ('held', 'sent', 'unknown'))
         + (SELECT count(*) FROM messages WHERE state IN ('due', 'sending'))
""")


@dataclass(frozen=True)
class Servers:
    """Where a soak has its database and its Redis, which are its own."""

    app_url: str
    owner_url: str
    redis_url: str


@dataclass
class Soak:
    """A running soak."""

    world: World
    parts: Runtime
    doubt_seconds: int
    files_leave_at: datetime
    by_file: list[str] = field(init=False)

    def __post_init__(self) -> None:
        billers = self.parts.market.billers
        self.by_file = [code for code, rules in billers.items() if rules.family == "file"]

    def kinds(self) -> dict[str, dict[str, object]]:
        """What each biller of the sandbox can be told to do."""
        told = from_billers(self.world.environment["SANDBOX_BILLERS"])
        return {code: dict(kinds_of(account)) for code, account in told.items()}

    def count(self, query: object, **values: object) -> int:
        def read(session: Session) -> int:
            return int(session.scalar(query, values) or 0)  # type: ignore[call-overload]

        return self.parts.db.transact(read)

    def held(self) -> int:
        """Confirmed, and not yet sent to a biller that is called."""
        return self.count(_HELD, by_file=self.by_file)

    def is_at_rest(self) -> bool:
        return self.count(_MOVING) == 0


def run(payments: int = 10_000, seed: int | None = None) -> list[Figure]:
    """Print sales a second, seconds to the outcome by biller, and everything that is wrong."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        urls = Servers(servers.url("kibanda_app"), servers.url("kibanda_owner"), servers.redis_url)
        migrate(urls.owner_url)
        verdict = play(Path(folder), urls, payments, seed, doubt_seconds=60)
    for line in verdict.lines:
        print(line, flush=True)
    found = f"wrong after {payments:,} payments with faults"
    return [Figure(found, len(verdict.faults), "", most=0, proof=True)]


def play(
    folder: Path, servers: Servers, payments: int, seed: int | None, *, doubt_seconds: int
) -> Verdict:
    """Buy so much, let all come to rest, and judge. `doubt_seconds`: until staff must decide."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    dice = random.Random(seed)
    with _soaking(folder, servers, payments, doubt_seconds) as soak:
        bought = purchases.draw(soak.parts.market, soak.kinds(), payments, dice)
        paying = _pay_all(soak, bought, dice)
        resting = _rest(soak)
        seconds = Seconds(paying, paying + resting)
        return judging.judge(soak.world, soak.parts, bought, seed=seed, seconds=seconds)


@contextmanager
def _soaking(folder: Path, servers: Servers, payments: int, doubt_seconds: int) -> Iterator[Soak]:
    """With the sandbox alone: what is paid by file is confirmed before the workers' first look."""
    write = partial(quick_market.write, folder, doubt_seconds=doubt_seconds)
    market = write(files_leave_at=datetime.now(UTC))
    world = World(folder, servers.app_url, servers.owner_url, servers.redis_url, market=str(market))
    world.start("sandbox")
    try:
        wait_for(lambda: _answers(world), READY_SECONDS, "the sandbox")
        files_leave_at = datetime.now(UTC) + timedelta(seconds=FILES_WAIT_SECONDS + payments / 200)
        write(files_leave_at=files_leave_at)
        parts = _runtime(world, servers)
        yield Soak(world, parts, doubt_seconds, files_leave_at)
        parts.db.dispose()
    finally:
        world.stop()


def _answers(world: World) -> bool:
    try:
        return world.gateway_took() == []
    except RequestException:
        return False


def _runtime(world: World, servers: Servers) -> Runtime:
    told = {
        "database_url": servers.app_url,
        "redis_url": servers.redis_url,
        "kibanda_market": world.market,
        "biller_credentials": json.loads(world.environment["BILLER_CREDENTIALS"]),
    }
    return build_runtime(Settings.model_validate(told))


def _pay_all(soak: Soak, bought: Sequence[Purchase], dice: random.Random) -> float:
    """Pay for everything; the seconds that it took, and the workers to send it."""
    payer = Payer(soak.parts, soak.world, _people(soak.parts, len(bought)))
    numbered = list(enumerate(bought))
    by_file = sum(purchase.biller in soak.by_file for purchase in bought)
    with ThreadPoolExecutor(PAYERS_AT_ONCE) as pool:
        list(pool.map(payer.pay, *zip(*numbered[:by_file], strict=True)))
        assert datetime.now(UTC) < soak.files_leave_at, "the machine is too slow for the cut-off"
        for code in soak.by_file:
            kind = purchases.draw_fault(soak.kinds()[code], dice).kind
            soak.world.fault(f"biller:{code}", kind, times=1, seconds=1)
        soak.world.start("web", "worker", "worker_sms", "schedule")
        soak.world.wait_ready()
        began = time.monotonic()
        for start in range(by_file, len(numbered), AT_ONCE):
            list(pool.map(payer.pay, *zip(*numbered[start : start + AT_ONCE], strict=True)))
            wait_for(lambda: soak.held() <= HELD_MOST, DRAINED_SECONDS, "the workers")
        wait_for(lambda: soak.held() == 0, DRAINED_SECONDS, "the workers")
    return time.monotonic() - began


def _people(parts: Runtime, purchases_made: int) -> list[Person]:
    """Enough of them that nobody meets a limit; they read English, as the judge does."""
    made = []
    for _ in range(max(8, purchases_made // PURCHASES_A_PERSON)):
        who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", BALANCE_MINOR)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
        made.append(_found(parts, who.msisdn))
    return made


def _found(parts: Runtime, msisdn: str) -> Person:
    person = parts.db.transact(lambda session: people.find(session, msisdn))
    assert person
    return person


def _rest(soak: Soak) -> float:
    """Until nothing moves, the sandbox behaving again; what still does then will be judged."""
    began = time.monotonic()
    soak.world.clear_faults()
    deadline = time.monotonic() + soak.doubt_seconds + REST_SECONDS
    while not soak.is_at_rest() and time.monotonic() < deadline:
        soak.world.keep_house()
        time.sleep(1)
    return time.monotonic() - began
