"""Random lives of a session at every gateway, compared hop by hop with `delivery`.

Whatever is delivered, how often, in what order and with what luck: an input runs at most once, a
repeat gets the same bytes, a commit is told, and Redis holds no secret.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from app.gateways.wire import Event, Screen, UssdGateway
from app.text.width import fits
from app.ussd.live import SESSION_BYTES
from app.ussd.redelivery import digest
from tests.ussd.book import PIN
from tests.ussd.cutline import CutLine
from tests.ussd.delivery import Told
from tests.ussd.phone import GATEWAYS, KEY, Bench, Clock

COPIES = 3  # twenty at once are in test_redelivery
SECRETS = {"pin", "balance.pin", "first"}  # where an input equal to the one before is no PIN
OVER = "This session is over. Please dial again."
REFUSED = "This session cannot go on. Please dial again. Help: 0711000999"
WRONG = "Something went wrong here. Please dial again. Help: 0711000999"
NOT_KNOWN = (
    "It is not known yet if this was done. Dial again to see before you try once more. "
    "Help: 0711000999"
)
KEYS = ["1", "2", "3", "4", "6", "7", "8", "0", "00", "98", "x", "*", "5*0#0", "#1*", ""]
TYPED = st.sampled_from([*KEYS, "1", "amount", "amount", "amount", "led", "pin", "pin", "wrong"])
STRANGE = st.sampled_from(["2", "9*9", "1*501", "11", "1**", "1*5007391826450", "#", "*"])
WAITS = st.sampled_from([0.5, 0.999, 1.0, 4.0, 9.999, 10.0])


class Machine(RuleBasedStateMachine):
    """One phone at one gateway; the clock moves only when a rule moves it."""

    redis_url: str
    gateway: UssdGateway

    @initialize()
    def begin(self) -> None:
        self.line = CutLine(self.redis_url).__enter__()
        self.redis = Redis.from_url(self.redis_url)
        self.redis.flushdb()
        self.pool = ThreadPoolExecutor(COPIES)
        self.bench = Bench(
            self.line.url, strict=False, wait_places=64, clock=Clock(stopped=datetime.now(UTC))
        )
        self.played = self.bench.played
        self.phone = self.bench.phone(gateway=self.gateway)
        self.version = 1
        self.numbers = itertools.count(100_000)
        self.dial()

    def teardown(self) -> None:
        if hasattr(self, "line"):
            self.pool.shutdown()
            self.redis.close()
            self.line.__exit__(None, None, None)

    # What a delivery may do.

    def deliver(self, text: str, event: Event | None = None, copies: int = 1) -> Screen:
        """Send a hop, once or many times at the same time, and compare."""
        event = event or ("input" if text or self.gateway.mode == "latest" else "new")
        told, played = self.told, self.played
        verdict = told.verdict(text, event, self.bench.clock())
        known = told.version in self.bench.engine.books
        stored, before = self.stored(), (played.dials, played.ran, len(played.paid))
        screens = self.all_at_once([lambda: self.phone.send(text, event)] * copies)
        screen = screens[0]
        assert screens == [screen] * copies
        self.sound(screen)
        dials, ran, paid = (now - then for now, then in zip(self.counts(), before, strict=True))
        if verdict == "dial":
            assert (dials, ran) == (1, 0)
            self.dialled(text, screen)
        elif verdict == "same" or not known:
            assert self.stored() == stored
            assert (dials, ran, paid) == (0, 0, 0)
            if verdict == "same":
                assert screen == told.screen
            else:
                assert (screen.text, screen.open) == (OVER, False)
        else:
            assert dials == 0
            self.answered(text, screen, ran, paid)
        return screen

    def dialled(self, text: str, screen: Screen) -> None:
        """A first screen, or what became of the payment: never the effect of a text."""
        paid = self.played.outcome_of(self.phone.session_hash) is not None
        assert screen.name == ("outcome" if paid and text else "main")
        version = f"t{self.version}"
        self.told = Told(self.gateway, version, [text], screen, self.bench.clock())

    def answered(self, text: str, screen: Screen, ran: int, paid: int) -> None:
        """An input ran once at most, and what it committed was told."""
        told = self.told
        typed, was = told.typed(text), told.screen.name
        set_aside = was in SECRETS and typed == told.led
        assert ran <= (0 if set_aside else 1)
        if set_aside:
            assert screen.name == was
            told.led = None if self.gateway.exactness == "exact" else told.led
        elif was == "amount" and typed not in ("0", "00"):
            assert self.played.inputs[-1] == (self.phone.session_hash, typed.strip())
            assert ran == 1
        assert paid <= 1
        assert paid == (screen.name == "paid")
        if screen.name != was:
            told.led = typed
        told.texts.append(text)
        told.screen, told.answered = screen, self.bench.clock()

    def sound(self, screen: Screen) -> None:
        assert fits(screen.text, self.gateway.septets, self.gateway.ucs2_units), screen.text
        assert screen.text
        assert screen.text != WRONG

    def running(self) -> bool:
        """Whether an input would run. No precondition, because a race may not steer a replay."""
        told = self.told
        return told.kept and told.screen.open and told.version in self.bench.engine.books

    def counts(self) -> tuple[int, int, int]:
        return self.played.dials, self.played.ran, len(self.played.paid)

    def stored(self) -> bytes | None:
        found: Any = self.redis.get(self.phone.key)
        return None if found is None else bytes(found)

    def all_at_once(self, calls: Iterable[Callable[[], Screen]]) -> list[Screen]:
        waiting = list(calls)
        if len(waiting) == 1:
            return [waiting[0]()]
        return [one.result() for one in [self.pool.submit(call) for call in waiting]]

    def next_text(self, typed: str) -> str:
        told = self.told
        at_secret = told.screen.name in (*SECRETS, "second")
        if typed == "amount":
            typed = f"{next(self.numbers)}"
        elif typed == "led":
            typed = told.led or f"8000{next(self.numbers)}"
        elif typed == "wrong":
            typed = f"2000{next(self.numbers)}"
        elif typed == "pin":
            typed = PIN if at_secret else "1"
        if self.gateway.mode == "latest" or not told.texts[-1]:
            return typed
        return f"{told.texts[-1]}*{typed}"

    # What may happen.

    @rule()
    def dial(self) -> None:
        self.phone.dial()
        self.told = Told(
            self.gateway, f"t{self.version}", [""], self.phone.screen, self.bench.clock()
        )
        assert self.phone.screen.name == "main"
        self.sound(self.phone.screen)

    @rule(typed=TYPED)
    def reply(self, typed: str) -> None:
        self.deliver(self.next_text(typed))

    @rule(typed=TYPED)
    def reply_several_times_at_once(self, typed: str) -> None:
        self.deliver(self.next_text(typed), copies=COPIES)

    @rule(copies=st.sampled_from([1, COPIES]))
    def repeat_the_last(self, copies: int) -> None:
        first = len(self.told.texts) == 1 and not self.told.texts[0]
        self.deliver(self.told.texts[-1], "new" if first else None, copies)

    @rule(pick=st.integers(0, 30))
    def repeat_an_older_one(self, pick: int) -> None:
        if self.gateway.exactness == "exact":
            self.deliver(self.told.texts[pick % len(self.told.texts)])

    @rule()
    def dial_on_the_same_id(self) -> None:
        if self.gateway.mode == "latest":
            self.deliver("", "new")
        else:
            self.deliver(self.told.texts[0])

    @rule(less=st.integers(1, 12))
    def shrink(self, less: int) -> None:
        if self.gateway.mode == "accumulated":
            self.deliver(self.told.texts[-1][:-less])

    @rule(strange=STRANGE)
    def do_not_extend(self, strange: str) -> None:
        if self.gateway.mode == "accumulated":
            self.deliver(strange)

    @rule(typed=TYPED)
    def come_from_another_number(self, typed: str) -> None:
        if not self.told.kept:
            return
        before, stored = self.counts(), self.stored()
        for text in (self.told.texts[-1], self.next_text(typed), ""):
            stranger = self.phone.send(text, "input" if text else "new", "+254711000666")
            assert (stranger.text, stranger.open) == (REFUSED, False)
        assert (self.counts(), self.stored()) == (before, stored)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.bench.clock.pass_seconds(seconds)

    @rule()
    def flush(self) -> None:
        self.redis.flushdb()
        self.told.kept = False

    @rule()
    def release(self) -> None:
        """A rolling restart: the menus of now and those before, no others."""
        self.version += 1
        self.bench.release(f"t{self.version}", f"t{self.version - 1}")

    @rule()
    def two_different_inputs_at_once(self) -> None:
        if not self.running():
            return
        name = self.told.screen.name
        kinds = {"amount": ("amount", "amount"), "pin": ("wrong", "wrong")}
        texts = [self.next_text(typed) for typed in kinds.get(name, ("1", "2"))]
        if self.told.texts[-1] in texts:
            return
        before = self.counts()
        first, second = self.all_at_once(
            [lambda text=text: self.phone.send(text) for text in texts]
        )
        dials, ran, paid = (now - then for now, then in zip(self.counts(), before, strict=True))
        assert (dials, paid) == (0, 0)
        if self.gateway.exactness == "exact":
            assert first == second, "the later one does not extend the earlier one"
            assert ran <= 1
        assert ran <= len(texts)
        self.found_after(texts)

    def found_after(self, texts: list[str]) -> None:
        """Which of two came last is known only afterwards."""
        live = self.bench.store.peek(self.phone.session_hash)
        assert live is not None
        told, marks = (
            self.told,
            {digest(KEY, self.phone.session_hash, text): text for text in texts},
        )
        told.screen, told.answered = live.screen(), self.bench.clock()
        told.texts += [marks[mark] for mark in live.seen[1::2] if mark in marks]
        typed = {digest(KEY, self.phone.session_hash, t.rpartition("*")[2]): t for t in texts}
        told.led = typed[live.led].rpartition("*")[2] if live.led in typed else told.led

    @rule(trouble=st.sampled_from(["flush", "cut", "lost answer", "explode", "slow"]))
    def pay_with_bad_luck(self, trouble: str) -> None:
        """Something breaks between the commit and the save."""
        if not self.running() or self.told.screen.name != "pin":
            return

        def explode() -> None:
            raise RuntimeError(PIN)

        self.played.after_commit = {
            "flush": self.redis.flushdb,
            "cut": self.line.cut,
            "lost answer": self.line.lose_answer,
            "explode": explode,
            "slow": lambda: None,
        }[trouble]
        self.played.outcome_after = 0.05 if trouble == "slow" else 0.0
        text, paid = self.next_text("pin"), len(self.played.paid)
        screen = self.phone.send(text)
        self.line.mend()
        self.played.after_commit, self.played.outcome_after = lambda: None, 0.0
        assert len(self.played.paid) == paid + 1
        assert screen.text == NOT_KNOWN if trouble == "explode" else screen.name == "paid"
        self.sound(screen)
        if trouble == "cut":  # the lock was never given back; it expires by itself
            self.redis.delete(f"{self.phone.key}:lock")
            assert self.phone.send(text) == screen, "run again, it moves no more money"
            assert len(self.played.paid) == paid + 1
        self.told.texts.append(text)
        self.told.screen, self.told.answered = screen, self.bench.clock()
        self.told.kept = trouble != "flush"

    # What is always true.

    @invariant()
    def redis_holds_no_secret_and_nothing_large(self) -> None:
        if not hasattr(self, "told"):
            return
        for key in self.redis.scan_iter():
            stored = self.redis.get(key)
            assert PIN.encode() not in key + stored
            assert self.phone.session_id.encode() not in key + stored
            assert len(stored) <= SESSION_BYTES
            assert self.redis.ttl(key) > 0
            assert not key.endswith(b":lock"), "the lock was given back"


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
def test_random_lives(session_redis_url: str, gateway: UssdGateway) -> None:
    machine = type("Lives", (Machine,), {"redis_url": session_redis_url, "gateway": gateway})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )
