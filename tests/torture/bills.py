"""Bills: each is paid while the web or the SMS worker dies, then many under random kills.

J1  one confirmation is sold at most once
J2  a phone or an SMS that said "paid" means sold, and the money is gone exactly once
J3  what was not sold is back in the wallet, and no SMS says paid
J4  each payment has one receipt; a repeat is the same to the byte
J5  a redial after the fault tells an outcome or "in progress", never an error
J6  the ledger verifies and balances
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter

import requests

from app.cli.demo import PIN
from app.runtime import Runtime
from tests.people import fresh_meter
from tests.torture.judge import START_MINOR, Judge, Person, add_people, balance_told, dial_home
from tests.world import World

AMOUNT, TOTAL_MINOR = "200", 21_000
LOAD_SECONDS = 20.0
PHONES_UNDER_LOAD = 6
PROCESS_OF = {
    "confirm.before_commit": "web",
    "confirm.after_commit": "web",
    "sms.after_send": "worker_sms",
}


def judge_person(judge: Judge, who: Person) -> None:
    """J1 to J5 for one person, after everything came to rest."""
    sold = Counter(sale["customer_no"] for sale in judge.world.sales())
    texts = who.phone.sms()
    paid_texts = {text for text in texts if text.startswith("Paid")}
    sold_count = 0
    for meter in who.meters:
        judge.check(sold[meter] <= 1, "J1", f"{meter} was sold {sold[meter]} times")
        sold_count += sold[meter]
        said_paid = any(
            meter in shown and shown.startswith("Paid") for shown in (*who.screens, *texts)
        )
        judge.check(not said_paid or sold[meter] == 1, "J2", f"{meter}: paid was said, not sold")
        receipts = {text for text in paid_texts if meter in text}
        judge.check(len(receipts) == sold[meter], "J4", f"{meter}: {len(receipts)} receipts")
    balance = balance_told(who.phone)
    expected = START_MINOR - TOTAL_MINOR * sold_count
    judge.check(balance == expected, "J2/J3", f"told {balance}, sold leaves {expected}")
    judge.check(
        not any("rror" in screen for screen in who.screens[-1:]),
        "J5",
        f"last screen {who.screens[-1]!r}",
    )


def pay(who: Person) -> None:
    """One bill payment from the phone; the screen after the PIN is kept, whatever it says."""
    meter = fresh_meter()
    phone = who.phone
    dial_home(phone)
    for reply in ("1", "1", "1", meter, AMOUNT):
        if not phone.open:
            return
        screen = phone.reply(reply)
    if "PIN" not in screen:
        return
    who.meters.append(meter)
    who.screens.append(phone.reply(PIN))


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
