"""The small kill harness: `make torture-small`, or `python -m tests.torture [--seed N]`.

Runs the real system, pays bills from phones, and kills processes with -9: once at every named
failpoint, then at random under load. Judged by what the outside saw and nothing else: the screens
of the phones, what the biller sold, what the SMS gateway took, the balance that a phone is told;
and by `verify` and `trial-balance`.

    J1  one confirmation is sold at most once
    J2  a phone or an SMS that said "paid" means sold, and the money is gone exactly once
    J3  what was not sold is back in the wallet, and no SMS says paid
    J4  each payment has one receipt; a repeat is the same to the byte
    J5  a redial after the fault tells an outcome or "in progress", never an error
    J6  the ledger verifies and balances
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import requests

from app import failpoints
from app.cli.demo import PIN, DemoPerson, add
from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from launcher.servers import Servers, temporary_servers
from tests.people import fresh_meter, fresh_msisdn
from tests.servers import migrate
from tests.world import Phone, World, wait_for

START_MINOR = 1_000_000
AMOUNT, FEE_MINOR, TOTAL_MINOR = "200", 1_000, 21_000
SETTLE_SECONDS = 60.0  # leases run 30 s; then comes the sweep
LOAD_SECONDS = 20.0
PHONES_UNDER_LOAD = 6
PROCESS_OF = {
    "confirm.before_commit": "web",
    "confirm.after_commit": "web",
    "payment.after_biller_answer": "worker",
    "settle.before_commit": "worker",
    "settle.after_commit": "worker",
    "sms.after_send": "worker_sms",
}
_REFERENCE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{8}\b")
_BALANCE = re.compile(r"Balance KES ([\d,]+)\.(\d\d)")


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

    def person(self, who: Person) -> None:
        """J1 to J5 for one person, after everything came to rest."""
        sold = Counter(sale["customer_no"] for sale in self.world.sales())
        texts = who.phone.sms()
        paid_texts = {text for text in texts if text.startswith("Paid")}
        sold_count = 0
        for meter in who.meters:
            self.check(sold[meter] <= 1, "J1", f"{meter} was sold {sold[meter]} times")
            sold_count += sold[meter]
            said_paid = any(
                meter in shown and shown.startswith("Paid") for shown in (*who.screens, *texts)
            )
            self.check(not said_paid or sold[meter] == 1, "J2", f"{meter}: paid was said, not sold")
            receipts = {text for text in paid_texts if meter in text}
            self.check(len(receipts) == sold[meter], "J4", f"{meter}: {len(receipts)} receipts")
        balance = balance_told(who.phone)
        expected = START_MINOR - TOTAL_MINOR * sold_count
        self.check(balance == expected, "J2/J3", f"told {balance}, sold leaves {expected}")
        self.check(
            not any("rror" in screen for screen in who.screens[-1:]),
            "J5",
            f"last screen {who.screens[-1]!r}",
        )

    def ledger(self) -> None:
        for command in ("verify", "trial-balance"):
            answer = self.world.flask(command)
            self.check(answer.returncode == 0, "J6", f"{command}: {answer.stdout[-500:]}")


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
    """The balance in minor units that the phone is shown, after the PIN."""
    home = dial_home(phone)
    choice = next((line.split()[0] for line in home.splitlines() if line.endswith("Balance")), None)
    if choice is None:
        return None
    phone.reply(choice)
    found = _BALANCE.search(phone.reply(PIN))
    return int(found[1].replace(",", "")) * 100 + int(found[2]) if found else None


def pay(who: Person) -> None:
    """One bill payment from the phone; the screen after the PIN is kept, whatever it says."""
    meter = fresh_meter()
    phone = who.phone
    dial_home(phone)
    for reply in ("1", "1", meter, AMOUNT):
        if not phone.open:
            return
        screen = phone.reply(reply)
    if "PIN" not in screen:
        return
    who.meters.append(meter)
    who.screens.append(phone.reply(PIN))


def add_people(parts: Runtime, world: World, count: int) -> list[Person]:
    """New registered people with `START_MINOR` each."""
    people = []
    for _ in range(count):
        who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", START_MINOR)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
        people.append(Person(Phone(world, who.msisdn)))
    return people


def at_failpoint(name: str, parts: Runtime, world: World, judge: Judge) -> Person:
    """Let the process die at one failpoint in the middle of a payment, bring it back, redial."""
    process = PROCESS_OF[name]
    (who,) = add_people(parts, world, 1)
    world.kill(process)
    world.start(process, failpoint=name)
    world.wait_ready()
    judge.check(reach_failpoint(name, who, world), "harness", f"{name} was never reached")
    if world.running(process):
        world.kill(process)
    world.start(process)
    world.wait_ready()
    who.screens.append(who.phone.dial())
    return who


def reach_failpoint(name: str, who: Person, world: World) -> bool:
    """Pay until the process is gone; whether it went."""
    before = world.deaths(PROCESS_OF[name])
    pay(who)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if world.deaths(PROCESS_OF[name]) > before:
            return True
        time.sleep(0.05)
    return False


def under_load(parts: Runtime, world: World, dice: random.Random) -> tuple[list[Person], int]:
    """People pay while processes are killed at random; they, and how many were killed."""
    people = add_people(parts, world, PHONES_UNDER_LOAD)
    world.fault("biller:stima", "slow", seconds=0.3)
    stop = threading.Event()
    threads = [threading.Thread(target=keep_paying, args=(who, stop)) for who in people]
    for thread in threads:
        thread.start()
    killed = 0
    end = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < end:
        time.sleep(dice.uniform(0.5, 2.5))
        process = dice.choice(("web", "worker", "worker_sms", "schedule"))
        world.kill(process)
        world.start(process)
        killed += 1
        if dice.random() < 0.3:
            world.flush_redis()
    stop.set()
    for thread in threads:
        thread.join(60)
    world.clear_faults()
    world.wait_ready()
    for who in people:
        who.screens.append(who.phone.dial())
    return people, killed


def keep_paying(who: Person, stop: threading.Event) -> None:
    while not stop.is_set() and len(who.meters) < 12:
        with contextlib.suppress(requests.RequestException):
            pay(who)


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Print a step with how long it took."""
    started = time.monotonic()
    yield
    print(f"{step:32} {time.monotonic() - started:5.1f} s", flush=True)


def run(servers: Servers, folder: Path, seed: int) -> int:
    """Everything; prints a line a step, returns the exit code."""
    dice = random.Random(seed)
    app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
    migrate(owner_url)
    parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
    world = World(folder, app_url, owner_url, servers.redis_url)
    judge = Judge(world)
    world.start()
    try:
        world.wait_ready()
        people = []
        for name in failpoints.NAMES:
            with timed(name):
                people.append(at_failpoint(name, parts, world, judge))
        with timed("killing at random under load"):
            under, killed = under_load(parts, world, dice)
        people += under
        with timed("coming to rest"):
            wait_rest(world)
        for who in people:
            judge.person(who)
        judge.ledger()
    finally:
        world.stop()
        parts.db.dispose()
    for fault in judge.faults:
        print(fault)
    confirmed = sum(len(who.meters) for who in people)
    faults = len(judge.faults)
    print(f"seed {seed}: {confirmed} confirmations, {killed} random kills, {faults} faults")
    return 1 if judge.faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    seed = parser.parse_args().seed
    print(f"seed {seed}", flush=True)
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        return run(servers, Path(folder), seed)


if __name__ == "__main__":
    sys.exit(main())
