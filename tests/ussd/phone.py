"""A phone before the engine: it types, keeps the accumulated text, and can send a hop again."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from redis import Redis

from app import markets
from app.gateways import africastalking
from app.gateways.wire import Event, Screen, UssdGateway, UssdRequest
from app.markets import Market
from app.sealing import Sealer
from app.ussd.engine import Engine
from app.ussd.hop import Surroundings
from app.ussd.menubook import MenuBook
from app.ussd.session import SessionStore
from tests.ussd import book, texts

KEY = b"k" * 32
AT = africastalking.GATEWAY
WINDOW = UssdGateway("window", "latest", "window", answer_seconds=15, session_seconds=120)
SMALL = UssdGateway("small", "latest", "window", 10, 60, septets=120, ucs2_units=60)
GATEWAYS = [AT, WINDOW, SMALL]  # every guarantee is claimed for each as it declares itself
_numbers = itertools.count(1)


def at_once(*calls: Callable[[], Screen]) -> list[Screen]:
    """What each of them says; all run at the same time, each in a thread."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def cut_engines_off(redis: Redis) -> None:
    """Close every connection to this client's database but its own: others' stay."""
    own = redis.client_id()
    number = str(redis.get_connection_kwargs().get("db", 0))
    cut = [
        one["id"] for one in redis.client_list() if one["db"] == number and int(one["id"]) != own
    ]
    assert cut, "no engine is connected"
    for client in cut:
        redis.client_kill_filter(_id=client)


@dataclass
class Clock:
    """Real time, moved on at will; stopped, it stands still but for that."""

    moved: timedelta = timedelta()
    stopped: datetime | None = None

    def __call__(self) -> datetime:
        return (self.stopped or datetime.now(UTC)) + self.moved

    def pass_seconds(self, seconds: float) -> None:
        self.moved += timedelta(seconds=seconds)


@cache
def market() -> Market:
    """The demo market with PINs of ten digits, which a leak test can look for."""
    demo = markets.load("demo")
    return demo.model_copy(update={"pin": demo.pin.model_copy(update={"length": 10})})


@dataclass
class Bench:
    """An engine over a real Redis, and what its menus act on."""

    redis_url: str
    strict: bool = True
    wait_places: int = 4
    version: str = "t1"
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}:")
    played: Any = field(default_factory=book.Played)
    clock: Clock = field(default_factory=Clock)
    book: Callable[[str], MenuBook[Any]] = book.book
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: texts.TEXTS)

    def __post_init__(self) -> None:
        self.store = SessionStore(self.redis_url, KEY, prefix=self.prefix)
        self.release(self.version)

    def release(self, *versions: str) -> None:
        """A new process with the menus of those versions, the newest first."""
        around = Surroundings(
            self.played, market(), texts.catalogues(self.texts), Sealer({1: KEY}), self.clock
        )
        self.engine = Engine(
            [self.book(version) for version in versions],
            around,
            self.store,
            wait_places=self.wait_places,
            strict=self.strict,
        )

    def phone(self, msisdn: str = "+254711000001", gateway: UssdGateway = AT) -> Phone:
        return Phone(self, msisdn, gateway)


@dataclass
class Phone:
    """One session after another; `text` is what the gateway has accumulated."""

    bench: Bench
    msisdn: str
    gateway: UssdGateway = AT
    session_id: str = ""
    text: str = ""
    screen: Screen = field(default_factory=lambda: Screen("", open=False))

    def send(self, text: str, event: Event = "input", msisdn: str = "") -> Screen:
        """One request as the gateway would send it; changes nothing of this phone."""
        request = UssdRequest(
            self.gateway,
            self.session_id,
            msisdn or self.msisdn,
            "*384*123#",
            "99999",
            event,
            text,
        )
        return self.bench.engine.step(request)

    def dial(self, text: str = "") -> str:
        """A new session. Only a `latest` gateway tells a first text from a later one."""
        self.session_id = f"ATUid_{next(_numbers):032x}"
        return self.dial_again(text)

    def dial_again(self, text: str = "") -> str:
        """A first hop on the id that is there."""
        self.text = text
        told = self.gateway.mode == "latest" or not text
        self.screen = self.send(text, "new" if told else "input")
        return self.screen.text

    def longer(self, typed: str) -> str:
        """The text of a hop that replies this."""
        accumulated = self.gateway.mode == "accumulated"
        return f"{self.text}*{typed}" if self.text and accumulated else typed

    def reply(self, typed: str) -> str:
        self.text = self.longer(typed)
        self.screen = self.send(self.text)
        return self.screen.text

    def again(self) -> Screen:
        """The gateway delivers the last hop once more."""
        return self.send(self.text)

    @property
    def session_hash(self) -> bytes:
        return self.bench.store.hash_of(self.gateway.name, self.session_id)

    @property
    def key(self) -> str:
        """The name of its session in Redis."""
        return f"{self.bench.prefix}{self.session_hash.hex()}"

    def keys(self, *typed: str) -> str:
        """Dial and reply; the last screen."""
        shown = self.dial()
        for one in typed:
            assert self.screen.open, f"the session ended before {one!r}: {shown}"
            shown = self.reply(one)
        return shown
