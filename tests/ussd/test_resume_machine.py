"""Random lives of one number with many sessions, some of them late, beside a model of what may be
continued: one intent is never in two sessions that go on, and gets one right PIN at most."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

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

from app.ussd.live import SESSION_BYTES
from tests.ussd import shop
from tests.ussd.book import PIN
from tests.ussd.phone import GATEWAYS, Clock, Phone, at_once
from tests.ussd.shop import ASKS_PIN, GOES_ON, WRONG_PIN

DIAL_AGAIN = "engine.dial_again"
WINDOW_SECONDS = 300
LATELY = st.integers(0, 2)  # which session: the last one, the one before, …
TYPED = st.sampled_from(["1", "1", "1", "2", "3", "77", "77", "x", "0", "00", PIN, PIN, WRONG_PIN])


@dataclass
class Session:
    """A session as the model knows it. `offers` is what its Resume would continue: which session,
    after how many of its hops, and where. `over`: another one has continued it."""

    phone: Phone
    version: str
    answered: datetime
    offers: tuple[Session, int, str] | None = None
    hops: int = 0
    tried: bool = False
    over: bool = False

    @property
    def state(self) -> str:
        return self.phone.screen.name

    def takes(self) -> None:
        """Note an input that was answered."""
        self.hops += 1
        self.answered = self.phone.bench.clock()
        self.tried = self.tried and self.state not in ("main", "resume")

    def can_be_continued(self) -> tuple[Session, int, str] | None:
        if self.over or not self.phone.screen.open or self.tried:
            return None
        if self.state == "resume":
            return self.offers
        target = GOES_ON.get(self.state)
        return (self, self.hops, target) if target else None


class Machine(RuleBasedStateMachine):
    redis_url: str

    @initialize()
    def begin(self) -> None:
        self.redis = Redis.from_url(self.redis_url)
        self.redis.flushdb()
        still = Clock(stopped=datetime.now(UTC))
        self.bench = shop.bench(self.redis_url, wait_places=32, clock=still)
        self.shop = self.bench.played
        self.version = 1
        self.sessions: list[Session] = []
        self.dial(0)

    def teardown(self) -> None:
        if hasattr(self, "redis"):
            self.redis.close()

    @rule(gateway=st.integers(0, len(GATEWAYS) - 1))
    def dial(self, gateway: int) -> None:
        old = self.sessions[-1] if self.sessions else None
        phone = self.bench.phone(gateway=GATEWAYS[gateway])
        phone.dial()
        new = Session(phone, f"t{self.version}", self.bench.clock())
        if old and old.version == new.version and self.age(old) <= WINDOW_SECONDS:
            new.offers = old.can_be_continued()
        assert new.state == ("resume" if new.offers else "main")
        self.sessions.append(new)

    @rule(late=LATELY, typed=TYPED)
    def reply(self, late: int, typed: str) -> None:
        one = self.session(late)
        if not (one and one.phone.screen.open):
            return
        was, tries = one.state, self.shop.tried
        self.bench.clock.pass_seconds(2)  # a `window` gateway would take it for a repeat
        ran, text, screen = self.shop.ran, one.phone.text, one.phone.screen
        one.phone.reply(typed)
        if one.over or one.version not in self.bench.engine.books:
            assert (one.state, self.shop.ran) == (DIAL_AGAIN, ran)
            one.phone.text, one.phone.screen = text, screen
            return
        one.tried = one.tried or (was in ASKS_PIN and typed in (PIN, WRONG_PIN))
        if was == "resume" and typed == "1":
            self.went_on(one)
        assert self.shop.tried <= tries + 1
        one.takes()

    def went_on(self, one: Session) -> None:
        """The offer holds while the old session has not moved."""
        assert one.offers
        old, hops, target = one.offers
        if old.over or old.hops != hops:
            assert (one.state, one.phone.screen.open) == (DIAL_AGAIN, False)
        else:
            assert one.state == target
            old.over = True

    @rule(late=LATELY, typed=TYPED)
    def choose_while_the_old_session_is_answered(self, late: int, typed: str) -> None:
        """Both at once: one of them comes first."""
        one = self.session(late)
        if not (one and one.offers and one.state == "resume") or one.over:
            return
        old, hops, target = one.offers
        known = {one.version, old.version} <= self.bench.engine.books.keys()
        if old.over or old.hops != hops or not old.phone.screen.open or not known:
            return
        self.bench.clock.pass_seconds(2)
        was, texts = old.state, (one.phone.longer("1"), old.phone.longer(typed))
        chosen, late_one = at_once(
            partial(one.phone.send, texts[0]), partial(old.phone.send, texts[1])
        )
        assert {chosen.name, late_one.name} >= {DIAL_AGAIN}
        one.phone.text, one.phone.screen = texts[0], chosen
        one.takes()
        if late_one.name == DIAL_AGAIN:
            assert chosen.name == target
            old.over = True
        else:
            old.phone.text, old.phone.screen = texts[1], late_one
            old.tried = old.tried or (was in ASKS_PIN and typed in (PIN, WRONG_PIN))
            old.takes()

    @rule(late=LATELY, copies=st.sampled_from([1, 3]))
    def repeat(self, late: int, copies: int) -> None:
        one = self.session(late)
        if one is None or one.phone.gateway.exactness == "window":
            return
        ran, screen = self.shop.ran, one.phone.screen
        for again in at_once(*[one.phone.again] * copies):
            assert again.name == DIAL_AGAIN if one.over else again.text == screen.text
        assert self.shop.ran == ran

    @rule()
    def wait_past_the_window(self) -> None:
        self.bench.clock.pass_seconds(WINDOW_SECONDS + 1)

    @rule()
    def release(self) -> None:
        self.version += 1
        self.bench.release(f"t{self.version}", f"t{self.version - 1}")

    @rule()
    def flush(self) -> None:
        self.redis.flushdb()
        self.sessions = []

    @invariant()
    def one_intent_is_in_one_session(self) -> None:
        if not hasattr(self, "sessions"):
            return
        found = [self.bench.store.peek(one.phone.session_hash) for one in self.sessions]
        intents = Counter(
            live.data["intent"] for live in found if live and live.open and "intent" in live.data
        )
        assert max(intents.values(), default=1) == 1
        assert max(self.shop.right.values(), default=1) == 1
        assert len(self.shop.paid) == len(self.shop.right)

    @invariant()
    def redis_holds_no_secret_and_nothing_large(self) -> None:
        if not hasattr(self, "sessions"):
            return
        for key in self.redis.scan_iter():
            stored: Any = self.redis.get(key)
            assert PIN.encode() not in key + stored
            assert len(stored) <= SESSION_BYTES
            assert self.redis.ttl(key) > 0
            assert not key.endswith(b":lock")

    def session(self, late: int) -> Session | None:
        return self.sessions[-1 - late] if late < len(self.sessions) else None

    def age(self, one: Session) -> float:
        return (self.bench.clock() - one.answered).total_seconds()


def test_random_lives_of_a_number(session_redis_url: str) -> None:
    machine = type("Lives", (Machine,), {"redis_url": session_redis_url})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=100, stateful_step_count=50, deadline=None)
    )
