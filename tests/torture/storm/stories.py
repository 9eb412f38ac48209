"""What people do: each story is one call, told on a phone. Nobody confirms the same thing twice."""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections.abc import Callable, Mapping

from tests.torture.storm.caller import Caller, Lost, Over
from tests.torture.storm.neighbours import SHORTCUTS, Neighbours, choose_all, msisdn, to_bill

Story = Callable[[Caller, Neighbours], None]
NONSENSE = ("", "x", "#", "*", "00", "98", "999999", "0", "pay please", "ñandú", "-1", "1" * 40)
BARRIER_SECONDS = 10.0
RACES, RACED_LEAST_MINOR = 3, 10_000


def pay_bill(caller: Caller, town: Neighbours) -> None:
    """Out of the own wallet."""
    caller.confirm(to_bill(caller, town, caller.follow(caller.home(), "Pay bill")))


def pay_bill_at_counter(caller: Caller, town: Neighbours) -> None:
    """An agent pays for somebody who brings the cash."""
    screen = caller.follow(caller.home(), "Pay a bill")
    customer = town.other(caller.dice, caller.person).msisdn
    caller.confirm(to_bill(caller, town, screen, customer))


def pay_by_shortcut(caller: Caller, town: Neighbours) -> None:
    """Number and amount in the code that is dialled; all that is owed is chosen."""
    code, digits, most = caller.dice.choice(SHORTCUTS)
    number = town.customer(caller.dice, digits)
    if most:
        amount = town.amount(caller.dice, caller.person, number, 50, most)
        caller.confirm(caller.dial(f"{code}*{number}*{amount}"))
    else:
        caller.confirm(choose_all(caller, caller.dial(f"{code}*{number}"), "Pay {all}"))


def send(caller: Caller, town: Neighbours) -> None:
    to = town.other(caller.dice, caller.person).msisdn
    amount = town.amount(caller.dice, caller.person, to, 10, 300)
    caller.confirm(caller.follow(caller.home(), "Send money", f"={to}", f"={amount}"))


def send_too_much(caller: Caller, town: Neighbours) -> None:
    """About half of what somebody has, or of what they may: often more than is left."""
    to = town.other(caller.dice, caller.person).msisdn
    half = caller.person.balance_minor // 200
    amount = town.amount(caller.dice, caller.person, to, half, half + half // 3)
    caller.confirm(caller.follow(caller.home(), "Send money", f"={to}", f"={amount}"))


def send_twice_at_once(caller: Caller, town: Neighbours) -> None:
    """Two phones of one number, both PINs at the same moment, together more than there is; and so
    again with half of it, which is what is left at most.
    """
    for _ in range(RACES):
        second = Caller(caller.town, caller.person, random.Random(caller.dice.random()))
        barrier = threading.Barrier(2)
        other = threading.Thread(target=_race, args=(second, town, barrier), name="second phone")
        other.start()
        _race(caller, town, barrier)
        other.join()
        caller.person.balance_minor = max(caller.person.balance_minor // 2, RACED_LEAST_MINOR)
        if caller.town.stopping.is_set():
            return


def _race(caller: Caller, town: Neighbours, barrier: threading.Barrier) -> None:
    """Send more than half of what there is, with the PIN when the other phone has got so far."""

    def wait() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # the other did not get so far
            barrier.wait(BARRIER_SECONDS)

    to = town.other(caller.dice, caller.person).msisdn
    half = caller.person.balance_minor // 200
    amount = town.amount(caller.dice, caller.person, to, half + 1, half + 1 + half // 3)
    try:
        caller.confirm(caller.follow(caller.home(), "Send money", f"={to}", f"={amount}"), wait)
    except (Lost, Over):
        barrier.abort()


def send_by_code(caller: Caller, town: Neighbours) -> None:
    """To a number of nobody: it collects at an agent, or opens a wallet one day."""
    may_register = town.strangers and caller.dice.random() < 0.3
    nobody = caller.dice.choice(town.strangers).msisdn if may_register else msisdn(caller.dice)
    amount = town.amount(caller.dice, caller.person, nobody, 50, 300)
    caller.confirm(caller.follow(caller.home(), "Send money", f"={nobody}", f"={amount}"))
    if not may_register:
        town.code_waits(nobody)


def withdraw(caller: Caller, town: Neighbours) -> None:
    agent = caller.dice.choice(town.agents)
    amount = town.amount(caller.dice, caller.person, agent.code, 50, 300)
    caller.confirm(
        caller.follow(
            caller.home(), "Withdraw cash", "I am at the agent", f"={agent.code}", f"={amount}"
        )
    )


def cash_in(caller: Caller, town: Neighbours) -> None:
    to = town.other(caller.dice, caller.person).msisdn
    amount = town.amount(caller.dice, caller.person, to, 50, 500)
    caller.confirm(caller.follow(caller.home(), "Cash in", f"={to}", f"={amount}"))


def pay_code(caller: Caller, town: Neighbours) -> None:
    """The agent pays a code out; its receiver reads it from the own phone."""
    receiver = town.take_code(caller.dice)
    said = [town.sms.read(sms["text"]) for sms in town.world.inbox(receiver)]
    codes = [one.facts["code"] for one in said if one and one.key == "sms.voucher_code"]
    if not codes:
        town.code_waits(receiver)
        raise Over("the code has not come yet")
    caller.follow(caller.home(), "Pay an SMS code", f"={receiver}")
    caller.confirm(caller.reply(codes[-1]))


def register(caller: Caller, _town: Neighbours) -> None:
    """A number of nobody opens a wallet."""
    screen = caller.follow(caller.home(), "English", "I agree", f"={caller.person.name}")
    if "Choose a PIN" not in screen or "once more" not in caller.enter_pin():
        raise Over("no PIN was asked for")
    caller.enter_pin()


def see_balance(caller: Caller, _town: Neighbours) -> None:
    screen = caller.home()
    if "Cash in" in screen:
        screen = caller.choose(screen, "Float")
    caller.choose(screen, "Balance")
    caller.enter_pin()


def see_payments(caller: Caller, _town: Neighbours) -> None:
    screen = caller.home()
    if "Cash in" in screen:
        caller.follow(screen, "Reports", "Last transactions", "=1")
    else:
        caller.follow(screen, "My payments", "=1")


def redial(caller: Caller, _town: Neighbours) -> None:
    caller.dial()
    caller.hang_up()


def type_nonsense(caller: Caller, _town: Neighbours) -> None:
    caller.home()
    for _ in range(caller.dice.randint(1, 6)):
        caller.reply(caller.dice.choice(NONSENSE) or "  ")


def give_up_halfway(caller: Caller, town: Neighbours) -> None:
    """Up to the PIN, then gone; sometimes the next call goes on there."""
    to = town.other(caller.dice, caller.person).msisdn
    amount = town.amount(caller.dice, caller.person, to, 10, 300)
    way = ("Send money", f"={to}", f"={amount}")
    caller.follow(caller.home(), *way[: caller.dice.randint(1, 3)])
    caller.hang_up()
    caller.think()
    go_on(caller)


def mistype_and_give_up(caller: Caller, town: Neighbours) -> None:
    """A wrong PIN instead of an agreement, then gone: the next dial says that it was not done."""
    to = town.other(caller.dice, caller.person).msisdn
    amount = town.amount(caller.dice, caller.person, to, 10, 300)
    caller.follow(caller.home(), "Send money", f"={to}", f"={amount}")
    caller.mistype()
    caller.hang_up()


def go_on(caller: Caller) -> None:
    """Dial again; where a call was cut off, some go on to its end."""
    screen = caller.dial()
    if "Go on where you were" not in screen or caller.dice.random() < 0.3:
        return
    screen = caller.reply("1")
    for label in ("Confirm", "Pay"):
        if re.search(rf"^\d+ {label}$", screen, re.MULTILINE):
            caller.confirm(caller.choose(screen, label))
            return


def guess_pin(caller: Caller, _town: Neighbours) -> None:
    """Somebody has the phone and not the PIN."""
    caller.choose(caller.home(), "Balance")
    caller.guess()


CUSTOMERS: Mapping[Story, int] = {
    pay_bill: 26,
    pay_by_shortcut: 34,
    send: 18,
    send_by_code: 6,
    withdraw: 10,
    see_balance: 6,
    see_payments: 4,
    redial: 4,
    type_nonsense: 5,
    give_up_halfway: 6,
    mistype_and_give_up: 1,
}
AGENTS: Mapping[Story, int] = {
    cash_in: 45,
    pay_code: 20,
    pay_bill_at_counter: 20,
    see_balance: 5,
    see_payments: 5,
    redial: 5,
}
SPENDERS: Mapping[Story, int] = {send_too_much: 4, send_twice_at_once: 5, redial: 1}
GUESSERS: Mapping[Story, int] = {guess_pin: 1}
STRANGERS: Mapping[Story, int] = {register: 6, type_nonsense: 1, give_up_halfway: 1}
