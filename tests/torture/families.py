"""Every biller family at once: all are paid, all answers are on their way, and a process dies.

F1  one confirmation is sold at most once; what was sold is paid for, what was not is given back
F2  each payment has one outcome, told by one SMS; a repeat is the same to the byte
F3  the SMS of a sale of electricity has its token
F4  what a phone is told of its balance is what its sales leave
F5  the file of a day's end leaves once, and its answer takes effect once

The workers are away while the PINs are typed, so that one process claims everything in one go; the
billers pause before they answer. So a kill hits payments of all families between a request and its
answer. Of two sales of a biller one has no webhook: that one only the next worker can settle.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import text

from app.billers import breaker
from app.cli.demo import PIN
from app.runtime import Runtime
from tests.people import fresh_meter
from tests.torture.judge import START_MINOR, Judge, add_people, balance_told, dial_home
from tests.world import Phone, World

PHONES_AT_ONCE = 4
PAUSE_SECONDS = 0.6
DEATH_SECONDS = 30.0
DEATHS = (
    "payment.after_biller_answer",
    "settle.before_commit",
    "settle.after_commit",
)
DEATHS_BY_FILE = ("batch.after_commit", "batch.after_write", "answer.after_commit")
SENT = text("SELECT DISTINCT biller FROM payments WHERE state = 'sent'")


def _digits(count: int) -> Callable[[], str]:
    """A number that its biller knows and that owes something: 8 or 9 at the end owe nothing."""
    return lambda: f"{random.randrange(10 ** (count - 2), 10 ** (count - 1))}1"


def _listed(first: int) -> Callable[[], str]:
    """A number of the list of a biller that is paid by file, each once."""
    numbers = iter(range(first + 1, first + 200, 10))
    return lambda: str(next(numbers))


@dataclass(frozen=True)
class Story:
    """What is bought: the keys up to the PIN, in which {no} is the customer's number."""

    biller: str
    keys: tuple[str, ...]
    number: Callable[[], str]
    token: bool = False


CALLED = (
    Story("stima", ("1", "1", "1", "{no}", "200"), fresh_meter, token=True),
    Story("stima_post", ("1", "1", "2", "{no}", "1"), _digits(8)),
    Story("jiji", ("1", "1", "3", "{no}", "200"), fresh_meter, token=True),
    Story("jiji", ("1", "1", "4", "{no}", "1"), _digits(8)),
    Story("maji", ("1", "2", "{no}", "1"), _digits(8)),
    Story("afya", ("1", "5", "{no}", "1"), _digits(9)),
    Story("king", ("1", "6", "1", "{no}"), _digits(10)),
    Story("serikali", ("1", "8", "{no}", "1"), lambda: f"AB{_digits(6)()}"),
)
BY_FILE = (
    Story("shule", ("1", "3", "{no}", "1"), _listed(100_000)),
    Story("kliniki", ("1", "4", "{no}", "200"), _listed(1_000_000)),
)
NO_WEBHOOKS = ("jiji", "serikali")  # of ISO 8583


@dataclass
class Payer:
    """A phone that buys one thing again and again, and the numbers that it has confirmed."""

    phone: Phone
    story: Story
    numbers: list[str] = field(default_factory=list)


def payers(parts: Runtime, world: World, stories: Sequence[Story]) -> list[Payer]:
    """Two phones for everything that is bought."""
    twice = [story for story in stories for _ in range(2)]
    people = add_people(parts, world, len(twice))
    return [Payer(who.phone, story) for who, story in zip(people, twice, strict=True)]


def confirm_all(judge: Judge, them: Sequence[Payer]) -> None:
    """All type up to the PIN, then all PINs at once."""
    with ThreadPoolExecutor(PHONES_AT_ONCE) as pool:
        numbers = list(pool.map(_until_pin, them))
    ready = [(who, number) for who, number in zip(them, numbers, strict=True) if number]
    for who in them:
        judge.check(who in [one for one, _ in ready], "harness", f"{who.story} reached no PIN")
    with ThreadPoolExecutor(len(them)) as pool:
        list(pool.map(lambda one: one[0].phone.reply(PIN), ready))
    for who, number in ready:
        who.numbers.append(number)


def at_failpoint(name: str, parts: Runtime, judge: Judge, them: Sequence[Payer]) -> None:
    """Let the worker die at one failpoint while every family's answers are on their way."""
    world = judge.world
    world.kill("worker")
    confirm_all(judge, them)
    _pause(world)
    world.start("worker", failpoint=name)
    flying = _at_death(parts, world, name, judge)
    missing = {who.story.biller for who in them} - flying
    judge.check(len(missing) <= 1, "harness", f"{name}: nothing of {missing} was on its way")
    world.clear_faults()
    _revive(world)


def at_death_of_the_billers(parts: Runtime, judge: Judge, them: Sequence[Payer]) -> None:
    """All billers die with the sandbox, in the pause before they would sell or answer."""
    world = judge.world
    world.kill("worker")
    confirm_all(judge, them)
    _pause(world)
    world.start("worker")
    judge.check(_within(lambda: bool(_sent(parts))), "harness", "nothing was on its way")
    time.sleep(PAUSE_SECONDS)  # so that some are sold, some of them told, and some are not
    world.kill("sandbox")
    world.start("sandbox")
    judge.check(_within(lambda: _answers(world)), "harness", "the billers did not come back")
    judge.check(_within(lambda: _none_shut(parts)), "harness", "a breaker stayed open")


def at_cut_off(parts: Runtime, judge: Judge, them: Sequence[Payer], leave_at: datetime) -> None:
    """The day's end of who is paid by file: the worker dies at each step, then all ends well."""
    world = judge.world
    time.sleep(max(0.0, (leave_at - datetime.now(UTC)).total_seconds()))
    world.kill("worker")
    pause_files(parts, paused=False)
    for name in DEATHS_BY_FILE:
        world.start("worker", failpoint=name)
        died = _within(lambda: _is_dead(world), world.keep_house)
        judge.check(died, "harness", f"{name} was never reached")
        world.kill("worker")
    world.start("worker")
    told = lambda: all(_outcomes(who.phone, number) for who in them for number in who.numbers)  # noqa: E731
    judge.check(_within(told, world.keep_house), "F5", "no outcome of what was paid by file")


def pause_files(parts: Runtime, *, paused: bool) -> None:
    """Who is paid by file gets none while paused, though the cut-off passes."""
    for story in BY_FILE:
        pause = partial(breaker.set_paused, biller=story.biller, paused=paused)
        parts.db.transact(pause)


def judge_all(judge: Judge, parts: Runtime, them: Sequence[Payer]) -> None:
    """F1 to F4, after everything came to rest."""
    billers = sorted({who.story.biller for who in them})
    sales: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for code in billers:
        for sale in judge.world.sales(code):
            sales[code, sale["customer_no"]].append(sale)
    with ThreadPoolExecutor(PHONES_AT_ONCE) as pool:
        balances = list(pool.map(lambda who: balance_told(who.phone), them))
    for who, balance in zip(them, balances, strict=True):
        left = START_MINOR
        for number in who.numbers:
            sold = sales[who.story.biller, number]
            left -= sum(_cost(parts, who.story.biller, sale) for sale in sold)
            _judge_one(judge, who, number, sold)
        judge.check(
            balance == left, "F4", f"{who.story.biller}: told {balance}, sales leave {left}"
        )


def _judge_one(judge: Judge, who: Payer, number: str, sold: Sequence[dict[str, Any]]) -> None:
    name = f"{who.story.biller} {number}"
    judge.check(len(sold) <= 1, "F1", f"{name} was sold {len(sold)} times")
    told = set(_outcomes(who.phone, number))
    judge.check(len(told) == 1, "F2", f"{name}: {len(told)} outcomes told")
    for said in told:
        judge.check(said.startswith("Paid") == bool(sold), "F1", f"{name}: {said!r}")
        for token in sold[0]["tokens"] if sold else ():
            judge.check(token in re.sub(r"\D", "", said), "F3", f"{name}: no token in {said!r}")


def _until_pin(who: Payer) -> str:
    """Type all but the PIN; the customer's number, "" when the PIN was not asked for."""
    number = who.story.number()
    screen = dial_home(who.phone)
    for key in who.story.keys:
        if not who.phone.open:
            return ""
        screen = who.phone.reply(key.format(no=number))
    return number if "PIN" in screen else ""


def _outcomes(phone: Phone, number: str) -> list[str]:
    """What the phone was told became of it. What is accepted or asked about is no outcome."""
    said = [text for text in phone.sms() if number in text]
    return [text for text in said if text.startswith("Paid") or "is back" in text]


def _cost(parts: Runtime, biller: str, sale: dict[str, Any]) -> int:
    amount_minor = round(float(sale["amount"]) * 100)
    tariff = parts.market.bill_tariff(biller, "bill_payment", datetime.now(UTC))
    return amount_minor + tariff.fee(amount_minor, agent=False, super_agent=False).total_minor


def _pause(world: World) -> None:
    """Every biller takes its time; one sale of each has no webhook."""
    for code in sorted({story.biller for story in CALLED}):
        world.fault(f"biller:{code}", "slow", seconds=PAUSE_SECONDS)
        if code not in NO_WEBHOOKS:
            world.fault(f"biller:{code}", "no_webhook", times=1)


def _at_death(parts: Runtime, world: World, name: str, judge: Judge) -> set[str]:
    """Wait for the worker's death; the billers of what is on its way then."""
    judge.check(_within(lambda: _is_dead(world)), "harness", f"{name} was never reached")
    return _sent(parts)


def _sent(parts: Runtime) -> set[str]:
    """Only to know that the kill hit what it should; nothing is judged by it."""
    return set(parts.db.transact(lambda session: session.scalars(SENT).all()))


def _none_shut(parts: Runtime) -> bool:
    """Whether every biller may be asked again, which the next stories begin with."""
    found = parts.db.transact(breaker.standings)
    return all(standing.breaker != "open" for standing in found.values())


def _revive(world: World) -> None:
    world.kill("worker")
    world.start("worker")
    world.wait_ready()


def _answers(world: World) -> bool:
    try:
        return bool(world.gateway_took() is not None)
    except OSError:
        return False


def _is_dead(world: World) -> bool:
    return world.deaths("worker") > 0


def _within(done: Callable[[], bool], keep_house: Callable[[], None] | None = None) -> bool:
    """Whether it came about in time, while the schedule rang for house-keeping or not."""
    deadline = time.monotonic() + DEATH_SECONDS
    while not done():
        if time.monotonic() > deadline:
            return False
        if keep_house:
            keep_house()
        time.sleep(0.5 if keep_house else 0.01)
    return True
